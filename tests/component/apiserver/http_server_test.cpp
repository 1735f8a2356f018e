#include "operator/adapters/apiserver/http_server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <condition_variable>
#include <list>
#include <mutex>
#include <thread>

#include "operator/adapters/apiserver/metrics_server.h"
#include "tests/component/apiserver/raw_connection.h"

namespace roadstead::apiserver {
namespace {

using namespace std::chrono_literals;
using testing::RawConnection;
using Steady = std::chrono::steady_clock;

bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds most = 10s) {
  const auto end = Steady::now() + most;
  while (Steady::now() < end) {
    if (holds()) return true;
    std::this_thread::sleep_for(5ms);
  }
  return holds();
}

/// Lines until told to end: one per `pace`, each of `size` bytes; the first at once where `soon`.
class Ticks final : public LineStream {
 public:
  Ticks(Millis pace, std::size_t size, std::atomic<int>& alive, bool soon = false)
      : pace_(pace), size_(size), alive_(alive), soon_(soon) {
    ++alive_;
  }
  ~Ticks() override { --alive_; }
  Chunk next(Millis wait, std::stop_token stop) override {
    std::unique_lock lock(mutex_);
    if (std::exchange(soon_, false)) return {std::string(size_ - 1, 'x') + "\n", false};
    woken_.wait_for(lock, stop, std::min(wait, pace_), [] { return false; });
    if (pace_ > wait) return {};
    return {std::string(size_ - 1, 'x') + "\n", false};
  }

 private:
  const Millis pace_;
  const std::size_t size_;
  std::atomic<int>& alive_;
  bool soon_;
  std::mutex mutex_;
  std::condition_variable_any woken_;
};

class Echo final : public Handler {
 public:
  std::optional<Response> refuse(const Request& head) override {
    if (head.path != "/refused") return std::nullopt;
    Response no;
    no.status = 401;
    return no;
  }
  Response handle(const Request& request) override {
    Response response;
    response.content_type = "text/plain";
    if (request.path == "/ticks") {
      response.stream = std::make_unique<Ticks>(20ms, 100, streams);
    } else if (request.path == "/flood") {
      response.stream = std::make_unique<Ticks>(0ms, 64 * 1024, streams);
    } else if (request.path == "/quick") {
      response.stream = std::make_unique<Ticks>(1ms, 100, streams, true);
    } else if (request.path == "/silent") {
      response.stream = std::make_unique<Ticks>(1h, 100, streams);
    } else if (request.path == "/slow") {
      ++slow_begun;
      std::unique_lock lock(mutex);
      released.wait_for(lock, 10s, [&] { return release; });
      response.body = "slow";
    } else {
      response.body = request.method + " " + request.path + " " + std::string(request.parameter("q")) + " " +
                      std::to_string(request.body.size());
    }
    return response;
  }
  Response broken(int status, const std::string& why) override {
    Response response;
    response.status = status;
    response.content_type = "text/plain";
    response.body = "broken: " + why;
    return response;
  }

  std::atomic<int> streams{0};
  std::atomic<int> slow_begun{0};
  std::mutex mutex;
  std::condition_variable released;
  bool release = false;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void start(ServerLimits limits = {}) {
    HttpServerOptions options;
    options.what = "test";
    options.address = "127.0.0.1";
    options.limits = limits;
    auto started = HttpServer::start(std::move(options), nullptr, echo);
    ASSERT_TRUE(started) << started.error().message;
    server = std::move(*started);
  }
  std::shared_ptr<Echo> echo = std::make_shared<Echo>();
  std::unique_ptr<HttpServer> server;
};

// A request's path, query and body reach the handler decoded, and several requests use one connection.
TEST_F(HttpServerTest, AnswersSeveralRequestsOnOneConnection) {
  start();
  RawConnection client(server->port());
  client.send("GET /a%20b?q=x%2By+z HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(client.read("GET /a b x+y z 0").find("200 OK"), std::string::npos);
  client.send("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345");
  EXPECT_NE(client.read("POST /p  5").find("200 OK"), std::string::npos);
  EXPECT_EQ(server->connections(), 1u);
}

// Two requests sent without waiting are answered in order: what was read too far is not lost.
TEST_F(HttpServerTest, AnswersPipelinedRequests) {
  start();
  RawConnection client(server->port());
  client.send("GET /one HTTP/1.1\r\nHost: h\r\n\r\nGET /two HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string both = client.read("GET /two");
  EXPECT_LT(both.find("GET /one"), both.find("GET /two"));
}

// A header larger than the limit is answered with 431 and the connection closed; nothing of it is kept.
TEST_F(HttpServerTest, RefusesALargeHeader) {
  start();
  RawConnection client(server->port());
  client.send("GET / HTTP/1.1\r\nX: " + std::string(20 * 1024, 'a'));
  EXPECT_NE(client.read("\r\n\r\n").find(" 431 "), std::string::npos);
  EXPECT_TRUE(client.closed_within(5s));
}

// A body larger than the limit is refused when its length is announced, before a byte of it was read.
TEST_F(HttpServerTest, RefusesALargeBodyByItsAnnouncedLength) {
  start();
  RawConnection client(server->port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 268435456\r\n\r\n");
  EXPECT_NE(client.read("\r\n\r\n").find(" 413 "), std::string::npos);
}

// Without an announced length (chunked) the body is refused as soon as it passes the limit.
TEST_F(HttpServerTest, RefusesALargeChunkedBody) {
  ServerLimits limits;
  limits.body_bytes = 1000;
  start(limits);
  RawConnection client(server->port());
  client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + std::string(0x800, 'b'));
  EXPECT_NE(client.read("\r\n\r\n").find(" 413 "), std::string::npos);
}

// A client that sends its header byte by byte (slow-loris) is cut off at the header time-out, however busy it looks.
TEST_F(HttpServerTest, CutsOffADribbledHeader) {
  ServerLimits limits;
  limits.header_timeout = 300ms;
  start(limits);
  RawConnection client(server->port());
  const auto begun = Steady::now();
  client.send("GET / HTTP/1.1\r\n");
  bool open = true;
  while (open && Steady::now() - begun < 5s) {
    open = client.send("a") && !client.closed_within(50ms);
  }
  EXPECT_FALSE(open);
  EXPECT_LT(Steady::now() - begun, 2s);
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
}

// Silent connections go at the header time-out, idle ones between two requests at the idle time-out.
TEST_F(HttpServerTest, ClosesSilentAndIdleConnections) {
  ServerLimits limits;
  limits.header_timeout = 200ms;
  limits.idle_timeout = 300ms;
  start(limits);
  std::list<RawConnection> silent;
  for (int i = 0; i < 20; ++i) silent.emplace_back(server->port());
  RawConnection idle(server->port());
  idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(idle.read("GET /").find("200 OK"), std::string::npos);
  EXPECT_TRUE(idle.closed_within(3s));
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
}

// What cannot be read as HTTP gets 400 or a closed connection, a thousand times over, and leaves nothing open.
TEST_F(HttpServerTest, SurvivesGarbage) {
  start();
  const std::string garbage[] = {"\x16\x03\x01\x02\x00garbage\r\n\r\n",
                                 "GET\r\n\r\n",
                                 "GET / HTTP/9.9\r\n\r\n",
                                 "GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n",
                                 "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                                 "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                                 "GET /%00 HTTP/1.1\r\nHost: h\r\n\r\n"};
  for (int i = 0; i < 1000; ++i) {
    RawConnection client(server->port());
    client.send(garbage[static_cast<std::size_t>(i) % std::size(garbage)]);
  }
  EXPECT_TRUE(eventually([&] { return server->connections() == 0; }));
  RawConnection good(server->port());
  good.send("GET /still HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(good.read("GET /still").find("200 OK"), std::string::npos);
}

// Over the cap a connection is closed at once; when another has gone there is room again.
TEST_F(HttpServerTest, CapsConnections) {
  ServerLimits limits;
  limits.connections_per_peer = 3;
  start(limits);
  std::list<RawConnection> held;
  for (int i = 0; i < 3; ++i) held.emplace_back(server->port());
  ASSERT_TRUE(eventually([&] { return server->connections() == 3; }));
  RawConnection fourth(server->port());
  EXPECT_TRUE(fourth.closed_within(3s));
  held.pop_back();
  ASSERT_TRUE(eventually([&] { return server->connections() == 2; }));
  RawConnection fifth(server->port());
  fifth.send("GET /in HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(fifth.read("GET /in").find("200 OK"), std::string::npos);
}

// With no descriptor left the server waits instead of spinning, and serves again when there is one.
TEST_F(HttpServerTest, OutlivesAShortageOfDescriptors) {
  start();
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  RawConnection client(server->port());  // takes a descriptor of each side; the server's is the last there is
  ASSERT_TRUE(eventually([&] { return server->connections() == 1; }));
  RawConnection* waiting = nullptr;
  rlimit few = before;
  const int next_free = ::dup(0);
  ::close(next_free);
  few.rlim_cur = static_cast<rlim_t>(next_free) + 1;  // one more: the client's own end
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  RawConnection second(server->port());
  waiting = &second;
  rusage spent_before{};
  ::getrusage(RUSAGE_SELF, &spent_before);
  second.send("GET /late HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(waiting->read("GET /late", 700ms), "");
  rusage spent{};
  ::getrusage(RUSAGE_SELF, &spent);
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_NE(waiting->read("GET /late", 5s).find("200 OK"), std::string::npos);
  const auto cpu = [](const rusage& u) {
    return (u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000 + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1000;
  };
  EXPECT_LT(cpu(spent) - cpu(spent_before), 200) << "milliseconds of CPU in 700 ms of waiting";
}

// A refusal on the header alone needs no body, and a client that sends it all the same reads the answer.
TEST_F(HttpServerTest, RefusesBeforeTheBody) {
  start();
  RawConnection client(server->port());
  client.send("POST /refused HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
  EXPECT_NE(client.read("\r\n\r\n").find(" 401 "), std::string::npos);
}

// "Expect: 100-continue" is answered before the body is read.
TEST_F(HttpServerTest, TellsAWaitingClientToGoOn) {
  start();
  RawConnection client(server->port());
  client.send("POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_NE(client.read("\r\n\r\n").find("100 Continue"), std::string::npos);
  client.send("abc");
  EXPECT_NE(client.read("POST /e  3").find("200 OK"), std::string::npos);
}

// Lines of a watch arrive as they are made, before the watch ends.
TEST_F(HttpServerTest, StreamsLinesAsTheyCome) {
  start();
  RawConnection client(server->port());
  client.send("GET /ticks HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string first = client.read("x\n");
  EXPECT_NE(first.find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_NE(client.read("x\n", 2s).find("xxx"), std::string::npos);
}

// A watcher that leaves is noticed at once, also where no line is on its way.
TEST_F(HttpServerTest, NoticesALeavingWatcherWithoutEvents) {
  start();
  RawConnection client(server->port());
  client.send("GET /silent HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(client.read("\r\n\r\n").find("200 OK"), std::string::npos);
  ASSERT_EQ(echo->streams, 1);
  client.close();
  EXPECT_TRUE(eventually([&] { return server->connections() == 0 && echo->streams == 0; }, 2s));
}

// A watcher that never reads is cut off within the write time-out; what waits for it stays within the queue's limit.
TEST_F(HttpServerTest, CutsOffAWatcherThatDoesNotRead) {
  ServerLimits limits;
  limits.write_timeout = 500ms;
  start(limits);
  RawConnection stuck(server->port(), 4096);
  RawConnection good(server->port());
  stuck.send("GET /flood HTTP/1.1\r\nHost: h\r\n\r\n");
  good.send("GET /ticks HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return echo->streams == 2; }));
  EXPECT_TRUE(eventually([&] { return echo->streams == 1; }, 5s)) << "the stuck watcher holds its thread";
  good.read("\r\n\r\n");
  EXPECT_NE(good.read("x\n", 2s).find("xxx"), std::string::npos) << "the other watcher suffers";
}

// The limit for writing a line is none for the watcher's silence: whoever only reads is never cut off.
TEST_F(HttpServerTest, KeepsAWatcherThatReads) {
  ServerLimits limits;
  limits.write_timeout = 300ms;
  start(limits);
  std::list<RawConnection> watchers;
  for (int i = 0; i < 20; ++i) {
    watchers.emplace_back(server->port());
    watchers.back().send("GET /quick HTTP/1.1\r\nHost: h\r\n\r\n");
  }
  ASSERT_TRUE(eventually([&] { return echo->streams == 20; }));
  const auto end = Steady::now() + 3 * limits.write_timeout;
  while (Steady::now() < end)
    for (RawConnection& watcher : watchers) watcher.read("x\n");
  EXPECT_EQ(echo->streams, 20);
}

// More watches than the limit: 429 for the next, and the others go on.
TEST_F(HttpServerTest, CapsWatches) {
  ServerLimits limits;
  limits.watches = 2;
  start(limits);
  std::list<RawConnection> held;
  for (int i = 0; i < 2; ++i) {
    held.emplace_back(server->port());
    held.back().send("GET /silent HTTP/1.1\r\nHost: h\r\n\r\n");
    held.back().read("\r\n\r\n");
  }
  RawConnection third(server->port());
  third.send("GET /silent HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(third.read("\r\n\r\n").find(" 429 "), std::string::npos);
}

// A stop ends watches with their last chunk, closes idle connections, lets a request in flight finish, and is quick.
TEST_F(HttpServerTest, DrainsWhenStopped) {
  start();
  std::list<RawConnection> watchers;
  for (int i = 0; i < 50; ++i) {
    watchers.emplace_back(server->port());
    watchers.back().send(i % 2 == 0 ? "GET /silent HTTP/1.1\r\nHost: h\r\n\r\n"
                                    : "GET /ticks HTTP/1.1\r\nHost: h\r\n\r\n");
    watchers.back().read("\r\n\r\n");
  }
  RawConnection idle(server->port());
  idle.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  idle.read("GET /");
  RawConnection busy(server->port());
  busy.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return echo->slow_begun == 1; }));

  const auto begun = Steady::now();
  std::jthread stopping([&] { server->stop(); });
  ASSERT_TRUE(idle.closed_within(3s));
  for (RawConnection& watcher : watchers) {
    const std::string rest = watcher.read("\r\n0\r\n\r\n", 3s);
    EXPECT_NE(("\r\n" + rest).find("\r\n0\r\n\r\n"), std::string::npos);
  }
  {
    std::lock_guard lock(echo->mutex);
    echo->release = true;
  }
  echo->released.notify_all();
  EXPECT_NE(busy.read("slow").find("200 OK"), std::string::npos);
  stopping.join();
  EXPECT_LT(Steady::now() - begun, 3s);
  EXPECT_EQ(echo->streams, 0);
  EXPECT_FALSE(RawConnection(server->port()).connected());
}

// A request that takes longer than the drain time does not hold up the stop for ever.
TEST_F(HttpServerTest, StopGivesUpOnStuckConnections) {
  ServerLimits limits;
  limits.drain_timeout = 300ms;
  start(limits);
  RawConnection half(server->port());
  half.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12");
  ASSERT_TRUE(eventually([&] { return server->connections() == 1; }));
  const auto begun = Steady::now();
  server->stop();
  EXPECT_LT(Steady::now() - begun, 2s);
}

// The metrics listener serves its text with the exposition format's type, /livez, and nothing else.
TEST(MetricsServerTest, ServesMetricsAndLiveness) {
  MetricsServerOptions options;
  options.address = "127.0.0.1";
  options.port = 0;
  int scrapes = 0;
  auto server = MetricsServer::start(options, [&] { return "up " + std::to_string(++scrapes) + "\n"; });
  ASSERT_TRUE(server) << server.error().message;
  RawConnection client((*server)->port());
  client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string page = client.read("up 1\n");
  EXPECT_NE(page.find("text/plain; version=0.0.4"), std::string::npos);
  EXPECT_NE(page.find("up 1\n"), std::string::npos);
  client.send("GET /livez HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(client.read("ok").find("200 OK"), std::string::npos);
  client.send("GET /apis HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_NE(client.read("not found").find(" 404 "), std::string::npos);
}

// An address in use is told with the address.
TEST(MetricsServerTest, NamesTheAddressInUse) {
  MetricsServerOptions options;
  options.address = "127.0.0.1";
  options.port = 0;
  auto first = MetricsServer::start(options, [] { return std::string(); });
  ASSERT_TRUE(first);
  options.port = (*first)->port();
  const auto second = MetricsServer::start(options, [] { return std::string(); });
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::Unavailable);
  EXPECT_NE(second.error().message.find(std::to_string(options.port)), std::string::npos);
}

}  // namespace
}  // namespace roadstead::apiserver
