#pragma once

// What a repository directory needs next: to be listed, marked, thinned out, verified. Pure; workers and calls are
// elsewhere.

#include <optional>
#include <string>
#include <vector>

#include "mover/contract/job.h"
#include "reconcilers/backup_policy/catalogue.h"
#include "reconcilers/backup_policy/decide.h"
#include "reconcilers/backup_policy/retention.h"
#include "reconcilers/support/attempt.h"

namespace roadstead::reconcilers::backup_policy {

/// A directory is listed when the operator starts, after each run, and this often.
inline constexpr Millis kListInterval = std::chrono::hours(1);
/// Somebody else uses the directory (a backup, a restore): it is asked again after this.
inline constexpr Millis kBusyPause = std::chrono::seconds(30);
inline constexpr Millis kUnreachablePause = std::chrono::seconds(15);
inline constexpr Millis kFailurePause = std::chrono::minutes(5);

enum class TaskKind { List, Keep, Forget, Verify };
/// One worker's job. One at a time for each directory.
struct Task {
  TaskKind kind = TaskKind::List;
  Time begun{};
  std::vector<std::string> snapshots;  ///< Of Forget; of Keep: that are kept from now on.
  std::vector<std::string> release{};  ///< Of Keep: that are not kept any more.
  std::uint32_t part = 0, parts = 1;   ///< Of Verify.
};
/// The worker's step: "snapshots", "keep", "forget", "verify".
std::string_view step_of(TaskKind kind);
mover::Job job_of(const Task& task);

/// What the operator remembers of a directory while it runs; lost with it, and found again by listing.
struct Memory {
  std::optional<Listing> listing;
  bool fresh = false;  ///< The listing is of this look.
  std::optional<Task> running;
  Attempt attempt;
  Time not_before{};    ///< After a failure.
  std::string trouble;  ///< Why the last task failed; empty once one succeeded.
  /// Marks could not be written. They are tried again after the next listing: a full disk is to be thinned out.
  bool unmarkable = false;
  bool missing = false;  ///< The directory is not there, though Backups name snapshots in it.
  bool tidied = false;   ///< No worker of an earlier operator is left.
};

/// What retention says of one directory.
struct Thinning {
  std::vector<std::string> remove;
  std::string held_by;                   ///< Why nothing is removed; empty where nothing hinders.
  std::optional<std::string> suspicion;  ///< A sentence about the newest snapshot, where it is suspicious.
};

/// What is known beside the directory.
struct Surroundings {
  const std::vector<crds::Backup>* objects = nullptr;  ///< Of the namespace.
  std::set<std::string> used_snapshots;                ///< Of this directory, by unfinished restores.
  std::set<std::string> used_backups;                  ///< Backups that unfinished restores name.
  std::string undecided_restore;                       ///< One that may still pin any snapshot; empty: there is none.
  std::optional<Time> last_end;                        ///< When a run of the policy last ended.
  bool run_goes_on = false;
};

/// By spec.retention; what is suspicious is told also where no rule is set. `zone` is the schedule's.
Thinning thin_out(const crds::BackupPolicy& policy, const Owner& owner, const Place& place, const Listing& listing,
                  const Surroundings& around, const crds::TimeZone& zone);

/// Which part of so many a verification at a scheduled time reads: they take turns, as the times follow each other.
std::uint32_t part_at(const ReadSchedule& schedule, Time scheduled, std::uint32_t parts);

/// The verification that is due now; nothing where none is. One that was missed is caught up once. `damaged`: extents
/// that the directory itself still counts as damaged.
std::optional<Task> due_verification(const crds::BackupPolicy& policy, const crds::RepositoryStatus& known,
                                     std::uint64_t damaged, Time now);

/// What to do now with a directory where nothing runs; nothing: wait.
std::optional<Task> next_task(const crds::BackupPolicy& policy, const Memory& memory, const Thinning& thinning,
                              const Marks& marks, bool lacks_objects, const Surroundings& around,
                              const crds::RepositoryStatus& known, Time now);

/// Puts what a listing says into the directory's status.
void take_listing(crds::RepositoryStatus& status, const Owner& owner, const Listing& listing);
/// Puts what a verification found into the directory's status.
void take_verification(crds::RepositoryStatus& status, const Task& task, const mover::VerifyData& data, Time now);

/// The condition RepositoryHealthy, from all directories. `missing`: those that are not there though they should be.
crds::Condition health_of(const crds::BackupPolicy& policy, const std::vector<std::string>& unreadable,
                          const std::vector<Place>& missing = {});
/// Why nothing is concluded from a directory that is not there, and what to do.
std::string missing_directory(const Place& place);

}  // namespace roadstead::reconcilers::backup_policy
