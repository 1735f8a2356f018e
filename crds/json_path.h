#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/result.h"

namespace roadstead::crds {

/// The part of Kubernetes' JSONPath that printer columns and `wait --for=jsonpath` use: `.a.b`, `['a.b']`, `[0]`,
/// `[-1]`,
/// `[*]`, `.*`, `[?(@.type=="Ready")]`. Braces around the whole and a leading `$` may be there.
class JsonPath {
 public:
  JsonPath() = default;  ///< Finds the value itself.

  /// Errors: Invalid, with the part that is not understood.
  [[nodiscard]] static Result<JsonPath> parse(std::string_view text);

  /// Everything it leads to, in order; pointers into `value`.
  [[nodiscard]] std::vector<const nlohmann::json*> find(const nlohmann::json& value) const;

  /// The first of them, or null.
  [[nodiscard]] const nlohmann::json* first(const nlohmann::json& value) const;

 private:
  struct Segment {
    enum class Type { Key, Index, All, Filter } type = Type::Key;
    std::string key;                       // Key
    long index = 0;                        // Index; below zero from the end
    std::vector<std::string> filter_keys;  // Filter: the way from the element to what is compared
    bool wanted_equal = true;
    bool has_operator = false;  // false: it is enough that it exists
    std::string literal;        // compared with, as compact JSON
  };
  class Parser;
  static bool passes(const Segment& filter, const nlohmann::json& element);
  std::vector<Segment> segments_;
};

}  // namespace roadstead::crds
