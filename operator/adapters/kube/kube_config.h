#pragma once

#include <string>

#include "operator/base/result.h"

namespace roadstead::kube {

/// How to reach an API: the current context of a kubeconfig.
struct KubeConfig {
  std::string server;              ///< "https://127.0.0.1:6440"
  std::string ca_certificate;      ///< PEM.
  std::string client_certificate;  ///< PEM; empty: none.
  std::string client_key;          ///< PEM.
  std::string token;               ///< Bearer token; empty: none.
};

/// Reads `path`. Certificates and keys may be inline (…-data) or files named relative to `path`.
/// Errors: NotFound (no such file), Forbidden (not readable), Invalid (not a kubeconfig; names the field).
[[nodiscard]] Result<KubeConfig> read_kubeconfig(const std::string& path);

}  // namespace roadstead::kube
