#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crds/backup.h"
#include "crds/cron.h"

namespace roadstead::reconcilers::backup_policy {

/// A schedule read from the spec; `zone` lives as long as the program.
struct ReadSchedule {
  crds::Cron cron;
  const crds::TimeZone* zone = nullptr;
};
/// Errors: Invalid, Unavailable (no time zone data on this machine).
Result<ReadSchedule> read_schedule(const crds::Schedule& schedule);

struct Told {
  bool warning = false;
  std::string reason, message;
};

struct Plan {
  std::optional<crds::Backup> create;  ///< The one run that is due.
  crds::BackupPolicyStatus status;     ///< As it is once `create` (if any) is there.
  std::vector<Told> events;
  std::optional<Time> look_again;  ///< When time alone changes something.
};

/// What to do now. `backups`: those of the policy's namespace that carry its label; `source`: what it backs up is
/// there, or why not. Pure: no clock, no I/O.
///
/// A run begins at its scheduled time plus a delay within spec.schedule.jitterSeconds that follows from the policy and
/// that time alone; it is due, and can be late, from then on. Its name and its Backup tell the scheduled time.
///
/// Of all runs whose time passed since the last run only the newest is caught up, and only within
/// spec.startingDeadlineSeconds; the others count as missed. With concurrencyPolicy Forbid it waits for the run that
/// goes on, until the next scheduled time takes its place. A changed spec begins at the moment it is seen.
Plan plan_for(const crds::BackupPolicy& policy, const std::vector<crds::Backup>& backups,
              const Result<ReadSchedule>& schedule, const Result<void>& source, Time now);

/// Time between the next run and the one after; nothing where there are no two.
std::optional<Millis> interval_at(const ReadSchedule& schedule, Time now);

}  // namespace roadstead::reconcilers::backup_policy
