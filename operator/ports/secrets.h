#pragma once

#include <string>

#include "crds/common.h"
#include "operator/base/result.h"

namespace roadstead {

using crds::SecretRef;

class Secrets {
 public:
  virtual ~Secrets() = default;
  /// One trailing newline of a file is not part of the secret.
  /// Errors: NotFound, Forbidden, Invalid; the message names the reference, never the value.
  virtual Result<std::string> resolve(const SecretRef& ref) = 0;
  /// The same for what is referred to like a secret and is none: known_hosts lines, certificates.
  virtual Result<std::string> resolve_public(const SecretRef& ref) { return resolve(ref); }
};

}  // namespace roadstead
