#include "operator/adapters/docker/mux.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/docker/fake_stream.h"

namespace roadstead::docker {
namespace {

using test::bytes_of;
using test::kind_of;
using testing::ElementsAre;
using testing::Pair;

std::string frame(Channel channel, const std::string& payload) {
  std::string header{static_cast<char>(channel), 0, 0, 0};
  for (const int shift : {24, 16, 8, 0}) header += static_cast<char>(payload.size() >> shift & 255);
  return header + payload;
}

TEST(Mux, PutsFramesTogetherFromPiecesOfEverySize) {
  const auto stream = frame(Channel::Out, "hello ") + frame(Channel::Err, "oops") + frame(Channel::Out, "") +
                      frame(Channel::Out, std::string(300, 'x'));
  for (std::size_t size = 1; size <= stream.size(); ++size) {
    MuxReader mux;
    std::string out, err;
    int completed = 0;
    for (std::size_t at = 0; at < stream.size(); at += size)
      ASSERT_TRUE(
          mux.feed(bytes_of(std::string_view(stream).substr(at, size)), [&](Channel channel, auto part, bool last) {
            (channel == Channel::Err ? err : out).append(reinterpret_cast<const char*>(part.data()), part.size());
            completed += last;
          }));
    EXPECT_EQ(out, "hello " + std::string(300, 'x')) << size;
    EXPECT_EQ(err, "oops") << size;
    EXPECT_EQ(completed, 3) << size;
    EXPECT_TRUE(mux.between_frames());
  }
}

TEST(Mux, KnowsThatAStreamEndedInsideAFrame) {
  const auto stream = frame(Channel::Out, "hello");
  for (std::size_t length = 1; length < stream.size(); ++length) {
    MuxReader mux;
    ASSERT_TRUE(mux.feed(bytes_of(std::string_view(stream).substr(0, length)), [](auto...) {}));
    EXPECT_FALSE(mux.between_frames()) << length;
  }
}

TEST(Mux, RefusesWhatIsNoFrame) {
  MuxReader mux;
  EXPECT_EQ(kind_of(mux.feed(bytes_of("plain text of a terminal"), [](auto...) {})), ErrorKind::Unavailable);
}

struct Heard {
  std::vector<std::pair<bool, std::string>> lines;
  std::vector<Time> times;
  LogAssembler::LineSink sink() {
    return [this](const LogLine& line) {
      lines.emplace_back(line.error_stream, line.text);
      times.push_back(line.time);
      return true;
    };
  }
};

const std::string kStamp = "2026-11-23T02:47:19.123456789Z ";

TEST(Log, SplitsLinesAndTakesTimesWhateverThePieces) {
  const auto stream = frame(Channel::Out, kStamp + "one\n") + frame(Channel::Err, kStamp + "two\r\n") +
                      frame(Channel::Out, kStamp + "\n");
  for (std::size_t size = 1; size <= stream.size(); ++size) {
    Heard heard;
    LogAssembler log(false, {}, heard.sink());
    for (std::size_t at = 0; at < stream.size(); at += size)
      ASSERT_EQ(log.feed(bytes_of(std::string_view(stream).substr(at, size))), true);
    ASSERT_TRUE(log.finish());
    EXPECT_THAT(heard.lines, ElementsAre(Pair(false, "one"), Pair(true, "two"), Pair(false, ""))) << size;
    EXPECT_EQ(heard.times[0].time_since_epoch().count() % 1000, 123);
  }
}

TEST(Log, JoinsTheMessagesOfALongLineEvenWithOthersBetween) {
  Heard heard;
  LogAssembler log(false, {}, heard.sink());
  ASSERT_TRUE(log.feed(bytes_of(frame(Channel::Out, kStamp + std::string(16384, 'a')) +
                                frame(Channel::Err, kStamp + "between\n") + frame(Channel::Out, kStamp + "b\n") +
                                frame(Channel::Out, kStamp + "last, without an end"))));
  ASSERT_TRUE(log.finish());
  EXPECT_THAT(heard.lines, ElementsAre(Pair(true, "between"), Pair(false, std::string(16384, 'a') + "b"),
                                       Pair(false, "last, without an end")));
}

TEST(Log, ReadsATerminalWithoutFrames) {
  Heard heard;
  LogAssembler log(true, {}, heard.sink());
  ASSERT_TRUE(log.feed(bytes_of(kStamp + "one\r\n" + kStamp.substr(0, 10))));
  ASSERT_TRUE(log.feed(bytes_of(kStamp.substr(10) + "two\r\n")));
  ASSERT_TRUE(log.finish());
  EXPECT_THAT(heard.lines, ElementsAre(Pair(false, "one"), Pair(false, "two")));
}

TEST(Log, GoesOnAfterAPositionWithoutRepeating) {
  Heard first, second;
  const auto lines = frame(Channel::Out, kStamp + "a\n") + frame(Channel::Err, kStamp + "b\n");
  LogAssembler log(false, {}, first.sink());
  ASSERT_TRUE(log.feed(bytes_of(lines)));
  EXPECT_EQ(log.position().lines, 2);
  EXPECT_EQ(log.position().since(), "1795402039.123456789");
  LogAssembler rest(false, log.position(), second.sink());
  ASSERT_TRUE(rest.feed(bytes_of(lines + frame(Channel::Out, kStamp + "c\n"))));
  EXPECT_THAT(second.lines, ElementsAre(Pair(false, "c")));
  EXPECT_EQ(rest.position().lines, 3);
}

TEST(Log, StopsWhenTheListenerHasHeardEnough) {
  int heard = 0;
  LogAssembler log(false, {}, [&](const LogLine&) { return ++heard < 2; });
  EXPECT_EQ(log.feed(bytes_of(frame(Channel::Out, kStamp + "1\n") + frame(Channel::Out, kStamp + "2\n") +
                              frame(Channel::Out, kStamp + "3\n"))),
            false);
  EXPECT_EQ(heard, 2);
}

TEST(Log, HandsEndlessLinesOnInParts) {
  std::size_t longest = 0, total = 0;
  LogAssembler log(true, {}, [&](const LogLine& line) {
    longest = std::max(longest, line.text.size());
    total += line.text.size();
    return true;
  });
  const std::string piece(100'000, 'x');
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(log.feed(bytes_of(piece)));
  ASSERT_TRUE(log.finish());
  EXPECT_EQ(total, 10'000'000U);
  EXPECT_LE(longest, 2 * LogAssembler::kLongestLine + 200'000);
}

}  // namespace
}  // namespace roadstead::docker
