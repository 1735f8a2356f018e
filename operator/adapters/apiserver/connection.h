#pragma once

// Before any Asio header: awaitable.hpp of Boost 1.74 uses std::exchange without including it.
// clang-format off
#include <utility>
// clang-format on

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <memory>
#include <optional>
#include <string>

#include "operator/adapters/apiserver/line_pump.h"
#include "operator/adapters/apiserver/server_state.h"
#include "operator/base/text.h"

/// One connection as coroutines on its own strand; a template over the stream (TLS or plain). g++ 12 rules kept here:
/// no braced list and no capturing lambda in an expression with co_await; detached coroutines take shared_ptr by value.
namespace roadstead::apiserver {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using ErrorCode = boost::system::error_code;

/// What differs between TLS and plain streams: `open`, `close` (coroutines) and `user`.
template <class Stream>
struct StreamOps;

template <class Stream>
class Connection final : public ConnectionBase, public std::enable_shared_from_this<Connection<Stream>> {
 public:
  template <class... Args>
  Connection(std::string peer_address, std::shared_ptr<ServerState> server, Args&&... stream_args)
      : peer(std::move(peer_address)),
        state(std::move(server)),
        stream(std::forward<Args>(stream_args)...),
        wake(stream.get_executor()),
        buffer(2 * state->limits.header_bytes + (std::size_t{64} << 10)) {}
  ~Connection() override { state->leave(this, peer); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void drain() override {
    asio::post(stream.get_executor(), [self = this->shared_from_this()] {
      self->draining = true;
      if (self->idle) beast::get_lowest_layer(self->stream).cancel();
      self->wake.cancel();
    });
  }

  const std::string peer;
  const std::shared_ptr<ServerState> state;
  std::shared_ptr<void> keeps;  ///< What the stream needs alive: the TLS context.
  Stream stream;
  asio::steady_timer wake;  ///< A watch sleeps on it; cancelled when there is something to look at.
  beast::flat_buffer buffer;
  // All of these belong to the strand.
  bool idle = false;      ///< Between two requests.
  bool draining = false;  ///< The server stops.
  bool peer_gone = false;
  bool detecting = false;  ///< A read is pending that ends when the peer leaves.
  char detected = 0;
};

template <class Stream>
using ConnectionPtr = std::shared_ptr<Connection<Stream>>;

template <class Stream>
auto& lowest(Connection<Stream>& connection) {
  return beast::get_lowest_layer(connection.stream);
}

inline asio::awaitable<void> handle_on_worker(std::shared_ptr<ServerState> state,
                                              std::shared_ptr<const Request> request,
                                              std::shared_ptr<Response> response) {
  *response = state->handler->handle(*request);
  co_return;
}

inline http::response<http::string_body> message_of(Response& response, unsigned version, bool keep_alive) {
  http::response<http::string_body> message(static_cast<http::status>(response.status), version);
  message.set(http::field::content_type, response.content_type);
  for (const auto& [name, value] : response.headers) message.set(name, value);
  message.body() = std::move(response.body);
  message.keep_alive(keep_alive);
  message.prepare_payload();
  return message;
}

inline http::response<http::empty_body> stream_head_of(const Response& response, unsigned version) {
  http::response<http::empty_body> message(static_cast<http::status>(response.status), version);
  message.set(http::field::content_type, response.content_type);
  for (const auto& [name, value] : response.headers) message.set(name, value);
  message.keep_alive(false);
  message.chunked(true);
  return message;
}

template <class Message>
Result<void> read_head(const Message& message, Request& request) {
  request.method = std::string(message.method_string());
  for (const auto& field : message)
    request.headers.emplace_back(lower(std::string_view(field.name_string().data(), field.name_string().size())),
                                 std::string(field.value()));
  return set_target(request, std::string_view(message.target().data(), message.target().size()));
}

/// The answer's code for a request that could not be read; 0: nobody is there to be answered.
inline int code_of(const ErrorCode& error) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  if (error == http::error::body_limit) return 413;
  if (error == http::error::end_of_stream || error == http::error::partial_message) return 0;
  return error.category() == make_error_code(http::error::bad_method).category() ? 400 : 0;
}

template <class Stream>
asio::awaitable<bool> send(ConnectionPtr<Stream> connection, std::shared_ptr<Response> response, unsigned version,
                           bool keep_alive) {
  auto message = message_of(*response, version, keep_alive);
  lowest(*connection).expires_after(connection->state->limits.write_timeout);
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await http::async_write(connection->stream, message, token);
  co_return !error && keep_alive;
}

/// After a refusal with a body still on its way: reads on for a moment, or the peer would see a reset, not the answer.
template <class Stream>
asio::awaitable<void> swallow_rest(ConnectionPtr<Stream> connection) {
  std::string sink(std::size_t{64} << 10, '\0');
  std::size_t left = std::size_t{16} << 20;
  lowest(*connection).expires_after(std::chrono::seconds(2));
  ErrorCode error;
  while (!error && left > 0) {
    auto space = asio::buffer(sink);
    auto token = asio::redirect_error(asio::use_awaitable, error);
    const std::size_t got = co_await connection->stream.async_read_some(space, token);
    left -= std::min(left, got);
  }
}

template <class Stream>
asio::awaitable<bool> send_broken(ConnectionPtr<Stream> connection, int code, std::string why) {
  auto response = std::make_shared<Response>(connection->state->handler->broken(code, why));
  co_await send(connection, response, 11, false);
  co_await swallow_rest(connection);
  co_return false;
}

/// Ends when the peer leaves: the only way to notice it while nothing is sent.
template <class Stream>
asio::awaitable<void> detect_leaving(ConnectionPtr<Stream> connection) {
  // A chunk may be on its way already, and its time limit would become this read's.
  lowest(*connection).expires_never();
  ErrorCode error;
  auto space = asio::buffer(&connection->detected, 1);
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await connection->stream.async_read_some(space, token);
  connection->peer_gone = true;  // a watcher that sends another request before the end is none of ours either
  connection->detecting = false;
  connection->wake.cancel();
}

template <class Stream>
asio::awaitable<void> sleep_until_woken(ConnectionPtr<Stream> connection) {
  ErrorCode ignored;
  connection->wake.expires_at(asio::steady_timer::time_point::max());
  auto token = asio::redirect_error(asio::use_awaitable, ignored);
  co_await connection->wake.async_wait(token);
}

template <class Stream>
asio::awaitable<bool> send_chunk(ConnectionPtr<Stream> connection, std::shared_ptr<const std::string> text) {
  lowest(*connection).expires_after(connection->state->limits.write_timeout);
  ErrorCode error;
  auto chunk = http::make_chunk(asio::buffer(*text));
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await asio::async_write(connection->stream, chunk, token);
  co_return !error;
}

template <class Stream>
asio::awaitable<void> send_last_chunk(ConnectionPtr<Stream> connection) {
  lowest(*connection).expires_after(connection->state->limits.write_timeout);
  ErrorCode ignored;
  auto chunk = http::make_chunk_last();
  auto token = asio::redirect_error(asio::use_awaitable, ignored);
  co_await asio::async_write(connection->stream, chunk, token);
}

template <class Stream>
std::function<void()> waker(const ConnectionPtr<Stream>& connection) {
  return [weak = std::weak_ptr(connection), executor = connection->stream.get_executor()] {
    asio::post(executor, [weak] {
      if (auto alive = weak.lock()) alive->wake.cancel();
    });
  };
}

/// Starts the thread that follows the watch. Nothing: there are too many already.
template <class Stream>
std::optional<std::stop_source> start_pump(const ConnectionPtr<Stream>& connection, std::shared_ptr<LinePump> pump,
                                           std::shared_ptr<LineStream> lines) {
  return connection->state->watches.run([pump = std::move(pump), lines = std::move(lines), notify = waker(connection)](
                                            const std::stop_token& stop) { pump->run(*lines, stop, notify); });
}

template <class Stream>
asio::awaitable<void> send_lines(ConnectionPtr<Stream> connection, std::shared_ptr<LinePump> pump) {
  for (;;) {
    LinePump::Taken taken = pump->take();
    if (connection->peer_gone) co_return;
    if (!taken.text.empty()) {
      auto text = std::make_shared<const std::string>(std::move(taken.text));
      const bool sent = co_await send_chunk(connection, text);
      if (!sent) co_return;
    }
    if (taken.cut) co_return;  // no last chunk: the watcher sees that something is missing
    if (taken.last || connection->draining) {
      co_await send_last_chunk(connection);
      co_return;
    }
    if (taken.text.empty()) co_await sleep_until_woken(connection);
  }
}

template <class Stream>
asio::awaitable<void> end_detecting(ConnectionPtr<Stream> connection) {
  const bool gone = connection->peer_gone;
  while (connection->detecting) {
    lowest(*connection).cancel();
    co_await sleep_until_woken(connection);
  }
  connection->peer_gone = gone;  // ending the read ourselves looked like it
}

/// A watch is the last thing on its connection.
template <class Stream>
asio::awaitable<bool> send_stream(ConnectionPtr<Stream> connection, std::shared_ptr<Response> response,
                                  unsigned version) {
  const ServerLimits& limits = connection->state->limits;
  auto pump = std::make_shared<LinePump>(limits.watch_queue_bytes, limits.write_timeout);
  auto source = start_pump(connection, pump, std::shared_ptr<LineStream>(std::move(response->stream)));
  if (!source) {
    const bool sent = co_await send_broken(connection, 429, "too many watches are open");
    co_return sent;
  }
  auto head = stream_head_of(*response, version);
  http::response_serializer<http::empty_body> serializer(head);
  lowest(*connection).expires_after(limits.write_timeout);
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await http::async_write_header(connection->stream, serializer, token);
  if (!error) {
    lowest(*connection).expires_never();
    connection->detecting = true;
    asio::co_spawn(connection->stream.get_executor(), detect_leaving(connection), asio::detached);
    co_await send_lines(connection, pump);
    co_await end_detecting(connection);
  }
  source->request_stop();
  co_return false;
}

template <class Stream>
asio::awaitable<ErrorCode> wait_for_first_byte(ConnectionPtr<Stream> connection, bool first) {
  ErrorCode error;
  if (connection->draining) co_return asio::error::operation_aborted;
  if (connection->buffer.size() > 0) co_return error;
  const ServerLimits& limits = connection->state->limits;
  lowest(*connection).expires_after(first ? limits.header_timeout : limits.idle_timeout);
  connection->idle = true;
  auto space = connection->buffer.prepare(4096);
  auto token = asio::redirect_error(asio::use_awaitable, error);
  const std::size_t got = co_await connection->stream.async_read_some(space, token);
  connection->buffer.commit(got);
  connection->idle = false;
  co_return error;
}

template <class Stream>
asio::awaitable<bool> send_continue(ConnectionPtr<Stream> connection) {
  static const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
  ErrorCode error;
  auto text = asio::buffer(go_on);
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await asio::async_write(connection->stream, text, token);
  co_return !error;
}

template <class Stream>
asio::awaitable<bool> answer(ConnectionPtr<Stream> connection, std::shared_ptr<const Request> request, unsigned version,
                             bool keep_alive) {
  auto response = std::make_shared<Response>();
  lowest(*connection).expires_never();  // the handler has its own limits
  auto work = handle_on_worker(connection->state, request, response);
  co_await asio::co_spawn(connection->state->workers.get_executor(), std::move(work), asio::use_awaitable);
  if (response->stream) {
    const bool more = co_await send_stream(connection, response, version);
    co_return more;
  }
  const bool more = co_await send(connection, response, version, keep_alive && !connection->draining);
  co_return more;
}

/// One request and its answer. False: close the connection.
template <class Stream>
asio::awaitable<bool> serve_one(ConnectionPtr<Stream> connection, bool first) {
  const ServerLimits& limits = connection->state->limits;
  const ErrorCode silence = co_await wait_for_first_byte(connection, first);
  if (silence || connection->draining) co_return false;

  http::request_parser<http::string_body> parser;
  parser.header_limit(static_cast<std::uint32_t>(limits.header_bytes));
  parser.body_limit(limits.body_bytes);
  ErrorCode error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  lowest(*connection).expires_after(limits.header_timeout);
  co_await http::async_read_header(connection->stream, connection->buffer, parser, token);
  if (error) {
    const int code = code_of(error);
    if (code == 0) co_return false;
    const bool more = co_await send_broken(connection, code, error.message());
    co_return more;
  }

  auto request = std::make_shared<Request>();
  request->certificate = StreamOps<Stream>::user(connection->stream);
  if (auto head = read_head(parser.get(), *request); !head) {
    const bool more = co_await send_broken(connection, 400, head.error().message);
    co_return more;
  }
  const unsigned version = parser.get().version();
  const bool keep_alive = parser.keep_alive();
  if (auto refusal = connection->state->handler->refuse(*request)) {
    auto response = std::make_shared<Response>(std::move(*refusal));
    const bool body_follows = !parser.is_done();
    const bool more = co_await send(connection, response, version, keep_alive && !body_follows);
    if (body_follows) co_await swallow_rest(connection);
    co_return more;
  }

  if (!parser.is_done()) {
    lowest(*connection).expires_after(limits.body_timeout);
    if (request->header("expect") == "100-continue") {
      const bool told = co_await send_continue(connection);
      if (!told) co_return false;
    }
    co_await http::async_read(connection->stream, connection->buffer, parser, token);
    if (error) {
      const int code = code_of(error);
      if (code == 0) co_return false;
      const bool more = co_await send_broken(connection, code, error.message());
      co_return more;
    }
  }
  request->body = std::move(parser.get().body());
  const bool more = co_await answer(connection, request, version, keep_alive);
  co_return more;
}

template <class Stream>
asio::awaitable<void> serve(ConnectionPtr<Stream> connection) {
  lowest(*connection).expires_after(connection->state->limits.header_timeout);
  const ErrorCode refused = co_await StreamOps<Stream>::open(connection->stream);
  bool more = !refused;
  for (bool first = true; more; first = false) more = co_await serve_one(connection, first);
  if (!refused && !connection->peer_gone) {
    lowest(*connection).expires_after(std::chrono::seconds(2));
    co_await StreamOps<Stream>::close(connection->stream);
  }
  lowest(*connection).close();
}

/// Registers and runs the connection; it lives as long as its coroutines.
template <class Stream>
void start_connection(const ConnectionPtr<Stream>& connection) {
  connection->state->add(connection.get(), connection);
  if (connection->state->draining) connection->drain();
  asio::co_spawn(connection->stream.get_executor(), serve(connection), asio::detached);
}

}  // namespace roadstead::apiserver
