#include "reconcilers/restore_request/path.h"

#include <algorithm>

#include "reconcilers/support/steps.h"

namespace roadstead::reconcilers::restore {
namespace {

using crds::ConditionStatus;

void append_preparation(std::vector<StepRef>& path, const crds::RestoreRequest& request,
                        const crds::RestoreItem& item) {
  const auto add = [&](std::string_view step) { path.push_back({item.name, step}); };
  add(step::kMark);
  if (item.from.barman) {
    add(step::kPrepare);
    add(step::kReplay);
  }
  if (is_in_place(request, item)) return add(step::kCompare);
  add(step::kCopy);
  if (item.from.barman) add(step::kFinish);
}

std::vector<StepRef> forward_path(const crds::RestoreRequest& request) {
  std::vector<StepRef> path;
  for (const auto& item : request.spec.items) path.push_back({item.name, step::kProbe});
  if (request.spec.dry_run) return path;
  for (const auto& item : request.spec.items) path.push_back({item.name, step::kPin});
  for (const auto& item : request.spec.items) append_preparation(path, request, item);
  path.push_back({{}, step::kStop});
  for (const auto& item : request.spec.items)
    if (!is_in_place(request, item)) path.push_back({item.name, step::kExchange});
  for (const auto& item : request.spec.items)
    if (is_in_place(request, item)) path.push_back({item.name, step::kOverwrite});
  path.push_back({{}, step::kStart});
  if (!request.spec.checks.empty()) path.push_back({{}, step::kCheck});
  path.push_back({{}, step::kReceipt});
  return path;
}

/// All volumes new, or all old: never a mixture. What was stopped runs again unless `start` was gone through already.
std::vector<StepRef> way_out(const crds::RestoreRequest& request) {
  std::vector<StepRef> path;
  const bool whole = all_new(request);
  if (!whole)
    for (const auto& item : request.spec.items)
      // Whether it happened may not be known, and "make the old one current" may be said twice.
      if (std::ranges::any_of(request.status.steps, [&](const crds::Step& entry) {
            return entry.name == name_of({item.name, step::kExchange}) && may_have_exchanged(entry);
          }))
        path.push_back({item.name, step::kPutBack});
  if (!request.status.ledger.empty() && succeeded(request.status.steps, step::kStart) == nullptr)
    path.push_back({{}, step::kRestart});
  if (!request.status.steps.empty()) path.push_back({{}, step::kReceipt});  // its workers go, at the least
  return path;
}

crds::RestorePhase phase_of_rollback(const crds::RestoreRequest& request) {
  using crds::RestorePhase;
  if (crds::is_true(request.status.conditions, "Blocked")) return RestorePhase::Blocked;
  const auto ref = first_open(request, aftermath_path(request, Aftermath::RollBack));
  if (ref && ref->step == step::kRollbackStop) return RestorePhase::Stopping;
  return ref && ref->step == step::kRollback ? RestorePhase::Swapping : RestorePhase::Starting;
}

}  // namespace

std::vector<StepRef> path_of(const crds::RestoreRequest& request) {
  if (crds::is_finished(request.status)) return {};
  return is_ending(request.status) ? way_out(request) : forward_path(request);
}

std::optional<StepRef> first_open(const crds::RestoreRequest& request, const std::vector<StepRef>& path) {
  for (const StepRef& ref : path)
    if (succeeded(request.status.steps, name_of(ref)) == nullptr) return ref;
  return std::nullopt;
}

std::optional<StepRef> current_step(const crds::RestoreRequest& request) {
  return first_open(request, path_of(request));
}

bool is_held(const crds::RestoreRequest& request, const StepRef& ref) {
  const auto& status = request.status;
  const auto between = [&](std::string_view stop, std::string_view start) {
    return was_begun(status.steps, stop) && succeeded(status.steps, start) == nullptr;
  };
  return request.spec.suspend && !request.metadata.deletion_timestamp && !is_running(status.steps, name_of(ref)) &&
         !is_ending(status) && !forward_only(request) && !between(step::kStop, step::kStart) &&
         !between(step::kRollbackStop, step::kRollbackStart);
}

crds::RestorePhase phase_of(const crds::RestoreRequest& request) {
  using crds::RestorePhase;
  const auto& conditions = request.status.conditions;
  if (rolled_back(request.status)) return RestorePhase::RolledBack;
  if (rolling_back(request.status)) return phase_of_rollback(request);
  if (const auto* failed = crds::find_condition(conditions, "Failed");
      failed && failed->status == ConditionStatus::True) {
    const bool cancelled =
        request.status.receipt ? request.status.receipt->result == "Cancelled" : failed->reason == "Cancelled";
    return cancelled ? RestorePhase::Cancelled : RestorePhase::Failed;
  }
  if (crds::is_true(conditions, "Complete")) return RestorePhase::Succeeded;
  if (crds::is_true(conditions, "Blocked")) return RestorePhase::Blocked;
  if (request.status.steps.empty()) return RestorePhase::Pending;
  const auto ref = current_step(request);
  if (!ref) return RestorePhase::Checking;
  const auto now = ref->step;
  if (now == step::kProbe || now == step::kPin) return RestorePhase::Planning;
  if (now == step::kMark || now == step::kPrepare || now == step::kReplay) return RestorePhase::Preparing;
  if (now == step::kCopy || now == step::kFinish || now == step::kCompare) return RestorePhase::Copying;
  if (now == step::kStop) return RestorePhase::Stopping;
  if (now == step::kExchange || now == step::kOverwrite || now == step::kPutBack) return RestorePhase::Swapping;
  if (now == step::kStart || now == step::kRestart) return RestorePhase::Starting;
  return RestorePhase::Checking;
}

// ---- after the end ------------------------------------------------------------------------------------------------

Aftermath aftermath_of(const crds::RestoreRequest& request, Time now) {
  const auto& status = request.status;
  if (rolling_back(status)) return Aftermath::RollBack;
  if (!status.receipt || !status.receipt->kept_until) return Aftermath::Nothing;
  if (request.metadata.deletion_timestamp) return Aftermath::Discard;
  const auto* told = crds::find_condition(status.conditions, "RolledBack");
  const bool refused =
      told != nullptr && told->reason != "RollingBack" && told->observed_generation == request.metadata.generation;
  if (request.spec.rollback && !refused && !rolled_back(status)) return Aftermath::RollBack;
  const Time end = status.receipt->finished_at.value_or(now);
  const bool over = now >= end + std::chrono::seconds(request.spec.keep_previous_seconds);
  return over ? Aftermath::Discard : Aftermath::Keep;
}

std::vector<StepRef> aftermath_path(const crds::RestoreRequest& request, Aftermath what) {
  if (what == Aftermath::Discard) return {{{}, step::kDiscard}};
  if (what != Aftermath::RollBack) return {};
  std::vector<StepRef> path{{{}, step::kRollbackProbe}, {{}, step::kRollbackStop}};
  for (const auto& item : request.spec.items) path.push_back({item.name, step::kRollback});
  path.push_back({{}, step::kRollbackStart});
  path.push_back({{}, step::kRollbackReceipt});
  return path;
}

}  // namespace roadstead::reconcilers::restore
