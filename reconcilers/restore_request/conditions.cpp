#include "reconcilers/restore_request/conditions.h"

#include "reconcilers/restore_request/path.h"
#include "reconcilers/support/steps.h"

namespace roadstead::reconcilers::restore {

using crds::ConditionStatus;

void set(crds::RestoreRequest& request, std::string type, ConditionStatus status, std::string reason,
         std::string message, Time now) {
  crds::set_condition(
      request.status.conditions,
      {std::move(type), status, std::move(reason), std::move(message), std::nullopt, request.metadata.generation}, now);
}

void say(crds::RestoreRequest& request, const std::string& message, Time now) {
  if (is_ending(request.status)) return;
  if (crds::is_finished(request.status)) {
    if (rolling_back(request.status) || is_running(request.status.steps, step::kRollbackProbe))
      set(request, "RolledBack", ConditionStatus::False, "RollingBack", message, now);
    return;
  }
  const auto phase = phase_of(request);
  set(request, "Complete", ConditionStatus::False,
      std::string(crds::EnumNames<crds::RestorePhase>::names[static_cast<std::size_t>(phase)]), message, now);
}

void clear_waiting(crds::RestoreRequest& request, Time now) {
  auto& conditions = request.status.conditions;
  if (crds::is_true(conditions, "Blocked"))
    set(request, "Blocked", ConditionStatus::False, "Going", "It goes on.", now);
  for (const char* type : {"TargetReachable", "SourceReachable"})
    if (const auto* found = crds::find_condition(conditions, type); found && found->status == ConditionStatus::False)
      set(request, type, ConditionStatus::True, "HostReachable", "The host's Docker Engine answers again.", now);
}

}  // namespace roadstead::reconcilers::restore
