#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "crds/yaml/catalog.h"
#include "crds/yaml/reader.h"
#include "operator/adapters/store/crds_admission.h"
#include "operator/adapters/store/store.h"

namespace roadstead::store {

/// A new directory under the system's temporary one, gone with everything in it at the end.
class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string name = (std::filesystem::temp_directory_path() / "roadstead-test-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp " + name);
    path_ = name;
  }
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The program's own kinds, as its store is given them.
struct Kinds {
  crds::Catalog catalog = crds::builtin_catalog().value();
  ResourceTypes types = ResourceTypes::from_crds(definitions()).value();
  CrdsAdmission admission{catalog.all()};

 private:
  static std::vector<nlohmann::json> definitions() {
    std::vector<nlohmann::json> all;
    for (const auto& crd : crds::embedded_crds()) {
      const auto documents = crds::read_manifests(crd.yaml, crd.file).value();
      for (const auto& document : documents) all.push_back(document.value);
    }
    return all;
  }
};

/// Read once per test program: it takes a while and never changes.
inline Kinds& builtin_kinds() {
  static Kinds kinds;
  return kinds;
}

inline Result<std::unique_ptr<Store>> open_store(const std::filesystem::path& directory, const Clock& clock,
                                                 StoreOptions options = {}) {
  auto data = DataDirectory::open(directory);
  if (!data) return tl::unexpected(data.error());
  return Store::open(std::move(*data), builtin_kinds().types, builtin_kinds().admission, clock, std::move(options));
}

}  // namespace roadstead::store
