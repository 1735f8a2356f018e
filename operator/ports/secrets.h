#pragma once

#include <string>

#include "crds/secret_ref.h"
#include "operator/base/result.h"

namespace roadstead {

class Secrets {
 public:
  virtual ~Secrets() = default;
  /// Errors: NotFound, Forbidden, Invalid; the message names the reference, never the value.
  virtual Result<std::string> resolve(const SecretRef& ref) = 0;
};

}  // namespace roadstead
