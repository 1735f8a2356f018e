#include "operator/adapters/apiserver/metrics_server.h"

#include "operator/adapters/apiserver/http_server.h"

namespace roadstead::apiserver {
namespace {

constexpr const char* kExpositionFormat = "text/plain; version=0.0.4; charset=utf-8";

Response plain(int status, std::string text) {
  Response response;
  response.status = status;
  response.content_type = "text/plain; charset=utf-8";
  response.body = std::move(text);
  return response;
}

class MetricsHandler final : public Handler {
 public:
  explicit MetricsHandler(std::function<std::string()> body) : body_(std::move(body)) {}

  std::optional<Response> refuse(const Request& head) override {
    if (head.method != "GET") return plain(405, "only GET\n");
    return std::nullopt;
  }
  Response handle(const Request& request) override {
    if (request.path == "/livez") return plain(200, "ok");
    if (request.path != "/metrics") return plain(404, "404 page not found\n");
    Response response = plain(200, body_());
    response.content_type = kExpositionFormat;
    return response;
  }
  Response broken(int status, const std::string& why) override { return plain(status, why + "\n"); }

 private:
  const std::function<std::string()> body_;
};

}  // namespace

struct MetricsServer::Impl {
  std::unique_ptr<HttpServer> http;
};

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MetricsServer::~MetricsServer() = default;

Result<std::unique_ptr<MetricsServer>> MetricsServer::start(const MetricsServerOptions& options,
                                                            std::function<std::string()> body) {
  HttpServerOptions http;
  http.what = "metrics";
  http.address = options.address;
  http.port = options.port;
  http.limits = options.limits;
  http.io_threads = 1;
  http.workers = 1;
  auto server = HttpServer::start(std::move(http), nullptr, std::make_shared<MetricsHandler>(std::move(body)));
  if (!server) return tl::unexpected(server.error());
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::make_unique<Impl>(Impl{std::move(*server)})));
}

std::uint16_t MetricsServer::port() const { return impl_->http->port(); }

void MetricsServer::stop() { impl_->http->stop(); }

}  // namespace roadstead::apiserver
