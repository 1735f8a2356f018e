#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "operator/base/result.h"

namespace roadstead::files {

struct ManifestTree {
  std::vector<std::string> files;                  ///< Relative to the root, sorted.
  std::vector<std::filesystem::path> directories;  ///< The root and all below, as they are to be watched.
};

/// Every *.yaml, *.yml and *.json below `root`, symlinks followed. Names that begin with a dot are left out: editors'
/// files, .git, and the `..data` directories of mounted ConfigMaps, whose files also appear under their own names.
/// Errors: NotFound or Unavailable (the root itself cannot be read); what cannot be read below is left out.
[[nodiscard]] Result<ManifestTree> find_manifests(const std::filesystem::path& root);

}  // namespace roadstead::files
