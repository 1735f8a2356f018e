// Hooks over real sockets, against a server that answers as a test says.

#include "operator/adapters/http/http_hooks.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

namespace roadstead {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// Takes one connection, reads a request's header and body, and writes `answer`; then it is silent until it is ended.
class OneAnswer {
 public:
  explicit OneAnswer(std::string answer) : answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(listener_, 1) != 0)
      throw std::runtime_error("cannot listen");
    socklen_t length = sizeof address;
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~OneAnswer() {
    shutdown(listener_, SHUT_RDWR);
    if (client_ >= 0) shutdown(client_, SHUT_RDWR);
    thread_.join();
    close(listener_);
    if (client_ >= 0) close(client_);
  }

  [[nodiscard]] std::string url(const std::string& path) const {
    return "http://127.0.0.1:" + std::to_string(port_) + path;
  }
  std::string request() { return heard_.get_future().get(); }

 private:
  void serve() {
    const int client = accept(listener_, nullptr, nullptr);
    if (client < 0) return;
    client_ = client;
    std::string text;
    char buffer[4096];
    while (text.find("\r\n\r\n") == std::string::npos) {
      const auto got = recv(client, buffer, sizeof buffer, 0);
      if (got <= 0) return;
      text.append(buffer, static_cast<std::size_t>(got));
    }
    heard_.set_value(text);
    (void)send(client, answer_.data(), answer_.size(), MSG_NOSIGNAL);
  }

  const std::string answer_;
  int listener_ = -1;
  std::atomic<int> client_{-1};
  std::uint16_t port_ = 0;
  std::promise<std::string> heard_;
  std::thread thread_;
};

HttpHookRequest to(const std::string& url) {
  HttpHookRequest request;
  request.url = url;
  request.time_limit = Millis{5'000};
  return request;
}

TEST(HttpHooks, SendMethodPathAndHeadersAndTellStatusAndBody) {
  OneAnswer server("HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\n\r\nright");
  HttpHookRequest request = to(server.url("/packit/api/resync?all=1"));
  request.method = "PUT";
  request.headers = {{"Authorization", "Bearer abc"}};
  const auto answer = http::make_http_hooks()->send(request, {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 202);
  EXPECT_EQ(answer->body, "right");
  const std::string heard = server.request();
  EXPECT_THAT(heard, HasSubstr("PUT /packit/api/resync?all=1 HTTP/1.1"));
  EXPECT_THAT(heard, HasSubstr("Authorization:Bearer abc"));
}

TEST(HttpHooks, ReadOnlyTheBeginningOfALongBody) {
  OneAnswer server("HTTP/1.1 500 Oops\r\nContent-Length: 9000\r\n\r\n" + std::string(9000, 'x'));
  const auto answer = http::make_http_hooks()->send(to(server.url("/")), {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 500);
  EXPECT_EQ(answer->body, std::string(4096, 'x'));
}

TEST(HttpHooks, DoNotFollowRedirects) {
  OneAnswer server("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n");
  const auto answer = http::make_http_hooks()->send(to(server.url("/")), {});
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->status, 302) << "an authorization would go to whomever the answer names";
}

TEST(HttpHooks, EndAtTheirTimeLimitWhenTheServerIsSilent) {
  OneAnswer server("");
  HttpHookRequest request = to(server.url("/slow"));
  request.time_limit = Millis{300};
  const auto answer = http::make_http_hooks()->send(request, {});
  ASSERT_FALSE(answer);
  EXPECT_THAT(answer.error().message, HasSubstr("/slow"));
}

TEST(HttpHooks, AnAnswerThatNeverEndsIsNotWaitedForBeyondTheLimit) {
  OneAnswer server("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  HttpHookRequest request = to(server.url("/half"));
  request.time_limit = Millis{300};
  const auto begun = std::chrono::steady_clock::now();
  (void)http::make_http_hooks()->send(request, {});
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(5));
}

TEST(HttpHooks, EndAtOnceWhenTheyAreStopped) {
  OneAnswer server("");
  std::stop_source stop;
  stop.request_stop();
  const auto answer = http::make_http_hooks()->send(to(server.url("/")), stop.get_token());
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Cancelled);
}

TEST(HttpHooks, TellWhereNobodyListensAndNeverTheSecret) {
  HttpHookRequest request = to("http://127.0.0.1:1/x");
  request.headers = {{"Authorization", "Bearer abc"}};
  const auto answer = http::make_http_hooks()->send(request, {});
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, ErrorKind::Unavailable);
  EXPECT_THAT(answer.error().message, HasSubstr("cannot connect to http://127.0.0.1:1/x"));
  EXPECT_THAT(answer.error().message, Not(HasSubstr("abc")));
}

TEST(HttpHooks, RefuseWhatIsNoAddress) {
  for (const char* url : {"", "ftp://x/", "example.org/hook", "http://"}) {
    const auto answer = http::make_http_hooks()->send(to(url), {});
    ASSERT_FALSE(answer) << url;
    EXPECT_EQ(answer.error().kind, ErrorKind::Invalid) << url << ": " << answer.error().message;
  }
}

}  // namespace
}  // namespace roadstead
