#include "reconcilers/backup/volume_take.h"

#include "reconcilers/backup/decide.h"
#include "reconcilers/backup/volume_progress.h"
#include "reconcilers/backup/volume_texts.h"
#include "reconcilers/support/steps.h"

namespace roadstead::reconcilers::backup {
namespace {

using crds::Step;
using crds::StepState;

std::optional<Millis> take_failure(crds::Backup& backup, const StepRef& ref, const std::string& message, bool for_good,
                                   Time now) {
  auto& status = backup.status;
  Step& entry = begin(status, ref, now);
  close(entry, StepState::Failed, message, now);
  entry.result.clear();
  const int failures = failures_of(status.steps, ref.name);
  const bool last = for_good || failures >= kFailureLimit;
  if (last) give_up(entry);
  status.worker.clear();
  clear_waiting(backup, now);
  if (last && ref.hook) tell_hooks(backup, now);
  say(backup, last ? "StepFailed" : "WaitingToTryAgain",
      last ? fmt::format("{} failed: {}", ref.name, message)
           : fmt::format("{} failed ({} of {}): {}", ref.name, failures, kFailureLimit, message),
      now);
  return last ? std::nullopt : std::optional(kBetweenAttempts);
}

crds::BackupPhase phase_of(const crds::BackupStatus& status) {
  return is_begun(status) ? crds::BackupPhase::Running : crds::BackupPhase::Pending;
}

}  // namespace

Step& begin(crds::BackupStatus& status, const StepRef& ref, Time now) {
  return begin_step(status.steps, ref.name, now);
}

std::optional<Millis> take(crds::Backup& backup, const StepRef& ref, const Outcome& outcome, Time now) {
  auto& status = backup.status;
  status.observed_generation = backup.metadata.generation;
  const Overloaded taken{[&](const Done& done) -> std::optional<Millis> {
                           Step& entry = begin(status, ref, now);
                           entry.result = done.result;
                           close(entry, StepState::Succeeded, done.message, now);
                           status.worker.clear();
                           if (!status.started_at) status.started_at = now;
                           if (ref.kind == StepKind::Copy) status.progress = progress_after(status, ref, {});
                           clear_waiting(backup, now);
                           say(backup, "Running", done.message.empty() ? ref.name + " is done." : done.message, now);
                           return std::nullopt;
                         },
                         [&](const Working& working) -> std::optional<Millis> {
                           Step& entry = begin(status, ref, now);
                           entry.message = working.message;
                           status.worker = entry.worker;
                           clear_waiting(backup, now);
                           if (working.progress) status.progress = working.progress;
                           say(backup, "Running", working.message, now);
                           return working.again == Millis{0} ? std::nullopt : std::optional(working.again);
                         },
                         [&](const Blocked& blocked) -> std::optional<Millis> {
                           begin(status, ref, now).message = blocked.message;
                           set_waiting(backup, blocked.reason, blocked.message, now);
                           return blocked.again;
                         },
                         [&](const Retry& retry) -> std::optional<Millis> {
                           return take_failure(backup, ref, sentence(retry.message, retry.next), false, now);
                         },
                         [&](const Unreachable& lost) -> std::optional<Millis> {
                           (void)begin(status, ref, now);
                           set_waiting(backup, "HostUnreachable", words_of(lost), now);
                           return kHostRetry;
                         },
                         [&](const Failed& failed) -> std::optional<Millis> {
                           return take_failure(backup, ref, sentence(failed.message, failed.next), true, now);
                         }};
  const auto wait = std::visit(taken, outcome);
  status.phase = phase_of(status);
  crds::refresh_summary(status);
  return wait;
}

}  // namespace roadstead::reconcilers::backup
