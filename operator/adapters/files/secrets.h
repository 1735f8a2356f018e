#pragma once

#include <string>

#include "operator/ports/secrets.h"

namespace roadstead::files {

/// Secrets from files on the operator's machine and from its environment, read anew each time: a rotated secret counts
/// from the next use on. A file that others than its owner and group may read is used, and told once in the log.
/// Safe from any thread.
class FileEnvSecrets final : public Secrets {
 public:
  static constexpr std::size_t kMaxBytes = std::size_t{64} << 10;

  /// Errors: NotFound (no such file or variable), Forbidden (may not be read), Invalid (neither or both are named, a
  /// relative path, no regular file, empty, larger than kMaxBytes).
  /// Warns, once a file, of one that everybody may read.
  Result<std::string> resolve(const SecretRef& ref) override;
  Result<std::string> resolve_public(const SecretRef& ref) override;
};

}  // namespace roadstead::files
