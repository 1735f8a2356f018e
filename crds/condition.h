#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crds/enum_names.h"
#include "operator/base/clock.h"

namespace roadstead::crds {

enum class ConditionStatus { True, False, Unknown };
template <>
struct EnumNames<ConditionStatus> {
  static constexpr std::string_view names[] = {"True", "False", "Unknown"};
};

/// One observed truth about an object; the only part of a status that programs may decide on.
struct Condition {
  std::string type;  ///< CamelCase, unique in its list: "Ready".
  ConditionStatus status = ConditionStatus::Unknown;
  std::string reason;                        ///< One CamelCase word for programs.
  std::string message;                       ///< One sentence for people: what, where, what to do next.
  std::optional<Time> last_transition_time;  ///< When `status` last changed.
  std::int64_t observed_generation = 0;      ///< The generation this was judged at; 0 = not said.
};

/// Puts `condition` into the list in place of the one of its type, else at the end. last_transition_time becomes `now`
/// only when `status` changes (or is new). Returns true if anything but the observed generation changed.
bool set_condition(std::vector<Condition>& conditions, Condition condition, Time now);

/// Null where there is none of this type.
const Condition* find_condition(const std::vector<Condition>& conditions, std::string_view type);

/// True only if the condition is there and its status is True.
bool is_true(const std::vector<Condition>& conditions, std::string_view type);

/// True if one was there.
bool remove_condition(std::vector<Condition>& conditions, std::string_view type);

}  // namespace roadstead::crds
