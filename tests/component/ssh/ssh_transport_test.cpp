#include "operator/adapters/ssh/ssh_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "operator/adapters/ssh/connect.h"
#include "operator/adapters/ssh/session.h"
#include "tests/component/docker/engine_under_test.h"
#include "tests/component/ssh/echo_server.h"

/// The ssh transport against a real sshd, to sockets whose far end does what each test needs.
namespace roadstead::ssh {
namespace {

using namespace std::chrono_literals;
using test::SocketServer;
using test::SshdUnderTest;
using testing::HasSubstr;
using SteadyClock = std::chrono::steady_clock;

constexpr auto kAtOnce = 250ms;  // under 5 ms as a rule; the rest is for a busy machine
constexpr std::size_t kMiB = 1024 * 1024;

template <class T>
std::optional<ErrorKind> kind_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error().kind);
}

template <class T>
std::string message_of(const Result<T>& result) {
  return result ? "no error" : result.error().message;
}

struct World {
  test::TemporaryDirectory directory{"roadstead-ssh-test"};
  SshdUnderTest forwarding{directory.path() / "forwarding", true};
  SshdUnderTest dialling{directory.path() / "dialling", false};
};

enum class Far { Forwarding, Dialling };

class SshTransportTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { world = std::make_unique<World>(); }
  static void TearDownTestSuite() { world.reset(); }

  static std::string socket() { return world->directory.path() / "far.sock"; }

  static EngineEndpoint endpoint(const SshdUnderTest& sshd) {
    return {fmt::format("ssh://root@127.0.0.1:{}{}", sshd.port(), socket()), sshd.identity(), sshd.known_hosts()};
  }
  static std::shared_ptr<Transport> transport_to(const SshdUnderTest& sshd) {
    return make_ssh_transport(endpoint(sshd)).value();
  }

  static inline std::unique_ptr<World> world;
};

class OverBothWays : public SshTransportTest, public testing::WithParamInterface<Far> {
 protected:
  SshdUnderTest& sshd() const { return GetParam() == Far::Forwarding ? world->forwarding : world->dialling; }
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761U >> 11);
  return text;
}

Result<std::string> read_all(ByteStream& stream, const Limits& limits = {}) {
  std::string text;
  std::vector<std::byte> piece(64 * 1024);
  for (;;) {
    const auto got = stream.read_some(piece, limits);
    if (!got) return tl::unexpected(got.error());
    if (*got == 0) return text;
    text.append(reinterpret_cast<const char*>(piece.data()), *got);
  }
}

TEST_P(OverBothWays, EchoesMebibytesAndEndsInOrderAfterAHalfClose) {
  const SocketServer server(socket(), SocketServer::Part::Echo);
  const auto transport = transport_to(sshd());
  const auto stream = transport->open({});
  ASSERT_TRUE(stream) << message_of(stream);
  const auto sent = pattern(32 * kMiB);
  std::jthread writer([&] {
    EXPECT_TRUE((*stream)->write_all(std::as_bytes(std::span(sent.data(), sent.size())), {}));
    EXPECT_TRUE((*stream)->end_of_writes());
  });
  const auto back = read_all(**stream);
  ASSERT_TRUE(back) << message_of(back);
  EXPECT_TRUE(*back == sent);
}

TEST_P(OverBothWays, GivesEveryByteBeforeAnEndThatNobodyAskedFor) {
  const SocketServer server(socket(), SocketServer::Part::SayAndEnd);
  const auto transport = transport_to(sshd());
  for (int i = 0; i < 10; ++i) {
    const auto stream = transport->open({});
    ASSERT_TRUE(stream) << message_of(stream);
    EXPECT_EQ(read_all(**stream), "bye");
  }
}

TEST_P(OverBothWays, ASlowReaderHoldsTheFarSideBack) {
  const SocketServer server(socket(), SocketServer::Part::Pour);
  const auto transport = transport_to(sshd());
  const auto stream = transport->open({});
  ASSERT_TRUE(stream) << message_of(stream);
  std::byte byte;
  ASSERT_TRUE((*stream)->read_some({&byte, 1}, {}));
  std::size_t poured = 0;  // until nothing has moved for a while
  EXPECT_TRUE(test::eventually(20s, [&] {
    const auto before = server.poured();
    std::this_thread::sleep_for(200ms);
    poured = server.poured();
    return poured == before;
  }));
  EXPECT_LT(poured, 16 * kMiB);
}

TEST_P(OverBothWays, ManyStreamsShareSessionsAndCloseWithTheirOwners) {
  const SocketServer server(socket(), SocketServer::Part::Echo);
  const auto transport = transport_to(sshd());
  std::vector<std::unique_ptr<ByteStream>> streams;
  const int count = 25;  // more commands than one session may run (MaxSessions 10)
  for (int i = 0; i < count; ++i) {
    auto stream = transport->open({});
    ASSERT_TRUE(stream) << i << ": " << message_of(stream);
    streams.push_back(std::move(*stream));
  }
  for (int i = 0; i < count; ++i) {
    const auto text = pattern(1000 + static_cast<std::size_t>(i));
    ASSERT_TRUE(
        streams[static_cast<std::size_t>(i)]->write_all(std::as_bytes(std::span(text.data(), text.size())), {}));
    ASSERT_TRUE(streams[static_cast<std::size_t>(i)]->end_of_writes());
    EXPECT_EQ(read_all(*streams[static_cast<std::size_t>(i)]), text);
  }
  auto left = transport->open({});
  EXPECT_TRUE(test::eventually(5s, [&] { return server.connections() == 1; }));
  left->reset();  // without a word to the far side
  EXPECT_TRUE(test::eventually(5s, [&] { return server.connections() == 0; }));
}

TEST_P(OverBothWays, AHostThatGoesAwayBreaksItsStreamsAndIsReachedAgainWhenItIsBack) {
  const SocketServer server(socket(), SocketServer::Part::Silent);
  const auto before = test::open_descriptors();
  const auto transport = transport_to(sshd());
  auto stream = transport->open({});
  ASSERT_TRUE(stream) << message_of(stream);
  std::jthread host([&] { sshd().stop(); });
  std::byte byte;
  const auto broken = (*stream)->read_some({&byte, 1}, {});
  EXPECT_EQ(kind_of(broken), ErrorKind::Unavailable) << "a connection that broke is no orderly end";
  EXPECT_THAT(message_of(broken), HasSubstr(fmt::format("ssh://root@127.0.0.1:{}: connection lost", sshd().port())));
  host.join();
  const auto refused = transport->open({});
  EXPECT_EQ(kind_of(refused), ErrorKind::Unavailable);
  EXPECT_THAT(message_of(refused), HasSubstr("Connection refused"));
  sshd().start();
  stream = transport->open({});
  EXPECT_TRUE(stream) << message_of(stream);
  stream->reset();
  (void)transport->open({});
  EXPECT_TRUE(test::eventually(5s, [&] { return server.connections() == 0; }));
  EXPECT_TRUE(test::eventually(5s, [&] { return test::open_descriptors() <= before + 3; }))
      << "a session has its socket and its event";
}

TEST_P(OverBothWays, StopsABlockedReadAndABlockedWriteWithinMilliseconds) {
  const SocketServer server(socket(), SocketServer::Part::Silent);
  const auto transport = transport_to(sshd());
  for (const bool writing : {false, true}) {
    const auto stream = transport->open({});
    ASSERT_TRUE(stream) << message_of(stream);
    if (writing) sshd().freeze(true);  // or the server would swallow everything
    std::stop_source source;
    Limits limits;
    limits.stop = source.get_token();
    std::optional<ErrorKind> kind;
    SteadyClock::time_point ended;
    const std::string much(8 * kMiB, 'x');
    std::atomic<bool> started = false;
    std::thread blocked([&] {
      std::byte byte;
      started = true;
      kind = writing ? kind_of((*stream)->write_all(std::as_bytes(std::span(much.data(), much.size())), limits))
                     : kind_of((*stream)->read_some({&byte, 1}, limits));
      ended = SteadyClock::now();
    });
    EXPECT_TRUE(test::eventually(5s, [&] { return started.load(); }));
    const auto asked = SteadyClock::now();
    source.request_stop();
    blocked.join();
    if (writing) sshd().freeze(false);
    EXPECT_EQ(kind, ErrorKind::Cancelled);
    EXPECT_LT(ended - asked, kAtOnce);
  }
}

INSTANTIATE_TEST_SUITE_P(Ssh, OverBothWays, testing::Values(Far::Forwarding, Far::Dialling), [](const auto& tested) {
  return tested.param == Far::Forwarding ? "Forwarding" : "DialStdio";
});

TEST_F(SshTransportTest, TrustsOnlyTheKeyThatStandsInTheKnownHosts) {
  const SocketServer server(socket(), SocketServer::Part::Echo);
  auto unknown = endpoint(world->forwarding);
  unknown.known_hosts =
      "elsewhere.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFMq0kF0hh4aOUGnx0w1Y6rsbHkYEl2JyTeLvqCvQnLC\n";
  const auto refused = (*make_ssh_transport(unknown))->open({});
  EXPECT_EQ(kind_of(refused), ErrorKind::Forbidden) << message_of(refused);
  EXPECT_THAT(message_of(refused),
              HasSubstr(fmt::format(
                  "compare its fingerprint on the host itself, then `ssh-keyscan -p {} 127.0.0.1 >> known_hosts`",
                  world->forwarding.port())));
  EXPECT_THAT(message_of(refused), HasSubstr("ssh-ed25519 SHA256:"));

  auto changed = endpoint(world->forwarding);
  test::make_key(world->directory.path() / "other");
  changed.known_hosts = fmt::format("[127.0.0.1]:{} {}", world->forwarding.port(),
                                    test::content_of(world->directory.path() / "other.pub"));
  const auto other = (*make_ssh_transport(changed))->open({});
  EXPECT_EQ(kind_of(other), ErrorKind::Forbidden) << message_of(other);
  EXPECT_THAT(message_of(other), HasSubstr("the host's key has changed"));

  auto nonsense = endpoint(world->forwarding);
  nonsense.known_hosts = "what is this\n\n# nothing\n";
  EXPECT_EQ(kind_of((*make_ssh_transport(nonsense))->open({})), ErrorKind::Forbidden);

  // The line may stand among others, with its key hashed or not.
  auto among = endpoint(world->forwarding);
  among.known_hosts = "# ours\n" + unknown.known_hosts + among.known_hosts;
  EXPECT_TRUE((*make_ssh_transport(among))->open({}));
}

TEST_F(SshTransportTest, AKeyThatIsNotAcceptedIsForbiddenAndSaysWhatToDo) {
  auto wrong = endpoint(world->forwarding);
  wrong.identity = test::make_key(world->directory.path() / "wrong");
  const auto refused = (*make_ssh_transport(wrong))->open({});
  EXPECT_EQ(kind_of(refused), ErrorKind::Forbidden) << message_of(refused);
  EXPECT_THAT(message_of(refused), HasSubstr("the key is not accepted for user root: add its public half"));
}

TEST_F(SshTransportTest, WhatCannotBeReadIsInvalidBeforeAnyConnection) {
  auto bad = endpoint(world->forwarding);
  bad.identity = "no key";
  EXPECT_EQ(kind_of(make_ssh_transport(bad)), ErrorKind::Invalid);
  EXPECT_THAT(message_of(make_ssh_transport(bad)), testing::Not(HasSubstr("no key")));
  bad.identity.clear();
  EXPECT_THAT(message_of(make_ssh_transport(bad)), HasSubstr("identityRef"));
  bad = endpoint(world->forwarding);
  bad.known_hosts.clear();
  EXPECT_THAT(message_of(make_ssh_transport(bad)), HasSubstr("ssh-keyscan"));
  EXPECT_EQ(kind_of(make_ssh_transport({"unix:///x", "k", "h"})), ErrorKind::Invalid);
}

TEST_F(SshTransportTest, AHostThatIsNotThereIsNamedWithItsPort) {
  auto nowhere = endpoint(world->forwarding);
  nowhere.endpoint = "ssh://root@127.0.0.1:1/x.sock";
  const auto refused = (*make_ssh_transport(nowhere))->open({});
  EXPECT_EQ(kind_of(refused), ErrorKind::Unavailable);
  EXPECT_EQ(message_of(refused), "ssh://root@127.0.0.1:1: connect: Connection refused");
}

TEST_F(SshTransportTest, AHostThatAcceptsAndIsSilentIsUnavailableAfterTheLimitAndCancelledAtOnce) {
  const UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(listener.get(), 10), 0);
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  auto silent = endpoint(world->forwarding);
  silent.endpoint = fmt::format("ssh://root@127.0.0.1:{}/x.sock", ntohs(address.sin_port));
  auto transport = *make_ssh_transport(silent);
  Limits limits;
  limits.connect = 200ms;
  const auto late = transport->open(limits);
  EXPECT_EQ(kind_of(late), ErrorKind::Unavailable);
  EXPECT_THAT(message_of(late), HasSubstr("handshake: no answer within 200 ms"));

  std::stop_source source;
  limits.connect = 1h;
  limits.stop = source.get_token();
  std::jthread stopper([&] { source.request_stop(); });
  EXPECT_EQ(kind_of(transport->open(limits)), ErrorKind::Cancelled);
  const auto begin = SteadyClock::now();
  transport.reset();  // its session still waits for the handshake
  EXPECT_LT(SteadyClock::now() - begin, kAtOnce);
}

TEST(SshConnect, ASilentAddressLeavesTimeForTheNext) {
  const auto listen_on_loopback = [](UniqueFd& listener, sockaddr_in& address, int backlog) {
    listener = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(listener.get(), backlog), 0);
    ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  };
  UniqueFd full, open;
  sockaddr_in silent{}, answering{};
  listen_on_loopback(full, silent, 0);
  listen_on_loopback(open, answering, 10);
  // Its queue is full: whoever else calls hears nothing.
  const UniqueFd first(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::connect(first.get(), reinterpret_cast<sockaddr*>(&silent), sizeof(silent)), 0);

  addrinfo second{}, list{};
  second.ai_family = list.ai_family = AF_INET;
  second.ai_addrlen = list.ai_addrlen = sizeof(sockaddr_in);
  second.ai_addr = reinterpret_cast<sockaddr*>(&answering);
  list.ai_addr = reinterpret_cast<sockaddr*>(&silent);
  list.ai_next = &second;
  Settings settings;
  settings.name = "ssh://test";
  const auto connected = connect_to_first(&list, settings, 1s, {});
  EXPECT_TRUE(connected) << message_of(connected);
  list.ai_next = nullptr;
  EXPECT_EQ(message_of(connect_to_first(&list, settings, 200ms, {})), "ssh://test: connect: no answer within 200 ms");
}

TEST_F(SshTransportTest, ASessionWhoseHostFallsSilentDiesByItself) {
  const SocketServer server(socket(), SocketServer::Part::Silent);
  Settings settings;
  settings.endpoint = crds::SshEndpoint{"root", "127.0.0.1", world->forwarding.port(), socket()};
  settings.identity = world->forwarding.identity();
  settings.known_hosts = world->forwarding.known_hosts();
  settings.name = "ssh://test";
  settings.quiet_before_asking = 50ms;
  settings.quiet_before_dead = 400ms;
  Session session(settings, 5s);
  const auto stream = session.open(Way::Forward, {});
  ASSERT_TRUE(stream) << message_of(stream);
  std::byte byte;
  Limits limits;
  limits.idle = 2s;
  EXPECT_EQ(kind_of((*stream)->read_some({&byte, 1}, limits)), ErrorKind::Timeout)
      << "quiet, but the keep-alives were answered";
  EXPECT_FALSE(session.dead());
  world->forwarding.freeze(true);
  limits.idle = 10s;
  const auto broken = (*stream)->read_some({&byte, 1}, limits);
  world->forwarding.freeze(false);
  EXPECT_EQ(kind_of(broken), ErrorKind::Unavailable);
  EXPECT_THAT(message_of(broken), HasSubstr("the host has been silent"));
}

TEST_F(SshTransportTest, WhereBothWaysFailBothReasonsAreTold) {
  // No socket there at all.
  const auto transport = transport_to(world->forwarding);
  const auto stream = transport->open({});
  ASSERT_TRUE(stream) << "starting the command says nothing yet";
  const auto nothing = read_all(**stream);
  EXPECT_EQ(kind_of(nothing), ErrorKind::Unavailable);
  EXPECT_THAT(message_of(nothing), HasSubstr("docker system dial-stdio: exit status 1: "));
  EXPECT_THAT(message_of(nothing), HasSubstr("before it, stream-local forwarding: "));

  // No docker command there either.
  const SshdUnderTest bare(world->directory.path() / "bare", false, "PATH=/nowhere");
  const auto bare_transport = transport_to(bare);
  const auto without = bare_transport->open({});
  ASSERT_TRUE(without) << message_of(without);
  const auto missing = read_all(**without);
  EXPECT_EQ(kind_of(missing), ErrorKind::Unavailable);
  EXPECT_THAT(message_of(missing), HasSubstr("exit status 127"));
  EXPECT_THAT(message_of(missing), HasSubstr("docker: command not found"));
}

TEST_F(SshTransportTest, LeavesNoDescriptorAndNoThreadBehind) {
  const SocketServer server(socket(), SocketServer::Part::SayAndEnd);
  { (void)transport_to(world->forwarding)->open({}); }
  const auto descriptors = test::open_descriptors();
  const auto threads = test::running_threads();
  for (int i = 0; i < 5; ++i) {
    const auto transport = transport_to(i % 2 == 0 ? world->forwarding : world->dialling);
    const auto stream = transport->open({});
    ASSERT_TRUE(stream) << message_of(stream);
    EXPECT_EQ(read_all(**stream), "bye");
    auto wrong = endpoint(world->forwarding);
    wrong.known_hosts = "none\n";
    EXPECT_FALSE((*make_ssh_transport(wrong))->open({}));
  }
  EXPECT_TRUE(
      test::eventually(5s, [&] { return server.connections() == 0 && test::open_descriptors() <= descriptors; }))
      << test::open_descriptors() << " of " << descriptors;
  EXPECT_LE(test::running_threads(), threads + 6) << "the server's own threads, which are joined at its end";
}

}  // namespace
}  // namespace roadstead::ssh
