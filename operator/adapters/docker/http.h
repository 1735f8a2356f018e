#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operator/base/result.h"
#include "operator/base/text.h"
#include "operator/ports/engine.h"
#include "operator/ports/transport.h"

namespace roadstead::docker {

struct HttpRequest {
  std::string method;                                        ///< "GET"
  std::string target;                                        ///< Path and query, encoded: "/v1.41/info".
  std::vector<std::pair<std::string, std::string>> headers;  ///< Beside Host, User-Agent and the body's length.
  std::string body;
  ByteSource upload;  ///< Set: sent as a chunked body instead of `body`.
};

class HttpConnection;

/// The answer to one request; its body is read piece by piece as it arrives. Destroyed before the body's end, it drops
/// the connection. One thread at a time.
class HttpReply {
 public:
  explicit HttpReply(std::unique_ptr<HttpConnection> connection);
  HttpReply(HttpReply&&) noexcept;
  HttpReply& operator=(HttpReply&&) noexcept;
  ~HttpReply();

  [[nodiscard]] int status() const;
  /// Empty where there is none; the name's case does not matter.
  [[nodiscard]] std::string header(std::string_view name) const;
  /// The next piece, valid until the next call; empty at the body's end. Errors: Unavailable (cut short), Timeout,
  /// Cancelled.
  Result<std::span<const std::byte>> next_piece(const Limits& limits);
  /// The rest of the body. Errors: as above; Invalid: more than `at_most` bytes.
  Result<std::string> rest(std::size_t at_most, const Limits& limits);
  /// After 101 (or a body without length): the connection itself; bytes already read come first.
  std::unique_ptr<ByteStream> take_stream() &&;

 private:
  std::unique_ptr<HttpConnection> connection_;
};

using SteadyNow = std::function<std::chrono::steady_clock::time_point()>;

/// HTTP/1.1 over any transport. Safe to use from several threads; each request has a connection for itself.
class HttpClient {
 public:
  static constexpr std::size_t kIdleMax = 4;
  static constexpr std::chrono::seconds kIdleFor{30};

  explicit HttpClient(std::shared_ptr<Transport> transport, std::size_t idle_max = kIdleMax,
                      std::chrono::seconds idle_for = kIdleFor, SteadyNow now = std::chrono::steady_clock::now);
  ~HttpClient();

  /// Sends and reads the answer's head. The connection comes from the pool and goes back to it after the body's end.
  /// A pooled connection that turns out to be dead before the first byte of an answer is replaced by a new one, once,
  /// where repeating is harmless (GET, HEAD).
  Result<HttpReply> send(const HttpRequest& request, const Limits& limits);
  /// The same on a connection of its own: for what lasts (events, logs, wait, exec) or carries an upload.
  Result<HttpReply> send_dedicated(const HttpRequest& request, const Limits& limits);

 private:
  class Pool;
  Result<HttpReply> send_on(std::unique_ptr<ByteStream> stream, const HttpRequest& request, const Limits& limits,
                            bool pooled, bool* answered);
  std::shared_ptr<Transport> transport_;
  std::shared_ptr<Pool> pool_;
  friend class HttpConnection;
};

using Parameters = std::vector<std::pair<std::string, std::string>>;

/// "?a=b&c=d" with both sides encoded; nothing for no parameters.
std::string query_of(const Parameters& parameters);

}  // namespace roadstead::docker
