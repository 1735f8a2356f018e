#pragma once

#include <istream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "crds/yaml/manifest.h"
#include "operator/base/result.h"

namespace roadstead::cli {

struct ReadObject {
  nlohmann::json object;
  std::string where;  ///< "site.yaml:12"

  /// A text of metadata; empty where there is none, or null.
  [[nodiscard]] std::string metadata(const char* field) const;
};

struct ReadManifests {
  std::vector<ReadObject> objects;                         ///< In the order of the files and of the documents in them.
  std::vector<crds::Diagnostic> problems;                  ///< With any of them, nothing is to be applied.
  std::vector<std::pair<std::string, std::size_t>> files;  ///< Each with its number of good objects.
};

/// Reads files, directories (*.yaml, *.yml, *.json in the order of their names; deeper only if `recursive`) and "-"
/// (`in`), and judges them offline. Errors: NotFound, Forbidden, Invalid (a directory without manifests).
[[nodiscard]] Result<ReadManifests> read_all(const std::vector<std::string>& paths, bool recursive, std::istream& in);

}  // namespace roadstead::cli
