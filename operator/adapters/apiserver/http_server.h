#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "operator/adapters/apiserver/http_message.h"
#include "operator/adapters/apiserver/server_limits.h"

namespace roadstead::apiserver {

struct TlsMaterial;

struct HttpServerOptions {
  std::string what;  ///< "API server", for messages.
  std::string address;
  std::uint16_t port = 0;  ///< 0: any free one.
  ServerLimits limits;
  unsigned io_threads = 2;
  unsigned workers = 4;  ///< Threads that run the handler, which may block on the store.
};

/// HTTP/1.1 within limits, one strand per connection.
class HttpServer {
 public:
  /// With `tls`: HTTPS. Errors: Unavailable (the address cannot be listened on), Invalid (no such address), Internal.
  [[nodiscard]] static Result<std::unique_ptr<HttpServer>> start(HttpServerOptions options, const TlsMaterial* tls,
                                                                 std::shared_ptr<Handler> handler);
  ~HttpServer();
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] std::size_t connections() const;
  /// For connections from now on.
  [[nodiscard]] Result<void> use_certificate(const TlsMaterial& tls);
  /// Accepts nothing new, closes idle connections, ends watches with their last chunk, gives requests in flight the
  /// drain timeout. Repeating is safe.
  void stop();

 private:
  struct Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace roadstead::apiserver
