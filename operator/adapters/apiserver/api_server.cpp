#include "operator/adapters/apiserver/api_server.h"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "operator/adapters/apiserver/api_handler.h"
#include "operator/adapters/apiserver/http_server.h"
#include "operator/adapters/apiserver/pki.h"
#include "operator/adapters/apiserver/tls_context.h"
#include "operator/base/file.h"
#include "operator/base/log.h"

namespace roadstead::apiserver {
namespace {

constexpr std::chrono::hours kRenewalLook{6};

/// Where a client on this machine reaches a server that listens there.
std::string server_url(const std::string& address, std::uint16_t port) {
  const bool everywhere = address == "0.0.0.0" || address == "::";
  const std::string host = everywhere ? "127.0.0.1" : address;
  return host.find(':') == std::string::npos ? fmt::format("https://{}:{}", host, port)
                                             : fmt::format("https://[{}]:{}", host, port);
}

TlsMaterial tls_of(const Pki& pki) { return {pki.server_certificate, pki.server_key, pki.ca_certificate}; }

Result<Authenticator> read_authenticator(const std::string& data_dir) {
  const std::string path = data_dir + "/tokens.csv";
  const auto text = read_file(path);
  if (!text && text.error().kind != ErrorKind::NotFound) return tl::unexpected(text.error());
  auto authenticator = Authenticator::from_tokens(text ? *text : "");
  if (!authenticator) return within(path, authenticator.error());
  return authenticator;
}

}  // namespace

struct ApiServer::Impl {
  Impl(ApiServerOptions given, const Clock& time) : options(std::move(given)), clock(time) {}

  Result<Pki> certificates() const { return ensure_pki(options.data_dir, server_names(options.address), clock.now()); }
  Result<void> listen(std::shared_ptr<Handler> handler);
  void renew_in_time(const std::stop_token& stop);
  void renew();

  const ApiServerOptions options;
  const Clock& clock;
  std::unique_ptr<HttpServer> http;
  std::jthread renewal;  // last: ends before what it uses
};

Result<void> ApiServer::Impl::listen(std::shared_ptr<Handler> handler) {
  const auto pki = certificates();
  if (!pki) return tl::unexpected(pki.error());
  HttpServerOptions wanted;
  wanted.what = "API server";
  wanted.address = options.address;
  wanted.port = options.port;
  wanted.limits = options.limits;
  const TlsMaterial tls = tls_of(*pki);
  auto started = HttpServer::start(std::move(wanted), &tls, std::move(handler));
  if (!started) return tl::unexpected(started.error());
  http = std::move(*started);
  return write_admin_kubeconfig(options.data_dir, *pki, server_url(options.address, http->port()));
}

void ApiServer::Impl::renew_in_time(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  while (!stop.stop_requested()) {
    never.wait_for(lock, stop, kRenewalLook, [] { return false; });
    if (!stop.stop_requested()) renew();
  }
}

void ApiServer::Impl::renew() {
  const auto pki = certificates();
  if (!pki) {
    log_error("the certificates cannot be renewed", {{"error", pki.error().message}});
    return;
  }
  if (!pki->changed) return;
  auto renewed = http->use_certificate(tls_of(*pki));
  if (renewed) renewed = write_admin_kubeconfig(options.data_dir, *pki, server_url(options.address, http->port()));
  if (renewed)
    log_info("certificates renewed", {{"directory", options.data_dir + "/pki"}});
  else
    log_error("the renewed certificates cannot be used", {{"error", renewed.error().message}});
}

ApiServer::ApiServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ApiServer::~ApiServer() { stop(); }

Result<std::unique_ptr<ApiServer>> ApiServer::start(ApiServerOptions options, ResourceClient& store,
                                                    const ResourceTypes& types,
                                                    std::vector<std::shared_ptr<const crds::Crd>> crds,
                                                    const Clock& clock) {
  auto impl = std::make_unique<Impl>(std::move(options), clock);
  auto authenticator = read_authenticator(impl->options.data_dir);
  if (!authenticator) return tl::unexpected(authenticator.error());
  auto handler = std::make_shared<ApiHandler>(ApiHandlerParts{
      store, types, std::move(crds), clock, std::move(*authenticator), impl->options.version, impl->options.not_ready});
  if (auto listening = impl->listen(std::move(handler)); !listening) return tl::unexpected(listening.error());
  impl->renewal = std::jthread([raw = impl.get()](const std::stop_token& stop) { raw->renew_in_time(stop); });
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(impl)));
}

std::uint16_t ApiServer::port() const { return impl_->http->port(); }

std::string ApiServer::kubeconfig() const { return impl_->options.data_dir + "/admin.kubeconfig"; }

void ApiServer::stop() {
  impl_->renewal.request_stop();
  if (impl_->renewal.joinable()) impl_->renewal.join();
  impl_->http->stop();
}

}  // namespace roadstead::apiserver
