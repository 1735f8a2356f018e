#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "operator/adapters/apiserver/server_limits.h"
#include "operator/base/result.h"

namespace roadstead::apiserver {

struct MetricsServerOptions {
  std::string address = "0.0.0.0";
  std::uint16_t port = 9618;  ///< 0: any free one, see port().
  ServerLimits limits;
};

/// Plain HTTP: /metrics with the text that `body` returns, /livez with "ok". Nothing else.
class MetricsServer {
 public:
  /// `body` is called from any thread, once per scrape. Errors: Unavailable (address in use).
  [[nodiscard]] static Result<std::unique_ptr<MetricsServer>> start(const MetricsServerOptions& options,
                                                                    std::function<std::string()> body);
  ~MetricsServer();
  [[nodiscard]] std::uint16_t port() const;
  void stop();

 private:
  struct Impl;
  explicit MetricsServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace roadstead::apiserver
