#pragma once

#include <sys/types.h>

#include <string>

#include "operator/base/result.h"

/// Small files, read and written whole.
namespace roadstead {

inline constexpr std::size_t kMostFileBytes = std::size_t{4} << 20;

/// All that comes out of a file, a pipe as well. Errors: NotFound, Forbidden, Invalid (a directory, larger than
/// `limit`), Unavailable.
[[nodiscard]] Result<std::string> read_file(const std::string& path, std::size_t limit = kMostFileBytes);

/// The bytes of a regular file of at most `limit` bytes; never waits for a pipe or a device. `mode`, if not null,
/// becomes its permissions. Errors: as read_file; Invalid for another kind of file.
[[nodiscard]] Result<std::string> read_regular_file(const std::string& path, std::size_t limit, mode_t* mode = nullptr);

/// Replaces `path` in one step that a power loss does not undo (written beside it, renamed, both synced), with `mode`
/// from the first byte on. Errors: NoSpace, Forbidden, NotFound (its directory), Unavailable.
[[nodiscard]] Result<void> write_file(const std::string& path, const std::string& content, mode_t mode);

}  // namespace roadstead
