#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "operator/base/result.h"
#include "operator/ports/engine.h"

namespace roadstead::docker {

/// A tar archive with these entries, in this order. Errors: Invalid (a path that is absolute, empty or holds "..").
Result<std::string> make_tar(std::span<const ArchiveFile> files);

/// The regular files of a tar archive, read as it arrives.
/// Errors: Invalid (more than `at_most` bytes of content, or no tar), and what `source` gives.
Result<std::vector<ArchiveFile>> read_tar(const ByteSource& source, std::size_t at_most);

}  // namespace roadstead::docker
