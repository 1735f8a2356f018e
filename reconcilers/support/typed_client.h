#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "crds/kind.h"
#include "operator/ports/resource_client.h"

namespace roadstead::reconcilers {

/// The key of an object of kind T.
template <class T>
ObjectKey key_of(const T& object) {
  return {std::string(crds::Kind<T>::kind), object.metadata.ns, object.metadata.name};
}

/// Whom a change of an object of kind T wakes where it is its own reconciler alone; nobody for other kinds.
template <class T>
std::vector<ObjectKey> own_key(const nlohmann::json& object) {
  const std::string kind(crds::Kind<T>::kind);
  if (object.value("kind", "") != kind) return {};
  const auto& metadata = object.at("metadata");
  return {{kind, metadata.value("namespace", ""), metadata.value("name", "")}};
}

template <class T>
Result<T> get(ResourceClient& api, const std::string& ns, const std::string& name) {
  const bool cluster = crds::Kind<T>::scope == crds::Scope::Cluster;
  return api.get({std::string(crds::Kind<T>::kind), cluster ? std::string() : ns, name})
      .and_then([](const nlohmann::json& found) { return crds::from_json<T>(found); });
}

/// All of them, or those of one namespace. One that cannot be read fails the call: a list with holes would be believed.
template <class T>
Result<std::vector<T>> list(ResourceClient& api, const std::string& ns = {}, const std::string& label_selector = {}) {
  auto found = api.list(std::string(crds::Kind<T>::kind), ListOptions{ns, label_selector, {}});
  if (!found) return tl::unexpected(found.error());
  std::vector<T> all;
  all.reserve(found->items.size());
  for (const auto& item : found->items) {
    auto value = crds::from_json<T>(item);
    if (!value) return tl::unexpected(value.error());
    all.push_back(std::move(*value));
  }
  return all;
}

/// Writes spec and metadata (a finalizer, an annotation); `object` becomes what is stored now.
template <class T>
Result<void> update(ResourceClient& api, T& object) {
  return api.update(crds::to_json(object), {})
      .and_then([](const nlohmann::json& stored) { return crds::from_json<T>(stored); })
      .map([&](T stored) { object = std::move(stored); });
}

/// Writes status; `object` becomes what is stored now. A status that did not change is not written.
template <class T>
Result<void> update_status(ResourceClient& api, T& object) {
  return api.update_status(crds::to_json(object), {})
      .and_then([](const nlohmann::json& stored) { return crds::from_json<T>(stored); })
      .map([&](T stored) { object = std::move(stored); });
}

/// Records an event about `object`; a failure is nobody's but the log's.
template <class T>
void tell(ResourceClient& api, const T& object, bool warning, std::string reason, std::string message) {
  (void)api.record({key_of(object), object.metadata.uid, warning, std::move(reason), std::move(message)});
}

}  // namespace roadstead::reconcilers
