#include "operator/adapters/docker/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/docker/fake_stream.h"

namespace roadstead::docker {
namespace {

using namespace std::chrono_literals;
using test::FakeTransport;
using test::kind_of;
using test::message_of;
using test::Recording;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::size_t kMuch = 1 << 20;

const std::string kPlain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-One: two\r\n\r\nhello";
const std::string kChunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;ext=1\r\n, world\r\n0\r\n\r\n";
const std::string kUntilEnd = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello";

HttpRequest get() { return {"GET", "/x", {}, {}, {}}; }

/// One answer, read whole, from a connection that gives `piece` bytes at a time.
Result<std::string> body_of(const std::string& answer, std::size_t piece, Recording::Then then) {
  HttpClient client(std::make_shared<FakeTransport>(std::deque<Recording>{{answer, piece, then}}));
  auto reply = client.send(get(), {});
  if (!reply) return tl::unexpected(reply.error());
  return reply->rest(kMuch, {});
}

TEST(Http, ReadsEveryFramingInPiecesOfEverySize) {
  for (std::size_t piece = 1; piece <= kChunked.size(); ++piece) {
    EXPECT_EQ(body_of(kPlain, piece, Recording::Then::Stall), "hello") << piece;
    EXPECT_EQ(body_of(kChunked, piece, Recording::Then::Stall), "hello, world") << piece;
    EXPECT_EQ(body_of(kUntilEnd, piece, Recording::Then::End), "hello") << piece;
  }
}

TEST(Http, TellsAnAnswerThatWasCutAtAnyByte) {
  for (const auto& whole : {kPlain, kChunked})
    for (std::size_t length = 0; length < whole.size(); ++length) {
      EXPECT_EQ(kind_of(body_of(whole.substr(0, length), 7, Recording::Then::End)), ErrorKind::Unavailable) << length;
      EXPECT_EQ(kind_of(body_of(whole.substr(0, length), 7, Recording::Then::Break)), ErrorKind::Unavailable) << length;
      EXPECT_EQ(kind_of(body_of(whole.substr(0, length), 7, Recording::Then::Stall)), ErrorKind::Timeout) << length;
    }
  EXPECT_EQ(kind_of(body_of(kUntilEnd, 7, Recording::Then::Break)), ErrorKind::Unavailable);
}

TEST(Http, RefusesWhatIsNotHttp) {
  for (const std::string noise : {"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                                  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"})
    EXPECT_EQ(kind_of(body_of(noise, 1000, Recording::Then::Stall)), ErrorKind::Unavailable) << noise;
  EXPECT_EQ(kind_of(body_of("HTTP/1.1 200 OK\r\nX: " + std::string(300'000, 'x'), 4000, Recording::Then::Stall)),
            ErrorKind::Unavailable);
  EXPECT_EQ(kind_of(body_of("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + std::string(300'000, 'x'), 4000,
                            Recording::Then::Stall)),
            ErrorKind::Unavailable);
}

TEST(Http, GivesStatusHeadersAndALimitedBody) {
  HttpClient client(std::make_shared<FakeTransport>(std::deque<Recording>{{kPlain}}));
  auto reply = client.send(get(), {});
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->status(), 200);
  EXPECT_EQ(reply->header("x-ONE"), "two");
  EXPECT_EQ(reply->header("absent"), "");
  EXPECT_EQ(kind_of(reply->rest(4, {})), ErrorKind::Invalid);
}

TEST(Http, WritesRequestsAsTheyShouldBe) {
  const auto transport = std::make_shared<FakeTransport>(
      std::deque<Recording>{{kPlain + kPlain + kPlain, 1 << 20, Recording::Then::Stall}});
  HttpClient client(transport);
  (void)client.send_dedicated({"POST", "/a?b=c", {{"Content-Type", "application/json"}}, "{}", {}}, {});
  EXPECT_EQ(transport->seen->written[0],
            "POST /a?b=c HTTP/1.1\r\nHost: docker\r\nUser-Agent: roadstead\r\nContent-Type: application/json\r\n"
            "Connection: close\r\nContent-Length: 2\r\n\r\n{}");
}

ByteSource pieces(std::vector<std::string> list) {
  auto kept = std::make_shared<std::vector<std::string>>(std::move(list));
  auto at = std::make_shared<std::size_t>(0);
  return [kept, at]() -> Result<std::span<const std::byte>> {
    if (*at == kept->size()) return std::span<const std::byte>{};
    return test::bytes_of((*kept)[(*at)++]);
  };
}

TEST(Http, UploadsInChunksAndEndsThem) {
  const auto transport = std::make_shared<FakeTransport>(std::deque<Recording>{{kPlain}});
  HttpClient client(transport);
  ASSERT_TRUE(client.send_dedicated({"POST", "/load", {}, {}, pieces({"one", "seventeen letters"})}, {}));
  EXPECT_THAT(transport->seen->written[0],
              HasSubstr("Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n11\r\nseventeen letters\r\n0\r\n\r\n"));
}

TEST(Http, AnEngineThatRefusesAnUploadHalfWayIsHeard) {
  Recording refusal{"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\ngone"};
  refusal.refuse_writes_after = 200;
  HttpClient client(std::make_shared<FakeTransport>(std::deque<Recording>{refusal}));
  const auto reply = client.send_dedicated({"POST", "/load", {}, {}, pieces({std::string(1000, 'x'), "more"})}, {});
  ASSERT_TRUE(reply) << message_of(reply);
  EXPECT_EQ(reply->status(), 404);
}

TEST(Http, ASourceThatFailsEndsTheUploadWithItsOwnError) {
  const auto transport = std::make_shared<FakeTransport>(std::deque<Recording>{{kPlain}});
  HttpClient client(transport);
  const auto reply = client.send_dedicated(
      {"POST",
       "/load",
       {},
       {},
       []() -> Result<std::span<const std::byte>> { return fail(ErrorKind::NotFound, "no such file"); }},
      {});
  EXPECT_EQ(kind_of(reply), ErrorKind::NotFound);
  EXPECT_THAT(transport->seen->written[0], testing::Not(HasSubstr("\r\n0\r\n")))
      << "the engine must not take it for whole";
  EXPECT_EQ(transport->seen->closed, 1);
}

TEST(Http, KeepsAConnectionForTheNextRequestOnceItsAnswerIsRead) {
  const auto transport = std::make_shared<FakeTransport>(
      std::deque<Recording>{{kPlain + kChunked, kPlain.size(), Recording::Then::Stall}, {kPlain}});
  HttpClient client(transport);
  EXPECT_EQ(client.send(get(), {})->rest(kMuch, {}), "hello");
  EXPECT_EQ(transport->seen->written.size(), 1U);
  // What the recording holds beyond the first answer looks like a connection with something left to say.
  EXPECT_EQ(client.send(get(), {})->rest(kMuch, {}), "hello");
  EXPECT_EQ(transport->seen->written.size(), 2U);
}

/// A connection that answers `answers` requests and then behaves as `then` says.
class Answering final : public Transport {
 public:
  struct Connection final : ByteStream {
    explicit Connection(Answering& transport) : owner(transport) { ++owner.opened; }
    ~Connection() override { ++owner.closed; }
    Result<std::size_t> read_some(std::span<std::byte> into, const Limits&) override {
      if (pending.empty()) return broken ? Result<std::size_t>(0) : fail(ErrorKind::Timeout, "quiet");
      const auto count = std::min(into.size(), pending.size());
      std::memcpy(into.data(), pending.data(), count);
      pending.erase(0, count);
      return count;
    }
    Result<void> write_all(std::span<const std::byte>, const Limits&) override {
      if (answered == owner.answers_each)
        broken = true;
      else
        ++answered, pending += kPlain;
      return {};
    }
    Result<void> end_of_writes() override { return {}; }
    Answering& owner;
    std::string pending;
    int answered = 0;
    bool broken = false;
  };
  Result<std::unique_ptr<ByteStream>> open(const Limits&) override { return std::make_unique<Connection>(*this); }
  [[nodiscard]] std::string host_header() const override { return "docker"; }
  int answers_each = 1000, opened = 0, closed = 0;
};

TEST(Http, PoolsUpToItsLimitAndForItsTime) {
  const auto transport = std::make_shared<Answering>();
  auto now = std::chrono::steady_clock::time_point{};
  HttpClient client(transport, 2, 30s, [&] { return now; });
  const auto use = [&](int at_once) {
    std::vector<HttpReply> replies;
    for (int i = 0; i < at_once; ++i) replies.push_back(std::move(*client.send(get(), {})));
    for (auto& reply : replies) EXPECT_EQ(reply.rest(kMuch, {}), "hello");
  };
  use(1), use(1);
  EXPECT_EQ(transport->opened, 1);
  use(4);
  EXPECT_EQ(transport->opened, 4);
  EXPECT_EQ(transport->closed, 2) << "two are kept";
  now += 31s;
  use(1);
  EXPECT_EQ(transport->opened, 5) << "too old to be used again";
  EXPECT_EQ(transport->closed, 4);
}

TEST(Http, AnAnswerThatIsDroppedHalfReadClosesItsConnection) {
  const auto transport = std::make_shared<Answering>();
  HttpClient client(transport);
  { const auto dropped = client.send(get(), {}); }
  EXPECT_EQ(transport->closed, 1);
}

TEST(Http, RepeatsOnAStaleConnectionOnlyWhatIsHarmless) {
  const auto transport = std::make_shared<Answering>();
  transport->answers_each = 1;
  HttpClient client(transport);
  EXPECT_EQ(client.send(get(), {})->rest(kMuch, {}), "hello");
  EXPECT_EQ(client.send(get(), {})->rest(kMuch, {}), "hello") << "the kept connection gave no answer, a new one did";
  EXPECT_EQ(transport->opened, 2);
  EXPECT_EQ(kind_of(client.send({"POST", "/create", {}, {}, {}}, {})), ErrorKind::Unavailable)
      << "it may have been done";
  EXPECT_EQ(transport->opened, 2);
}

TEST(Http, TheStreamAfterAnUpgradeBeginsWithWhatWasReadAlready) {
  const std::string answer = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nfirst words";
  for (std::size_t piece = 1; piece <= answer.size(); ++piece) {
    HttpClient client(std::make_shared<FakeTransport>(std::deque<Recording>{{answer, piece}}));
    auto reply = client.send_dedicated({"POST", "/exec", {{"Connection", "Upgrade"}}, {}, {}}, {});
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status(), 101);
    const auto stream = std::move(*reply).take_stream();
    std::string read;
    std::byte byte;
    while (*stream->read_some({&byte, 1}, {}) == 1) read += static_cast<char>(byte);
    EXPECT_EQ(read, "first words") << piece;
  }
}

TEST(Http, EncodesWhatGoesIntoAUrl) {
  EXPECT_EQ(url_encoded("a b/ü?"), "a%20b%2F%C3%BC%3F");
  EXPECT_EQ(url_encoded("a/b:c", "/:"), "a/b:c");
  EXPECT_EQ(query_of({{"a", "1&2"}, {"b", ""}}), "?a=1%262&b=");
  EXPECT_EQ(query_of({}), "");
}

}  // namespace
}  // namespace roadstead::docker
