#include "crds/object_meta.h"

#include <algorithm>

namespace roadstead::crds {

bool has_finalizer(const ObjectMeta& meta, std::string_view finalizer) {
  return std::ranges::find(meta.finalizers, finalizer) != meta.finalizers.end();
}

bool add_finalizer(ObjectMeta& meta, std::string_view finalizer) {
  if (has_finalizer(meta, finalizer)) return false;
  meta.finalizers.emplace_back(finalizer);
  return true;
}

bool remove_finalizer(ObjectMeta& meta, std::string_view finalizer) {
  return std::erase(meta.finalizers, finalizer) > 0;
}

}  // namespace roadstead::crds
