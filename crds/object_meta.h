#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "operator/base/clock.h"

namespace roadstead::crds {

struct OwnerReference {
  std::string api_version;
  std::string kind;
  std::string name;
  std::string uid;
  std::optional<bool> controller;
};

/// What every object carries. Fields the server owns (uid, resourceVersion, generation, both timestamps) are empty in
/// an object that was never stored.
struct ObjectMeta {
  std::string name;
  std::string ns;  ///< "namespace" in JSON; empty for cluster-scoped kinds.
  std::string uid;
  std::string resource_version;  ///< Opaque: compare for equality only.
  std::int64_t generation = 0;   ///< Counts changes of spec; 0 = never stored.
  std::optional<Time> creation_timestamp;
  std::optional<Time> deletion_timestamp;  ///< Set: going away as soon as the finalizers are gone.
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> finalizers;
  std::vector<OwnerReference> owner_references;
};

/// True if `finalizer` is in the list.
bool has_finalizer(const ObjectMeta& meta, std::string_view finalizer);
/// Adds it if it is not there; true if the list changed.
bool add_finalizer(ObjectMeta& meta, std::string_view finalizer);
/// Takes it away if it is there; true if the list changed.
bool remove_finalizer(ObjectMeta& meta, std::string_view finalizer);

}  // namespace roadstead::crds
