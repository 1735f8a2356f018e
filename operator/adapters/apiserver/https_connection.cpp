#include <boost/asio/ssl/stream_base.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <utility>  // before any Asio header: awaitable.hpp of Boost 1.74 needs it

#include "operator/adapters/apiserver/connection.h"
#include "operator/adapters/apiserver/tls_context.h"

namespace roadstead::apiserver {

namespace {
using TlsStream = beast::ssl_stream<beast::tcp_stream>;
}

template <>
struct StreamOps<TlsStream> {
  static asio::awaitable<ErrorCode> open(TlsStream& stream) {
    ErrorCode error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await stream.async_handshake(asio::ssl::stream_base::server, token);
    co_return error;
  }
  static asio::awaitable<void> close(TlsStream& stream) {
    ErrorCode ignored;
    auto token = asio::redirect_error(asio::use_awaitable, ignored);
    co_await stream.async_shutdown(token);
  }
  static User user(TlsStream& stream) { return user_of(stream.native_handle()); }
};

void serve_https(asio::ip::tcp::socket socket, std::string peer, std::shared_ptr<ServerState> state) {
  auto context = state->tls();
  auto connection =
      std::make_shared<Connection<TlsStream>>(std::move(peer), std::move(state), std::move(socket), *context);
  connection->keeps = context;
  start_connection(connection);
}

}  // namespace roadstead::apiserver
