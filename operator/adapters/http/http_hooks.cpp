#include "operator/adapters/http/http_hooks.h"

#include <cpprest/containerstream.h>
#include <cpprest/http_client.h>

#include <algorithm>
#include <future>
#include <memory>

#include "operator/adapters/rest/process.h"

namespace roadstead::http {
namespace {

namespace web_http = web::http;

constexpr std::size_t kLongestBody = 4096;
constexpr Millis kLook{50};  // how soon a stop is noticed

web_http::http_request request_of(const HttpHookRequest& wanted) {
  web_http::http_request request(wanted.method);
  request.headers().add("User-Agent", "roadstead/1");
  for (const auto& [name, value] : wanted.headers) request.headers().add(name, value);
  if (!wanted.body.empty())
    request.set_body(wanted.body, request.headers().has("Content-Type") ? request.headers().content_type()
                                                                        : std::string("application/json"));
  return request;
}

Error error_of(const std::string& url, const std::exception& failed) {
  const std::string text = failed.what();
  if (text.find("SSL handshake") != std::string::npos)
    return {ErrorKind::Unavailable,
            fmt::format("{}: TLS was refused: the server's certificate is not signed by an authority that this system "
                        "knows, or is not for this name",
                        url)};
  if (text.find("Failed to connect") != std::string::npos || text.find("Error resolving") != std::string::npos)
    return {ErrorKind::Unavailable, fmt::format("cannot connect to {}", url)};
  return {ErrorKind::Unavailable, fmt::format("{}: {}", url, text)};
}

/// The beginning of a body; its end does not matter, nor whether it is cut short.
std::string beginning(const web_http::http_response& response) {
  std::string text;
  try {
    while (text.size() < kLongestBody) {
      concurrency::streams::container_buffer<std::string> piece;
      const std::size_t got = response.body().read(piece, kLongestBody - text.size()).get();
      if (got == 0) break;
      text.append(piece.collection(), 0, got);
    }
  } catch (const std::exception&) {
    // What was read is told.
  }
  return text;
}

using Promise = std::promise<Result<HttpHookAnswer>>;

/// A request under way: its thread of cpprest may outlive whoever waits for it.
struct Sending {
  explicit Sending(const HttpHookRequest& request, const web_http::client::http_client_config& config)
      : url(request.url), client(web::uri(request.url), config) {}
  std::string url;
  web_http::client::http_client client;
  pplx::cancellation_token_source cancel;
  Promise promise;
};

void begin(const std::shared_ptr<Sending>& sending, const HttpHookRequest& request) {
  sending->client.request(request_of(request), sending->cancel.get_token())
      .then([sending](const pplx::task<web_http::http_response>& task) {
        try {
          const auto response = task.get();
          sending->promise.set_value(HttpHookAnswer{response.status_code(), beginning(response)});
        } catch (const std::exception& failed) {
          sending->promise.set_value(tl::unexpected(error_of(sending->url, failed)));
        }
      });
}

class CpprestHooks final : public HttpHooks {
 public:
  CpprestHooks() { rest::prepare_process(); }

  Result<HttpHookAnswer> send(const HttpHookRequest& request, std::stop_token stop) override {
    if (!request.url.starts_with("http://") && !request.url.starts_with("https://"))
      return fail(ErrorKind::Invalid, "\"{}\" is no address: write http://... or https://...", request.url);
    std::shared_ptr<Sending> sending;
    std::future<Result<HttpHookAnswer>> answer;
    try {
      web_http::client::http_client_config config;
      config.set_timeout(std::chrono::duration_cast<std::chrono::microseconds>(request.time_limit));
      config.set_validate_certificates(true);
      config.set_max_redirects(0);
      sending = std::make_shared<Sending>(request, config);
      answer = sending->promise.get_future();
      begin(sending, request);
    } catch (const std::exception& wrong) {
      return fail(ErrorKind::Invalid, "{}: {}", request.url, wrong.what());
    }
    return waited(*sending, answer, request, stop);
  }

 private:
  static Result<HttpHookAnswer> waited(Sending& sending, std::future<Result<HttpHookAnswer>>& answer,
                                       const HttpHookRequest& request, const std::stop_token& stop) {
    const auto end = std::chrono::steady_clock::now() + request.time_limit;
    while (answer.wait_for(kLook) != std::future_status::ready) {
      const bool late = std::chrono::steady_clock::now() >= end;
      if (!late && !stop.stop_requested()) continue;
      sending.cancel.cancel();
      if (late)
        return fail(ErrorKind::Timeout, "{}: no whole answer within {} ms", request.url, request.time_limit.count());
      return fail(ErrorKind::Cancelled, "{}: stopped", request.url);
    }
    return answer.get();
  }
};

}  // namespace

std::unique_ptr<HttpHooks> make_http_hooks() { return std::make_unique<CpprestHooks>(); }

}  // namespace roadstead::http
