#include "operator/adapters/apiserver/connection.h"

namespace roadstead::apiserver {

template <>
struct StreamOps<beast::tcp_stream> {
  static asio::awaitable<ErrorCode> open(beast::tcp_stream&) { co_return ErrorCode(); }
  static asio::awaitable<void> close(beast::tcp_stream& stream) {
    ErrorCode ignored;
    stream.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    co_return;
  }
  static User user(beast::tcp_stream&) { return {}; }
};

void serve_http(asio::ip::tcp::socket socket, std::string peer, std::shared_ptr<ServerState> state) {
  start_connection(
      std::make_shared<Connection<beast::tcp_stream>>(std::move(peer), std::move(state), std::move(socket)));
}

}  // namespace roadstead::apiserver
