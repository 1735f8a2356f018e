#include "reconcilers/backup/volume_end.h"

#include <algorithm>

#include "mover/contract/job.h"
#include "reconcilers/backup/volume_progress.h"
#include "reconcilers/backup/volume_texts.h"

namespace roadstead::reconcilers::backup {
namespace {

using crds::ConditionStatus;
using crds::Step;

struct Losses {
  std::vector<std::string> failed;      ///< "outpack@annex2/copy: why"
  std::vector<std::string> unreadable;  ///< "outpack: a, b and 3 more"
  std::vector<std::string> hooks;       ///< "hook before/save: why", of those that count
  std::vector<std::string> source;      ///< What a repository that is copied lacks, in a sentence each.
  bool fatal_hook = false;

  [[nodiscard]] bool none() const { return failed.empty() && unreadable.empty() && hooks.empty() && source.empty(); }
};

constexpr std::size_t kMostNames = 5;

/// "a, b and 3 more" of so many.
std::string first_of(const std::vector<std::string>& names, std::int64_t count) {
  const auto shown = std::min(names.size(), kMostNames);
  std::string text =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  const auto more = count - static_cast<std::int64_t>(shown);
  if (more > 0) text += fmt::format(" and {} more", more);
  return text;
}

std::string named(const crds::BackupSnapshot& snapshot) {
  return fmt::format("volume {}: {}", snapshot.volume, first_of(snapshot.unreadable, snapshot.unreadable_count));
}

/// What a look at a repository that is copied could not find out. Each destination tells the same of a directory.
void add_source_losses(const Plan& plan, const crds::BackupStatus& status, std::vector<std::string>& told) {
  const auto add = [&](std::string sentence) {
    if (std::ranges::find(told, sentence) == told.end()) told.push_back(std::move(sentence));
  };
  for (const auto& place : plan.places) {
    const auto lookup = lookup_of(plan, status, place);
    if (!lookup) continue;
    const std::string directory = mover::repository_directory(place.source_host, place.volume);
    if (lookup->source_gone)
      add(
          fmt::format("host {} has no directory {} in its repository, though there are copies out of it; check that "
                      "the repository's disk is mounted",
                      plan.from(), directory));
    if (!lookup->unreadable.empty())
      add(fmt::format(
          "snapshots whose manifests cannot be read in directory {} of host {} are not copied ({}); put "
          "the files right from another copy, or remove them from the repository by hand",
          directory, plan.from(), first_of(lookup->unreadable, static_cast<std::int64_t>(lookup->unreadable.size()))));
  }
}

Losses losses_of(const Plan& plan, const crds::BackupStatus& status) {
  Losses losses;
  const auto add = [&](const std::string& name) {
    if (const Step* entry = given_up(status, name)) losses.failed.push_back(name + ": " + entry->message);
  };
  for (const auto& place : plan.places) {
    add(look_step(plan, place));
    add(directory_step(plan, place));
  }
  for (const auto& copy : copies_of(plan, status)) add(copy.name);
  for (const auto& snapshot : status.snapshots) {
    // Each destination of a volume tells the same names.
    const std::string line = snapshot.unreadable_count > 0 ? named(snapshot) : std::string();
    if (!line.empty() && std::ranges::find(losses.unreadable, line) == losses.unreadable.end())
      losses.unreadable.push_back(line);
  }
  add_source_losses(plan, status, losses.source);
  losses.fatal_hook = fatal_hook(plan, status) != nullptr;
  std::vector<FailedHook> hooks = failed_hooks(plan, status);
  std::erase_if(hooks, [](const FailedHook& hook) { return !hook.counts; });
  losses.hooks = lines_of(hooks);
  return losses;
}

void end_with(crds::Backup& backup, crds::BackupPhase phase, const std::string& reason, const std::string& message,
              Time now) {
  backup.status.phase = phase;
  const bool good = phase == crds::BackupPhase::Succeeded;
  set(backup, "Complete", good ? ConditionStatus::True : ConditionStatus::False, reason, message, now);
  if (!good) set(backup, "Failed", ConditionStatus::True, reason, message, now);
}

void end_with_losses(crds::Backup& backup, const Losses& losses, Time now) {
  std::vector<std::string> parts = losses.hooks;
  parts.insert(parts.end(), losses.failed.begin(), losses.failed.end());
  if (!losses.unreadable.empty())
    parts.push_back(
        fmt::format("files that could not be read are not in it ({}); put their permissions or their disk "
                    "right, the next run takes them again",
                    fmt::join(losses.unreadable, "; ")));
  parts.insert(parts.end(), losses.source.begin(), losses.source.end());
  const std::string why = fmt::format("{}", fmt::join(parts, "; "));
  if (losses.fatal_hook)
    return end_with(backup, crds::BackupPhase::Failed, "HookFailed", "Nothing was copied: " + why, now);
  if (backup.status.snapshots.empty() && losses.failed.empty() && !losses.source.empty())
    return end_with(backup, crds::BackupPhase::Failed, "SourceUnreadable", "Nothing was copied: " + why, now);
  if (backup.status.snapshots.empty())
    return end_with(backup, crds::BackupPhase::Failed, "AttemptsExhausted", "Nothing was backed up: " + why, now);
  end_with(backup, crds::BackupPhase::PartiallyFailed, "PartiallyFailed",
           "Not everything was backed up: " + why + "; what is in status.snapshots can be restored", now);
}

}  // namespace

void finish(crds::Backup& backup, Time now) {
  auto& status = backup.status;
  clear_waiting(backup, now);
  status.finished_at = now;
  status.worker.clear();
  const auto plan = plan_of(status);
  if (!plan) {
    const Step* why = given_up(status, std::string(step::kPlan));
    end_with(backup, crds::BackupPhase::Failed, "AttemptsExhausted",
             "Nothing was backed up: " + (why != nullptr ? why->message : "there is no plan"), now);
    crds::refresh_summary(status);
    return;
  }
  for (const auto& snapshot : status.snapshots)
    if (snapshot.data_as_of)
      status.data_as_of = std::min(*snapshot.data_as_of, status.data_as_of.value_or(*snapshot.data_as_of));
  const Losses losses = losses_of(*plan, status);
  close_progress(status, losses.failed.empty() && !losses.fatal_hook);
  if (!losses.none()) {
    end_with_losses(backup, losses, now);
  } else if (const auto left_out = left_out_of(*plan, status); left_out > 0) {
    end_with(backup, crds::BackupPhase::Succeeded, "BackedUp",
             fmt::format("{} snapshots are in the repositories; {} more are left for the next run",
                         status.snapshots.size(), left_out),
             now);
  } else if (status.snapshots.empty()) {
    end_with(backup, crds::BackupPhase::Succeeded, "NothingToCopy", "The destinations have every snapshot already",
             now);
  } else {
    end_with(backup, crds::BackupPhase::Succeeded, "BackedUp",
             fmt::format("{} {} in the repositories", status.snapshots.size(),
                         status.snapshots.size() == 1 ? "snapshot is" : "snapshots are"),
             now);
  }
  crds::refresh_summary(status);
}

}  // namespace roadstead::reconcilers::backup
