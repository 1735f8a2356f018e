#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "crds/field_error.h"

namespace roadstead::crds {

/// What a schema cannot say about an object of one of our kinds: schedules, zones, port ranges, fields that only make
/// sense together. For objects whose schema found nothing wrong; of other kinds nothing is said. With `old`, also which
/// field that may not change came or went.
[[nodiscard]] std::vector<FieldError> check_semantics(const nlohmann::json& object,
                                                      const nlohmann::json* old = nullptr);

}  // namespace roadstead::crds
