#include "operator/built_in_crds.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "crds/yaml/catalog.h"
#include "crds/yaml/reader.h"

namespace roadstead {
namespace {

[[noreturn]] void broken(const std::string& why) {
  throw std::logic_error("a built-in CustomResourceDefinition is broken: " + why);
}

BuiltInCrds read_all() {
  auto catalog = crds::builtin_catalog();
  if (!catalog) broken(catalog.error().message);
  std::vector<nlohmann::json> documents;
  for (const crds::EmbeddedCrd& embedded : crds::embedded_crds()) {
    auto read = crds::read_manifests(embedded.yaml, embedded.file);
    if (!read) broken(crds::to_string(read.error()));
    for (crds::Document& document : *read) documents.push_back(std::move(document.value));
  }
  auto types = ResourceTypes::from_crds(documents);
  if (!types) broken(types.error().message);
  return {catalog->all(), std::move(*types)};
}

}  // namespace

const BuiltInCrds& built_in_crds() {
  static const BuiltInCrds all = read_all();
  return all;
}

}  // namespace roadstead
