#include "operator/adapters/apiserver/http_server.h"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <thread>
#include <utility>  // before any Asio header: awaitable.hpp of Boost 1.74 needs it
#include <vector>

#include "operator/adapters/apiserver/server_state.h"
#include "operator/adapters/apiserver/tls_context.h"
#include "operator/base/log.h"

namespace roadstead::apiserver {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr Millis kPauseWithoutDescriptors{200};

bool out_of_resources(const ErrorCode& error) {
  namespace errc = boost::system::errc;
  return error == errc::too_many_files_open || error == errc::too_many_files_open_in_system ||
         error == errc::no_buffer_space || error == errc::not_enough_memory;
}

}  // namespace

/// Accepting, as callbacks on one strand: small enough to need no coroutine.
struct HttpServer::Impl {
  Impl(HttpServerOptions given, bool with_tls, std::shared_ptr<Handler> handler)
      : options(std::move(given)),
        tls(with_tls),
        state(std::make_shared<ServerState>(options, std::move(handler))),
        acceptor(asio::make_strand(context)),
        pause(acceptor.get_executor()) {}

  Result<void> listen();
  void accept();
  void accepted(const ErrorCode& error, tcp::socket socket);
  void serve(tcp::socket socket);
  void stop();

  const HttpServerOptions options;
  const bool tls;
  const std::shared_ptr<ServerState> state;
  asio::io_context context;
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  bool complained = false;  // belongs to the acceptor's strand
  std::uint16_t port = 0;
  bool stopped = false;
  std::vector<std::jthread> threads;
};

Result<void> HttpServer::Impl::listen() {
  ErrorCode error;
  const asio::ip::address address = asio::ip::make_address(options.address, error);
  if (error) return fail(ErrorKind::Invalid, "listen on {}: not an IP address", options.address);
  const tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return fail(ErrorKind::Unavailable, "{}: listen on {}:{}: {}", options.what, options.address, options.port,
                error.message());
  port = acceptor.local_endpoint().port();
  return {};
}

void HttpServer::Impl::accept() {
  acceptor.async_accept(asio::make_strand(context),
                        [this](const ErrorCode& error, tcp::socket socket) { accepted(error, std::move(socket)); });
}

void HttpServer::Impl::accepted(const ErrorCode& error, tcp::socket socket) {
  if (state->draining || !acceptor.is_open()) return;
  if (out_of_resources(error)) {
    // The pending connection stays in the kernel's queue: asking at once again would spin.
    if (!std::exchange(complained, true))
      log_warning("no descriptors left to accept a connection; waiting", {{"server", options.what}});
    pause.expires_after(kPauseWithoutDescriptors);
    pause.async_wait([this](const ErrorCode& cancelled) {
      if (!cancelled && acceptor.is_open()) accept();
    });
    return;
  }
  complained = false;
  if (!error) serve(std::move(socket));
  accept();
}

void HttpServer::Impl::serve(tcp::socket socket) {
  ErrorCode error;
  const tcp::endpoint remote = socket.remote_endpoint(error);
  if (error) return;  // gone already
  const std::string peer = remote.address().to_string();
  if (!state->enter(peer)) return;  // closed by its destructor: over the cap there is no room for a polite answer
  socket.set_option(tcp::no_delay(true), error);
  if (tls)
    serve_https(std::move(socket), peer, state);
  else
    serve_http(std::move(socket), peer, state);
}

void HttpServer::Impl::stop() {
  if (std::exchange(stopped, true)) return;
  state->draining = true;
  asio::post(acceptor.get_executor(), [this] {
    ErrorCode ignored;
    acceptor.close(ignored);
    pause.cancel();
  });
  for (const auto& connection : state->all()) connection->drain();
  state->wait_until_empty(options.limits.drain_timeout);
  context.stop();
  threads.clear();
  // What was posted above may not have run any more; a port still listened on would swallow clients.
  ErrorCode ignored;
  acceptor.close(ignored);
  state->watches.stop_and_join();
  state->workers.join();
}

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

HttpServer::~HttpServer() { stop(); }

Result<std::unique_ptr<HttpServer>> HttpServer::start(HttpServerOptions options, const TlsMaterial* tls,
                                                      std::shared_ptr<Handler> handler) {
  std::unique_ptr<HttpServer> server(
      new HttpServer(std::make_unique<Impl>(std::move(options), tls != nullptr, std::move(handler))));
  Impl& impl = *server->impl_;
  if (tls)
    if (auto usable = server->use_certificate(*tls); !usable) return tl::unexpected(usable.error());
  if (auto listening = impl.listen(); !listening) return tl::unexpected(listening.error());
  impl.accept();
  for (unsigned i = 0; i < impl.options.io_threads; ++i)
    impl.threads.emplace_back([&context = impl.context] { context.run(); });
  return server;
}

std::uint16_t HttpServer::port() const { return impl_->port; }

std::size_t HttpServer::connections() const { return impl_->state->connections(); }

Result<void> HttpServer::use_certificate(const TlsMaterial& tls) {
  return make_tls_context(tls).map([&](auto context) { impl_->state->set_tls(std::move(context)); });
}

void HttpServer::stop() { impl_->stop(); }

}  // namespace roadstead::apiserver
