#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace roadstead::cli {

/// `value` as block-style YAML that reads back as the same value, ending with a newline; keys in their order. What a
/// YAML 1.1 reader would take for something else than text is quoted.
[[nodiscard]] std::string to_yaml(const nlohmann::json& value);

}  // namespace roadstead::cli
