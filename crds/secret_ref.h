#pragma once

#include <compare>
#include <string>

namespace roadstead {

/// Where a secret is kept: exactly one is set.
struct SecretRef {
  std::string file;   ///< Path on the operator's machine; one trailing newline is not part of the secret.
  std::string env;    ///< Name of an environment variable of the operator.
  auto operator<=>(const SecretRef&) const = default;
};

}  // namespace roadstead
