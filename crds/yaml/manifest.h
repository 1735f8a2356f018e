#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "crds/yaml/catalog.h"
#include "crds/yaml/reader.h"

namespace roadstead::crds {

/// One object of a file in which nothing was found wrong, as it was written: without defaults.
struct Manifest {
  nlohmann::json object;
  const Crd* crd = nullptr;  ///< Of the catalog; never null.
  std::size_t line = 0;      ///< Where it begins.
};

struct ManifestFile {
  std::vector<Manifest> objects;     ///< The good ones; a file with any problem is not to be applied in parts.
  std::vector<Diagnostic> problems;  ///< In the order of the file.
};

/// Reads and judges a file as a strict server would, offline: syntax, known kinds, unknown fields, schema, semantics,
/// and the same object twice. `catalog` must outlive the result.
[[nodiscard]] ManifestFile validate_manifests(std::string_view text, std::string_view file, const Catalog& catalog);

}  // namespace roadstead::crds
