#include "crds/condition.h"

#include <algorithm>
#include <utility>

namespace roadstead::crds {

bool set_condition(std::vector<Condition>& conditions, Condition condition, Time now) {
  const auto old = std::ranges::find(conditions, condition.type, &Condition::type);
  if (old == conditions.end()) {
    condition.last_transition_time = now;
    conditions.push_back(std::move(condition));
    return true;
  }
  const bool turned = old->status != condition.status;
  const bool changed = turned || old->reason != condition.reason || old->message != condition.message;
  condition.last_transition_time = turned || !old->last_transition_time ? now : *old->last_transition_time;
  *old = std::move(condition);
  return changed;
}

const Condition* find_condition(const std::vector<Condition>& conditions, std::string_view type) {
  const auto found = std::ranges::find(conditions, type, &Condition::type);
  return found == conditions.end() ? nullptr : &*found;
}

bool is_true(const std::vector<Condition>& conditions, std::string_view type) {
  const Condition* condition = find_condition(conditions, type);
  return condition != nullptr && condition->status == ConditionStatus::True;
}

bool remove_condition(std::vector<Condition>& conditions, std::string_view type) {
  return std::erase_if(conditions, [&](const Condition& c) { return c.type == type; }) > 0;
}

}  // namespace roadstead::crds
