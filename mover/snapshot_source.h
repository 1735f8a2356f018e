#pragma once

#include <memory>
#include <string>

#include "mover/tree_source.h"

namespace roadstead::mover {

/// A snapshot of a repository directory as a source: names of extents are known without reading them, and extents
/// travel as they are stored. The directory may be mounted read-only; it stays locked as long as the source lives.
Outcome<std::unique_ptr<TreeSource>> open_snapshot_source(const std::string& path, const std::string& id);

}  // namespace roadstead::mover
