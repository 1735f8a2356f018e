#pragma once

#include <sys/types.h>

#include <string>

#include "operator/base/result.h"

namespace roadstead::files {

/// The bytes of a regular file of at most `limit` bytes; never waits for a pipe or a device. `mode`, if not null,
/// becomes its permissions. Errors: NotFound, Forbidden, Invalid (another kind of file, too large), Unavailable.
[[nodiscard]] Result<std::string> read_regular_file(const std::string& path, std::size_t limit, mode_t* mode = nullptr);

}  // namespace roadstead::files
