#include "operator/adapters/apiserver/route.h"

#include <algorithm>
#include <span>
#include <vector>

namespace roadstead::apiserver {
namespace {

std::vector<std::string_view> segments_of(std::string_view path) {
  std::vector<std::string_view> segments;
  while (!path.empty()) {
    path.remove_prefix(1);  // the slash
    const std::size_t end = std::min(path.find('/'), path.size());
    segments.push_back(path.substr(0, end));
    path.remove_prefix(end);
  }
  return segments;
}

using Segments = std::span<const std::string_view>;

/// Takes the next segment away; empty at the end.
std::string_view take(Segments& left) {
  if (left.empty()) return {};
  const std::string_view first = left.front();
  left = left.subspan(1);
  return first;
}

}  // namespace

std::optional<Route> route_of(std::string_view path, const ResourceTypes& types) {
  const std::vector<std::string_view> all = segments_of(path);
  Segments left(all);
  const std::string_view root = take(left);
  if (root != "apis" && root != "api") return std::nullopt;
  const std::string_view group = root == "apis" ? take(left) : std::string_view{};
  const std::string_view version = take(left);
  Route route;
  std::string_view plural = take(left);
  const bool in_namespace = plural == "namespaces" && left.size() >= 2;
  if (in_namespace) {
    route.ns = take(left);
    plural = take(left);
  }
  route.type = types.by_plural(group, version, plural);
  if (route.type == nullptr || (in_namespace && (!route.type->namespaced || route.ns.empty()))) return std::nullopt;
  if (!left.empty()) {
    route.name = take(left);
    if (route.name.empty() || (route.type->namespaced && !in_namespace)) return std::nullopt;
  }
  if (!left.empty()) {
    if (take(left) != "status" || !left.empty()) return std::nullopt;
    route.status = true;
  }
  return route;
}

}  // namespace roadstead::apiserver
