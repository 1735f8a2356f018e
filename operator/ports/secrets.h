#pragma once

#include <string>

#include "operator/base/result.h"

namespace roadstead {

/// Where a secret is kept: exactly one is set.
struct SecretRef {
  std::string file;   ///< Path on the operator's machine; one trailing newline is not part of the secret.
  std::string env;    ///< Name of an environment variable of the operator.
  auto operator<=>(const SecretRef&) const = default;
};

class Secrets {
 public:
  virtual ~Secrets() = default;
  /// Errors: NotFound, Forbidden, Invalid; the message names the reference, never the value.
  virtual Result<std::string> resolve(const SecretRef& ref) = 0;
};

}  // namespace roadstead
