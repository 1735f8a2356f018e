#include "reconcilers/restore_request/end.h"

#include <algorithm>

#include "operator/base/rfc3339.h"
#include "reconcilers/restore_request/conditions.h"
#include "reconcilers/support/outcome.h"

namespace roadstead::reconcilers::restore {

using crds::ConditionStatus;

void finish(crds::RestoreRequest& request, Time now) {
  auto& status = request.status;
  const auto* told = crds::find_condition(status.conditions, "Complete");
  const std::string reason = told ? told->reason : std::string(), message = told ? told->message : std::string();
  clear_waiting(request, now);
  status.finished_at = now;
  std::optional<Time> kept;
  if (result_flag(status, std::string(step::kReceipt), kKept))
    kept = now + std::chrono::seconds(request.spec.keep_previous_seconds);
  if (is_ending(status)) {
    status.receipt->finished_at = now;
    status.receipt->kept_until = kept;
    set(request, "Failed", ConditionStatus::True, reason, message, now);
  } else if (request.spec.dry_run) {
    set(request, "Complete", ConditionStatus::True, "Planned",
        "The plan is in status.plan; nothing stands against it and nothing was touched.", now);
    set(request, "Failed", ConditionStatus::False, "Planned", "It did not fail.", now);
  } else {
    status.receipt = crds::Receipt{"Succeeded", now, kept};
    std::string done = "Everything is restored, started and checked.";
    if (status.receipt->kept_until)
      done += fmt::format(" The data from before is kept until {}; `rollback: true` brings it back.",
                          format_rfc3339(*status.receipt->kept_until));
    set(request, "Complete", ConditionStatus::True, "Restored", done, now);
    set(request, "Failed", ConditionStatus::False, "Restored", "It did not fail.", now);
  }
}

std::optional<Time> kept_until(const crds::RestoreRequest& request, Time end) {
  // Of what was overwritten nothing is left, and half a way back is none.
  const bool whole = std::ranges::none_of(request.spec.items,
                                          [&](const crds::RestoreItem& item) { return is_in_place(request, item); });
  if (!whole || !all_new(request) || request.spec.keep_previous_seconds == 0) return std::nullopt;
  return end + std::chrono::seconds(request.spec.keep_previous_seconds);
}

void refuse_rollback(crds::RestoreRequest& request, const std::string& reason, const std::string& message, Time now) {
  clear_waiting(request, now);
  set(request, "RolledBack", ConditionStatus::False, reason, message, now);
}

std::string nothing_kept(const crds::RestoreRequest& request) {
  if (!all_new(request) && !request.status.steps.empty())
    return "nothing was exchanged by this request, so the data from before is there already";
  for (const auto& item : request.spec.items)
    if (is_in_place(request, item))
      return fmt::format(
          "volume {} was overwritten in place, of which nothing is kept; restore an earlier snapshot with a new "
          "request",
          item.to.volume);
  return "the data from before the restore is not kept any more (spec.keepPreviousSeconds); restore an earlier backup "
         "with a new request";
}

void finish_aftermath(crds::RestoreRequest& request, Aftermath what, Time now) {
  auto& status = request.status;
  clear_waiting(request, now);
  if (status.receipt) status.receipt->kept_until.reset();
  if (what != Aftermath::RollBack) return;
  if (status.receipt) status.receipt->result = "RolledBack";
  std::string message = "The data from before the restore is back.";
  if (const auto problems = result_text(status, std::string(step::kRollbackStart), "problems"))
    message = sentence(message, "not everything could be started again: " + *problems);
  set(request, "RolledBack", ConditionStatus::True, "RolledBack", message, now);
}

}  // namespace roadstead::reconcilers::restore
