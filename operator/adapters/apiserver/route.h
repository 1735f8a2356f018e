#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "operator/adapters/apiserver/http_message.h"
#include "operator/base/names.h"
#include "operator/ports/resource_type.h"

namespace roadstead::apiserver {

/// What a path under /apis or /api names.
struct Route {
  const ResourceType* type = nullptr;
  std::string ns;       ///< Empty: all namespaces, or a cluster-scoped kind.
  std::string name;     ///< Empty: the collection.
  bool status = false;  ///< The status subresource.

  [[nodiscard]] ObjectKey key() const { return {type->kind, ns, name}; }
};

/// /apis/GROUP/VERSION or /api/VERSION, then [/namespaces/NS]/PLURAL[/NAME[/status]]. Nothing: no such page.
[[nodiscard]] std::optional<Route> route_of(std::string_view path, const ResourceTypes& types);

}  // namespace roadstead::apiserver
