#include "operator/adapters/store/object.h"

#include <nlohmann/json.hpp>

namespace roadstead::store {

Labels labels_of(const nlohmann::json& object) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end()) return {};
  const auto labels = metadata->find("labels");
  return labels == metadata->end() ? Labels{} : labels->get<Labels>();
}

ObjectPtr stored(ObjectKey key, std::uint64_t version, const nlohmann::json& object) {
  return std::make_shared<const StoredObject>(
      StoredObject{std::move(key), version, labels_of(object),
                   object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)});
}

}  // namespace roadstead::store
