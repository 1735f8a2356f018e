#include "operator/adapters/kube/https_client.h"

#include <cpprest/containerstream.h>
#include <cpprest/http_client.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "operator/adapters/kube/status_error.h"
#include "operator/adapters/rest/process.h"

namespace roadstead::kube {
namespace {

namespace http = web::http;

constexpr std::size_t kMostWaitingLines = 1024;  // then the stream is read no further, and the server notices

http::client::http_client_config config_of(const KubeConfig& config, Millis timeout) {
  http::client::http_client_config made;
  made.set_timeout(std::chrono::duration_cast<std::chrono::microseconds>(timeout));
  made.set_validate_certificates(true);
  made.set_ssl_context_callback([config](boost::asio::ssl::context& context) {
    using boost::asio::buffer;
    if (!config.ca_certificate.empty()) context.add_certificate_authority(buffer(config.ca_certificate));
    if (config.client_certificate.empty()) return;
    context.use_certificate_chain(buffer(config.client_certificate));
    context.use_private_key(buffer(config.client_key), boost::asio::ssl::context::pem);
  });
  return made;
}

http::http_request request_of(const HttpsRequest& wanted, const std::string& token) {
  http::http_request request(wanted.method);
  request.set_request_uri(web::uri(wanted.target));
  request.headers().add("Accept", wanted.accept);
  request.headers().add("User-Agent", "roadstead/1");
  if (!token.empty()) request.headers().add("Authorization", "Bearer " + token);
  if (!wanted.body.empty()) request.set_body(wanted.body, wanted.content_type);
  return request;
}

class Lines final : public LineReader {
 public:
  Lines(http::http_response response, pplx::cancellation_token_source cancel, std::string what)
      : response_(std::move(response)), cancel_(std::move(cancel)), what_(std::move(what)) {
    thread_ = std::jthread([this](const std::stop_token& stop) { read(stop); });
  }
  ~Lines() override {
    thread_.request_stop();
    cancel_.cancel();
    room_.notify_all();
  }

  Result<std::optional<std::string>> next(Millis wait, std::stop_token stop) override {
    std::unique_lock lock(mutex_);
    came_.wait_for(lock, stop, wait, [&] { return !lines_.empty() || ended_; });
    if (!lines_.empty()) {
      std::string line = std::move(lines_.front());
      lines_.pop_front();
      room_.notify_one();
      return line;
    }
    if (ended_) return fail(ErrorKind::Unavailable, "{}: {}", what_, why_);
    return std::nullopt;
  }

 private:
  void read(const std::stop_token& stop) {
    std::string why = "the server ended the stream";
    try {
      auto body = response_.body();
      while (!stop.stop_requested()) {
        concurrency::streams::container_buffer<std::string> line;
        const std::size_t length = body.read_line(line).get();
        if (length > 0)
          push(std::move(line.collection()), stop);
        else if (body.is_eof())
          break;
      }
    } catch (const std::exception& broken) {
      why = std::string("the stream broke: ") + broken.what();
    }
    std::lock_guard lock(mutex_);
    ended_ = true;
    why_ = std::move(why);
    came_.notify_all();
  }

  void push(std::string line, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    room_.wait(lock, stop, [&] { return lines_.size() < kMostWaitingLines; });
    lines_.push_back(std::move(line));
    came_.notify_one();
  }

  http::http_response response_;
  pplx::cancellation_token_source cancel_;
  const std::string what_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable_any came_;
  std::condition_variable_any room_;
  std::deque<std::string> lines_;
  bool ended_ = false;
  std::string why_;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace

struct HttpsClient::Impl {
  Impl(KubeConfig given, Millis timeout)
      : config(std::move(given)), client(web::uri(config.server), config_of(config, timeout)) {}

  [[nodiscard]] std::string what(const HttpsRequest& request) const {
    return request.method + " " + config.server + request.target;
  }
  [[nodiscard]] Error error(const http::http_exception& failed, const HttpsRequest& request) const;

  KubeConfig config;
  http::client::http_client client;
};

Error HttpsClient::Impl::error(const http::http_exception& failed, const HttpsRequest& request) const {
  const std::string text = failed.what();
  if (failed.error_code() == std::errc::timed_out) return {ErrorKind::Timeout, what(request) + ": no answer in time"};
  if (text.find("SSL handshake") != std::string::npos)
    return {
        ErrorKind::Unavailable,
        fmt::format("{}: TLS was refused: the server's certificate is not signed by the kubeconfig's authority, is not "
                    "for this name, or the client certificate is not accepted",
                    config.server)};
  if (text.find("Failed to connect") != std::string::npos || failed.error_code() == std::errc::connection_refused)
    return {ErrorKind::Unavailable, fmt::format("cannot connect to {}", config.server)};
  return {ErrorKind::Unavailable, what(request) + ": " + text};
}

HttpsClient::HttpsClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpsClient::~HttpsClient() = default;

Result<std::unique_ptr<HttpsClient>> HttpsClient::make(KubeConfig config, Millis timeout) {
  rest::prepare_process();
  if (config.server.rfind("https://", 0) != 0)
    return fail(ErrorKind::Invalid, "server \"{}\": only https:// addresses are spoken to", config.server);
  try {
    return std::unique_ptr<HttpsClient>(new HttpsClient(std::make_unique<Impl>(std::move(config), timeout)));
  } catch (const std::exception& wrong) {
    return fail(ErrorKind::Invalid, "server \"{}\": {}", config.server, wrong.what());
  }
}

Result<HttpsReply> HttpsClient::send(const HttpsRequest& request) {
  try {
    auto response = impl_->client.request(request_of(request, impl_->config.token)).get();
    return HttpsReply{response.status_code(), response.extract_utf8string(true).get()};
  } catch (const http::http_exception& failed) {
    return tl::unexpected(impl_->error(failed, request));
  } catch (const std::exception& failed) {
    return fail(ErrorKind::Unavailable, "{}: {}", impl_->what(request), failed.what());
  }
}

Result<std::unique_ptr<LineReader>> HttpsClient::open_lines(const HttpsRequest& request) {
  try {
    pplx::cancellation_token_source cancel;
    auto response = impl_->client.request(request_of(request, impl_->config.token), cancel.get_token()).get();
    if (response.status_code() == http::status_codes::OK)
      return std::make_unique<Lines>(std::move(response), std::move(cancel), "watch " + impl_->config.server);
    return tl::unexpected(
        error_of(response.status_code(), response.extract_utf8string(true).get(), impl_->what(request)));
  } catch (const http::http_exception& failed) {
    return tl::unexpected(impl_->error(failed, request));
  } catch (const std::exception& failed) {
    return fail(ErrorKind::Unavailable, "{}: {}", impl_->what(request), failed.what());
  }
}

const std::string& HttpsClient::server() const { return impl_->config.server; }

}  // namespace roadstead::kube
