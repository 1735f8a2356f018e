#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "operator/adapters/store/selectors.h"
#include "operator/base/names.h"

namespace roadstead::store {

/// An object as it was after one write; never changed. The text is kept, not the parsed value: a ninth of the memory.
struct StoredObject {
  ObjectKey key;
  std::uint64_t version = 0;  ///< metadata.resourceVersion, also in `bytes`.
  Labels labels;
  std::string bytes;  ///< The whole object as JSON.
};
using ObjectPtr = std::shared_ptr<const StoredObject>;

/// `object` is valid and carries its resourceVersion.
ObjectPtr stored(ObjectKey key, std::uint64_t version, const nlohmann::json& object);

/// metadata.labels; empty where there are none.
Labels labels_of(const nlohmann::json& object);

}  // namespace roadstead::store
