#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "operator/ports/resource_type.h"

namespace roadstead::apiserver {

/// /api, /apis, /api/v1, /apis/GROUP/VERSION in their plain forms. Nothing: not such a path.
[[nodiscard]] std::optional<nlohmann::json> discovery_page(std::string_view path, const ResourceTypes& types);

/// What /version answers.
[[nodiscard]] nlohmann::json version_info(const std::string& version);

}  // namespace roadstead::apiserver
