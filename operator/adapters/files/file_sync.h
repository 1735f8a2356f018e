#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crds/yaml/catalog.h"
#include "crds/yaml/manifest.h"
#include "metrics/metrics.h"
#include "operator/adapters/files/manifest_tree.h"
#include "operator/base/clock.h"
#include "operator/ports/resource_client.h"
#include "operator/ports/source_marks.h"

namespace roadstead::files {

inline constexpr std::string_view kFieldManager = "roadstead-files";

/// Brings the API to what a directory of manifests says; passive, one pass at a time.
/// - A document is applied when it is new or changed; what people change by hand in the object stays until then.
/// - A file with anything wrong is not applied in parts: what came from it before stays as it is. What is wrong is told
///   (log, Warning event at the objects that came from it and at the file's name, metric) when it is new.
/// - Nothing is deleted: an object whose document is gone gets an annotation and an event.
/// - Of two files with the same object, the one it came from holds it, also while that one is broken; else the first by
///   name. The other is refused.
class FileSync {
 public:
  /// References must outlive this.
  FileSync(std::filesystem::path directory, const crds::Catalog& catalog, ResourceClient& api, Metrics& metrics,
           const Clock& clock);

  struct Pass {
    std::vector<std::filesystem::path> directories;  ///< To be watched.
    bool again_soon = false;  ///< Something failed that may go better without a change of the files.
  };
  /// Errors: the directory or the API cannot be read; nothing was changed.
  Result<Pass> run();

 private:
  struct Source {
    std::string path;
    crds::ManifestFile manifest;
    std::vector<std::string> problems;  ///< "hosts.yaml:12:5: spec...": the file is not applied.
  };
  /// An object that came from a file, as the API has it.
  struct Sourced {
    std::string file;
    std::string hash;
    bool missing = false;
    nlohmann::json object;
  };
  using SourcedObjects = std::map<ObjectKey, Sourced>;

  std::vector<Source> read(const ManifestTree& tree);
  Result<SourcedObjects> sourced_objects();
  void refuse_duplicates(std::vector<Source>& sources, const SourcedObjects& sourced) const;
  /// True: try again soon.
  bool apply(Source& source, const SourcedObjects& sourced);
  bool mark_missing(const std::vector<Source>& sources, SourcedObjects& sourced);
  void tell_problems(const std::vector<Source>& sources, const SourcedObjects& sourced);
  void tell(const ObjectKey& about, const std::string& uid, bool warning, std::string reason, std::string message);

  const std::filesystem::path directory_;
  const crds::Catalog& catalog_;
  ResourceClient& api_;
  const Clock& clock_;
  Gauge broken_, missing_, last_scan_;

  struct Parsed {
    std::string hash;
    crds::ManifestFile manifest;
  };
  std::map<std::string, Parsed> parsed_;     // by file: what did not change is not parsed again
  std::map<std::string, std::string> told_;  // by file: the problems told last
};

}  // namespace roadstead::files
