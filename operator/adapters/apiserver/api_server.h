#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "crds/schema/crd.h"
#include "operator/adapters/apiserver/server_limits.h"
#include "operator/base/clock.h"
#include "operator/base/result.h"
#include "operator/ports/resource_client.h"
#include "operator/ports/resource_type.h"

namespace roadstead::apiserver {

struct ApiServerOptions {
  std::string data_dir;  ///< Holds pki/, admin.kubeconfig and, if somebody wrote one, tokens.csv.
  std::string address = "127.0.0.1";
  std::uint16_t port = 6440;  ///< 0: any free one, see port().
  std::string version = "0.1.0";
  ServerLimits limits;
  /// Empty when the operator is fit to serve; else the reason, for /readyz. Called from any thread.
  std::function<std::string()> not_ready;
};

/// The resources over HTTPS with Kubernetes' paths and JSON. Makes its own certificate authority at the first start and
/// renews what is about to run out, also while it runs.
/// Bearer tokens come from DATA/tokens.csv ("token,user,uid[,\"group,group\"]", Kubernetes' static token file).
class ApiServer {
 public:
  /// Serves the kinds of `types`; `crds` give their tables' columns. `store`, `types` and `clock` outlive the server.
  /// Errors: Unavailable (address in use), Invalid (tokens.csv), Internal (pki).
  [[nodiscard]] static Result<std::unique_ptr<ApiServer>> start(ApiServerOptions options, ResourceClient& store,
                                                                const ResourceTypes& types,
                                                                std::vector<std::shared_ptr<const crds::Crd>> crds,
                                                                const Clock& clock);
  ~ApiServer();
  [[nodiscard]] std::uint16_t port() const;
  /// DATA/admin.kubeconfig.
  [[nodiscard]] std::string kubeconfig() const;
  /// Accepts nothing new, ends watches, lets requests in flight finish within the drain timeout. Repeating is safe.
  void stop();

 private:
  struct Impl;
  explicit ApiServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace roadstead::apiserver
