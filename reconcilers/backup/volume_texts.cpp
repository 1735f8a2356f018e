#include "reconcilers/backup/volume_texts.h"

namespace roadstead::reconcilers::backup {
namespace {

using crds::ConditionStatus;

constexpr std::string_view kHooks = "HooksSucceeded";

}  // namespace

void set(crds::Backup& backup, std::string_view type, ConditionStatus status, std::string reason, std::string message,
         Time now) {
  if (!message.empty() && message.back() != '.') message += '.';
  crds::set_condition(
      backup.status.conditions,
      {std::string(type), status, std::move(reason), std::move(message), std::nullopt, backup.metadata.generation},
      now);
}

void say(crds::Backup& backup, const std::string& reason, const std::string& message, Time now) {
  set(backup, "Complete", ConditionStatus::False, reason, message, now);
}

void clear_waiting(crds::Backup& backup, Time now) {
  if (crds::is_true(backup.status.conditions, "Blocked"))
    set(backup, "Blocked", ConditionStatus::False, "Going", "It goes on.", now);
}

void set_waiting(crds::Backup& backup, const std::string& reason, const std::string& message, Time now) {
  set(backup, "Blocked", ConditionStatus::True, reason, message, now);
  say(backup, reason, message, now);
}

std::vector<std::string> lines_of(const std::vector<FailedHook>& hooks) {
  std::vector<std::string> lines;
  lines.reserve(hooks.size());
  for (const auto& hook : hooks) lines.push_back(fmt::format("hook {}: {}", hook.step, hook.why));
  return lines;
}

void tell_hooks(crds::Backup& backup, Time now) {
  const auto plan = plan_of(backup.status);
  const auto failed = plan ? lines_of(failed_hooks(*plan, backup.status)) : std::vector<std::string>{};
  if (!failed.empty())
    set(backup, kHooks, ConditionStatus::False, "HookFailed", fmt::format("{}", fmt::join(failed, "; ")), now);
}

}  // namespace roadstead::reconcilers::backup
