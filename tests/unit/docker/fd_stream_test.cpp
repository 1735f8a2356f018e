#include "operator/ports/fd_stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <thread>

#include "tests/unit/docker/fake_stream.h"

namespace roadstead {
namespace {

using namespace std::chrono_literals;
using test::bytes_of;
using test::kind_of;
using SteadyClock = std::chrono::steady_clock;

struct Pair {
  Pair() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, fds.data()), 0);
    ours = std::make_unique<FdStream>(UniqueFd(fds[0]), "test");
    theirs = UniqueFd(fds[1]);
  }
  std::unique_ptr<FdStream> ours;
  UniqueFd theirs;
};

TEST(FdStream, TellsAnEndFromSilence) {
  Pair pair;
  std::byte byte;
  Limits limits;
  limits.idle = 0ms;
  EXPECT_EQ(kind_of(pair.ours->read_some({&byte, 1}, limits)), ErrorKind::Timeout);
  ASSERT_EQ(::write(pair.theirs.get(), "x", 1), 1);
  EXPECT_EQ(pair.ours->read_some({&byte, 1}, limits), 1U);
  pair.theirs.reset();
  EXPECT_EQ(pair.ours->read_some({&byte, 1}, limits), 0U);
  EXPECT_EQ(kind_of(pair.ours->write_all(bytes_of("x"), limits)), ErrorKind::Unavailable);
}

TEST(FdStream, HalfClosesAndGoesOnReading) {
  Pair pair;
  ASSERT_TRUE(pair.ours->end_of_writes());
  char c = 0;
  EXPECT_EQ(::read(pair.theirs.get(), &c, 1), 0);
  ASSERT_EQ(::write(pair.theirs.get(), "x", 1), 1);
  std::byte byte;
  EXPECT_EQ(pair.ours->read_some({&byte, 1}, {}), 1U);
}

TEST(FdStream, StopsABlockedReadAndABlockedWriteWithinMilliseconds) {
  for (const bool writing : {false, true}) {
    Pair pair;
    std::stop_source source;
    Limits limits;
    limits.stop = source.get_token();
    std::optional<ErrorKind> kind;
    SteadyClock::time_point ended;
    const std::string much(10'000'000, 'x');
    std::atomic<bool> started = false;
    std::thread blocked([&] {
      std::byte byte;
      started = true;
      kind = writing ? kind_of(pair.ours->write_all(bytes_of(much), limits))
                     : kind_of(pair.ours->read_some({&byte, 1}, limits));
      ended = SteadyClock::now();
    });
    // It waits in poll(2) by now or will soon: stopping it a little earlier must work as well.
    while (!started) std::this_thread::yield();
    const auto asked = SteadyClock::now();
    source.request_stop();
    blocked.join();
    EXPECT_EQ(kind, ErrorKind::Cancelled);
    EXPECT_LT(ended - asked, 250ms);
  }
}

TEST(FdStream, ABusyStreamIsStoppedToo) {
  Pair pair;
  ASSERT_EQ(::write(pair.theirs.get(), "xxxx", 4), 4);
  std::stop_source source;
  source.request_stop();
  Limits limits;
  limits.stop = source.get_token();
  std::byte byte;
  EXPECT_EQ(kind_of(pair.ours->read_some({&byte, 1}, limits)), ErrorKind::Cancelled);
}

TEST(WaitForFd, WaitsForTimeAlone) {
  const auto begin = SteadyClock::now();
  EXPECT_EQ(kind_of(wait_for_fd(-1, 0, 20ms, {})), ErrorKind::Timeout);
  EXPECT_GE(SteadyClock::now() - begin, 20ms);
}

}  // namespace
}  // namespace roadstead
