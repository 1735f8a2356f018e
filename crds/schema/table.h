#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>

#include "crds/schema/crd.h"
#include "operator/base/clock.h"

namespace roadstead::crds {

/// What a row of a table carries of its object (the query parameter includeObject).
enum class IncludeObject { Metadata, None, Object };

/// The objects as a meta.k8s.io/v1 Table, as `kubectl get` prints it: Name, then the printer columns of `crd` (Age
/// where it has none). Times become ages as of `now`.
[[nodiscard]] nlohmann::json table_for(const Crd& crd, std::span<const nlohmann::json> objects, Time now,
                                       std::string_view resource_version,
                                       IncludeObject include = IncludeObject::Metadata);

/// One cell: what `column` says of `object`; null where it says nothing.
[[nodiscard]] nlohmann::json table_cell(const PrinterColumn& column, const nlohmann::json& object, Time now);

/// The time since `text` (RFC 3339), such as "5m16s"; "<invalid>" where it is no time or lies ahead.
[[nodiscard]] std::string age_of(std::string_view text, Time now);

}  // namespace roadstead::crds
