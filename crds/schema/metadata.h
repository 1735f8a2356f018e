#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "crds/field_error.h"
#include "crds/kind.h"

namespace roadstead::crds {

/// RFC 1123 subdomain: what an object may be called.
bool is_object_name(std::string_view text);
/// RFC 1123 label: what a namespace may be called.
bool is_namespace_name(std::string_view text);

/// What is wrong with `metadata` of an object as somebody wrote it: name (or generateName), namespace, labels,
/// annotations, finalizers. A cluster-scoped object has no namespace; a namespaced one may leave it open.
[[nodiscard]] std::vector<FieldError> validate_metadata(const nlohmann::json& object, Scope scope);

}  // namespace roadstead::crds
