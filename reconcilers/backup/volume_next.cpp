#include "reconcilers/backup/volume_next.h"

#include <algorithm>

#include "reconcilers/backup/decide.h"
#include "reconcilers/support/steps.h"

namespace roadstead::reconcilers::backup {
namespace {

using crds::Step;
using crds::StepState;

constexpr std::string_view kFinal = R"({"final":true})";  // The result of an entry whose step is not tried again.

bool is_over(const crds::BackupStatus& status, const std::string& name) {
  return succeeded(status.steps, name) != nullptr || given_up(status, name) != nullptr;
}

std::string hook_step(const char* when, const crds::Hook& hook) { return std::string(when) + "/" + hook.name; }

bool ends_the_run(const crds::Hook& hook) {
  return (hook.exec ? hook.exec->on_failure : hook.http->on_failure) == crds::OnFailure::Fail;
}

const std::vector<crds::Hook>& before_hooks(const Plan& plan) {
  static const std::vector<crds::Hook> none;
  return plan.source.hooks ? plan.source.hooks->before : none;
}
const std::vector<crds::Hook>& after_hooks(const Plan& plan) {
  static const std::vector<crds::Hook> none;
  return plan.source.hooks ? plan.source.hooks->after : none;
}

std::string copy_step(const Plan& plan, const Place& place, const Missing& missing) {
  return plan.copies_repository() ? plan.name_of(place) + "/" + missing.id + "/copy" : plan.name_of(place) + "/copy";
}

bool has_begun_to_work(const Plan& plan, const crds::BackupStatus& status) {
  return std::ranges::any_of(before_hooks(plan),
                             [&](const auto& hook) { return was_begun(status.steps, hook_step("before", hook)); }) ||
         std::ranges::any_of(copies_of(plan, status),
                             [&](const StepRef& copy) { return was_begun(status.steps, copy.name); });
}

std::optional<StepRef> next_look(const Plan& plan, const crds::BackupStatus& status) {
  for (const auto& place : plan.places)
    if (const auto name = look_step(plan, place); !is_over(status, name))
      return StepRef{StepKind::Look, name, place, {}, {}};
  return std::nullopt;
}

std::optional<StepRef> next_hook(const char* when, StepKind kind, const std::vector<crds::Hook>& hooks,
                                 const crds::BackupStatus& status) {
  for (const auto& hook : hooks)
    if (const auto name = hook_step(when, hook); !is_over(status, name)) return StepRef{kind, name, {}, {}, hook};
  return std::nullopt;
}

std::optional<StepRef> next_copy(const Plan& plan, const crds::BackupStatus& status) {
  for (auto& copy : copies_of(plan, status)) {
    if (is_over(status, copy.name)) continue;
    const auto lookup = lookup_of(plan, status, *copy.place);
    const std::string directory = directory_step(plan, *copy.place);
    if (given_up(status, directory) != nullptr) continue;
    if (!lookup->directory && succeeded(status.steps, directory) == nullptr)
      return StepRef{StepKind::Directory, directory, copy.place, {}, {}};
    return std::move(copy);
  }
  return std::nullopt;
}

}  // namespace

std::optional<StepRef> current_step(const crds::Backup& backup) {
  const auto& status = backup.status;
  const auto plan = plan_of(status);
  const bool unwanted = backup.metadata.deletion_timestamp.has_value();
  if (!plan) {
    if (unwanted || given_up(status, std::string(step::kPlan)) != nullptr) return std::nullopt;
    return StepRef{StepKind::Plan, std::string(step::kPlan), {}, {}, {}};
  }
  if (!unwanted && fatal_hook(*plan, status) == nullptr) {
    if (auto look = next_look(*plan, status)) return look;
    if (next_copy(*plan, status))
      if (auto hook = next_hook("before", StepKind::Before, before_hooks(*plan), status)) return hook;
    if (auto copy = next_copy(*plan, status)) return copy;
  }
  if (has_begun_to_work(*plan, status)) return next_hook("after", StepKind::After, after_hooks(*plan), status);
  return std::nullopt;
}

std::optional<Millis> pause_left(const crds::BackupStatus& status, const StepRef& ref, Time now) {
  return reconcilers::pause_left(status.steps, ref.name, kBetweenAttempts, now);
}

// ---- what the status says -----------------------------------------------------------------------------------------

std::optional<Plan> plan_of(const crds::BackupStatus& status) {
  const Step* planned = succeeded(status.steps, step::kPlan);
  if (planned == nullptr) return std::nullopt;
  auto plan = parse_plan(planned->result);
  return plan ? std::optional(std::move(*plan)) : std::nullopt;
}

bool is_begun(const crds::BackupStatus& status) { return succeeded(status.steps, step::kPlan) != nullptr; }

const Step* given_up(const crds::BackupStatus& status, const std::string& name) {
  const auto found = std::ranges::find_if(status.steps, [&](const Step& step) {
    return step.name == name && step.state == StepState::Failed && step.result == kFinal;
  });
  return found == status.steps.end() ? nullptr : &*found;
}

void give_up(Step& entry) { entry.result = kFinal; }

std::string look_step(const Plan& plan, const Place& place) { return plan.name_of(place) + "/look"; }
std::string directory_step(const Plan& plan, const Place& place) { return plan.name_of(place) + "/directory"; }

std::optional<Lookup> lookup_of(const Plan& plan, const crds::BackupStatus& status, const Place& place) {
  const Step* looked = succeeded(status.steps, look_step(plan, place));
  if (looked == nullptr) return std::nullopt;
  auto lookup = parse_lookup(looked->result);
  return lookup ? std::optional(std::move(*lookup)) : std::nullopt;
}

std::vector<StepRef> copies_of(const Plan& plan, const crds::BackupStatus& status) {
  std::vector<StepRef> all;
  for (const auto& place : plan.places) {
    const auto lookup = lookup_of(plan, status, place);
    if (!lookup) continue;
    for (const auto& missing : lookup->missing)
      all.push_back({StepKind::Copy, copy_step(plan, place, missing), place, missing, {}});
  }
  return all;
}

std::int64_t left_out_of(const Plan& plan, const crds::BackupStatus& status) {
  std::int64_t count = 0;
  for (const auto& place : plan.places)
    if (const auto lookup = lookup_of(plan, status, place)) count += lookup->left_out;
  return count;
}

std::vector<FailedHook> failed_hooks(const Plan& plan, const crds::BackupStatus& status) {
  std::vector<FailedHook> failed;
  const auto add = [&](const char* when, const std::vector<crds::Hook>& hooks) {
    for (const auto& hook : hooks)
      if (const Step* entry = given_up(status, hook_step(when, hook)))
        failed.push_back({entry->name, entry->message, ends_the_run(hook)});
  };
  add("before", before_hooks(plan));
  add("after", after_hooks(plan));
  return failed;
}

const crds::Hook* fatal_hook(const Plan& plan, const crds::BackupStatus& status) {
  for (const auto& hook : before_hooks(plan))
    if (ends_the_run(hook) && given_up(status, hook_step("before", hook)) != nullptr) return &hook;
  return nullptr;
}

}  // namespace roadstead::reconcilers::backup
