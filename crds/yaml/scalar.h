#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace roadstead::crds {

/// What a plain (unquoted) YAML 1.1 scalar means, as sigs.k8s.io/yaml reads it: boolean, null, number or string.
/// The error is a sentence: infinities, NaN and numbers that no double holds are not JSON.
[[nodiscard]] tl::expected<nlohmann::json, std::string> plain_scalar(std::string_view text);

}  // namespace roadstead::crds
