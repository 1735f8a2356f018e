#include "operator/adapters/apiserver/discovery.h"

#include <nlohmann/json.hpp>
#include <set>
#include <utility>

namespace roadstead::apiserver {
namespace {

using nlohmann::json;

json group_list(const ResourceTypes& types) {
  std::set<std::pair<std::string, std::string>> seen;
  json groups = json::array();
  for (const ResourceType& type : types.all()) {
    if (type.group.empty() || !seen.emplace(type.group, type.version).second) continue;
    const json version{{"groupVersion", type.api_version()}, {"version", type.version}};
    groups.push_back({{"name", type.group}, {"versions", json::array({version})}, {"preferredVersion", version}});
  }
  return {{"kind", "APIGroupList"}, {"apiVersion", "v1"}, {"groups", std::move(groups)}};
}

json resource_of(const ResourceType& type) {
  const json verbs = type.group.empty() ? json{"create", "get", "list", "watch"}
                                        : json{"create", "delete", "get", "list", "patch", "update", "watch"};
  return {{"name", type.plural}, {"singularName", type.singular}, {"namespaced", type.namespaced}, {"kind", type.kind},
          {"verbs", verbs},      {"shortNames", type.short_names}};
}

json status_of_resource(const ResourceType& type) {
  return {{"name", type.plural + "/status"},
          {"singularName", ""},
          {"namespaced", type.namespaced},
          {"kind", type.kind},
          {"verbs", {"get", "patch", "update"}}};
}

std::optional<json> resource_list(const std::string& api_version, const ResourceTypes& types) {
  json resources = json::array();
  for (const ResourceType& type : types.all()) {
    if (type.api_version() != api_version) continue;
    resources.push_back(resource_of(type));
    if (!type.group.empty()) resources.push_back(status_of_resource(type));
  }
  if (resources.empty()) return std::nullopt;
  return json{{"kind", "APIResourceList"},
              {"apiVersion", "v1"},
              {"groupVersion", api_version},
              {"resources", std::move(resources)}};
}

}  // namespace

std::optional<json> discovery_page(std::string_view path, const ResourceTypes& types) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  if (path == "/api")
    return json{{"kind", "APIVersions"}, {"versions", {"v1"}}, {"serverAddressByClientCIDRs", json::array()}};
  if (path == "/apis") return group_list(types);
  for (const std::string_view root : {"/apis/", "/api/"}) {
    if (path.substr(0, root.size()) != root) continue;
    const std::string api_version(path.substr(root.size()));
    const bool grouped = api_version.find('/') != std::string::npos;
    return grouped == (root == "/apis/") ? resource_list(api_version, types) : std::nullopt;
  }
  return std::nullopt;
}

json version_info(const std::string& version) {
  const std::size_t dot = version.find('.');
  const std::size_t end = version.find_first_not_of("0123456789", dot == std::string::npos ? dot : dot + 1);
  return {{"major", version.substr(0, dot)},
          {"minor",
           dot == std::string::npos ? "" : version.substr(dot + 1, end == std::string::npos ? end : end - dot - 1)},
          {"gitVersion", "v" + version},
          {"gitCommit", ""},
          {"gitTreeState", ""},
          {"buildDate", ""},
          {"goVersion", ""},
          {"compiler", ""},
          {"platform", "linux"}};
}

}  // namespace roadstead::apiserver
