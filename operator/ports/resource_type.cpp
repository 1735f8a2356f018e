#include "operator/ports/resource_type.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "operator/base/text.h"

namespace roadstead {
namespace {

using nlohmann::json;

ResourceType core_event() { return {"", "v1", "Event", "events", "event", {"ev"}, true}; }

std::string stored_version(const json& spec) {
  for (const json& version : spec.at("versions"))
    if (version.value("storage", false)) return version.at("name");
  return spec.at("versions").at(0).at("name");
}

ResourceType type_of(const json& crd) {
  const json& spec = crd.at("spec");
  const json& names = spec.at("names");
  ResourceType type;
  type.group = spec.at("group");
  type.version = stored_version(spec);
  type.kind = names.at("kind");
  type.plural = names.at("plural");
  type.singular = names.value("singular", lower(type.kind));
  type.short_names = names.value("shortNames", std::vector<std::string>{});
  type.namespaced = spec.at("scope") == "Namespaced";
  return type;
}

}  // namespace

std::string ResourceType::path(std::string_view ns, std::string_view name) const {
  std::string path = group.empty() ? "/api/" + version : "/apis/" + group + "/" + version;
  if (namespaced && !ns.empty()) path.append("/namespaces/").append(ns);
  path.append("/").append(plural);
  if (!name.empty()) path.append("/").append(name);
  return path;
}

Result<ResourceTypes> ResourceTypes::from_crds(const std::vector<json>& crds) {
  ResourceTypes types;
  for (const json& crd : crds) {
    try {
      types.types_.push_back(type_of(crd));
    } catch (const json::exception& broken) {
      return fail(ErrorKind::Invalid, "read a CustomResourceDefinition: {}", broken.what());
    }
  }
  types.types_.push_back(core_event());
  return types;
}

const ResourceType* ResourceTypes::by_kind(std::string_view kind) const {
  const auto found = std::find_if(types_.begin(), types_.end(), [&](const ResourceType& t) { return t.kind == kind; });
  return found == types_.end() ? nullptr : &*found;
}

const ResourceType* ResourceTypes::by_plural(std::string_view group, std::string_view version,
                                             std::string_view plural) const {
  const auto found = std::find_if(types_.begin(), types_.end(), [&](const ResourceType& t) {
    return t.group == group && t.version == version && t.plural == plural;
  });
  return found == types_.end() ? nullptr : &*found;
}

const ResourceType* ResourceTypes::by_word(std::string_view word) const {
  const std::string wanted = lower(word);
  const auto answers = [&](const ResourceType& type) {
    return wanted == lower(type.kind) || wanted == type.plural || wanted == type.singular ||
           wanted == type.qualified_plural() || wanted == type.qualified_singular() ||
           std::find(type.short_names.begin(), type.short_names.end(), wanted) != type.short_names.end();
  };
  const auto found = std::find_if(types_.begin(), types_.end(), answers);
  return found == types_.end() ? nullptr : &*found;
}

}  // namespace roadstead
