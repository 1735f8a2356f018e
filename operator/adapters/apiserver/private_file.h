#pragma once

#include <sys/types.h>

#include <string>

#include "operator/base/result.h"

namespace roadstead::apiserver {

/// Whole content. Errors: NotFound, Forbidden, Internal.
[[nodiscard]] Result<std::string> read_file(const std::string& path);

/// Replaces `path` in one step (written beside it, synced, renamed), with `mode` from the first byte on.
/// Errors: NoSpace, Forbidden, Internal.
[[nodiscard]] Result<void> write_file(const std::string& path, const std::string& content, mode_t mode);

}  // namespace roadstead::apiserver
