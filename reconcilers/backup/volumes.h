#pragma once

// A backup of volumes, decided from what was planned and the status alone: no I/O, no clock, no log.
//
//   plan                       what is copied, from where to where; kept as it was when the run began
//   <place>/look               what a repository directory has already and what it lacks
//   before/<hook>              only where something is missing
//   <place>/directory          only where the directory is not there
//   <place>/copy               one after another; "<place>/<snapshot>/copy" where a repository is copied
//   after/<hook>               in any case, once a hook or a copy was begun
//
// A place is a volume and a destination, "outpack@annex2"; with the host whose volume it is where a repository is
// copied, "production2/outpack@offsite".

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crds/backup.h"
#include "mover/contract/job.h"
#include "operator/base/clock.h"
#include "reconcilers/support/outcome.h"

namespace roadstead::reconcilers::backup {

/// Where snapshots of one volume are kept.
struct Place {
  std::string source_host;  ///< Whose volume it is: the first part of the directory.
  std::string volume;
  std::string host;                   ///< The destination.
  std::vector<std::string> exclude;   ///< Of a live volume.
  std::vector<std::string> policies;  ///< Whose snapshots are copied, where a repository is.
  bool operator==(const Place&) const = default;
};

/// What the run does, as it was when it began: a policy that is changed or deleted meanwhile changes the next run.
struct Plan {
  crds::BackupSource source;
  std::vector<crds::Destination> destinations;
  std::optional<crds::Transfer> transfer;
  std::int64_t suspicious_shrink_percent = 50;
  std::vector<Place> places;

  [[nodiscard]] bool copies_repository() const { return source.repository.has_value(); }
  /// The host that is read from.
  [[nodiscard]] const std::string& from() const { return source.host_ref->name; }
  [[nodiscard]] std::string name_of(const Place& place) const;
};
std::string to_text(const Plan& plan);
/// Errors: Invalid (not what to_text() writes).
Result<Plan> parse_plan(const std::string& text);

/// A snapshot that a place lacks.
struct Missing {
  std::string id;
  std::string origin;                 ///< Of a snapshot that is copied; empty for one that is made.
  std::optional<std::int64_t> bytes;  ///< What it will be, as far as the one before it or itself tells.
  bool operator==(const Missing&) const = default;
};
/// What a look found.
struct Lookup {
  bool directory = true;         ///< The directory is there.
  std::vector<Missing> missing;  ///< Oldest first.
  std::int64_t left_out = 0;     ///< More are missing; the next run brings them.
  // Where a repository is copied:
  std::vector<std::string> unreadable{};  ///< Ids that it lacks and whose manifests cannot be read at the source.
  bool source_gone = false;               ///< The source has no directory, though copies out of it are here.
  bool operator==(const Lookup&) const = default;
};
std::string to_text(const Lookup& lookup);
Result<Lookup> parse_lookup(const std::string& text);

enum class StepKind { Plan, Look, Before, Directory, Copy, After };

/// What is to be done now.
struct StepRef {
  StepKind kind = StepKind::Plan;
  std::string name;                ///< In status.steps.
  std::optional<Place> place;      ///< Of Look, Directory, Copy.
  std::optional<Missing> missing;  ///< Of Copy.
  std::optional<crds::Hook> hook;  ///< Of Before, After.
};

namespace step {
inline constexpr std::string_view kPlan = "plan";
}  // namespace step

/// Failures of one step that are borne; the last of them is for good.
inline constexpr int kFailureLimit = 3;
/// More snapshots are not copied by one run.
inline constexpr std::size_t kMostCopies = 200;

/// The plan that the run follows; nothing before it was made.
std::optional<Plan> plan_of(const crds::BackupStatus& status);

/// The first step that has neither succeeded nor failed for good; nothing: the run is at its end. A run whose object is
/// being deleted, or whose hook failed, has only its hooks after left.
std::optional<StepRef> current_step(const crds::Backup& backup);

/// True once a run of volumes has begun.
bool is_begun(const crds::BackupStatus& status);

/// How long the step must still wait after a failure; nothing: it may go on.
std::optional<Millis> pause_left(const crds::BackupStatus& status, const StepRef& ref, Time now);

/// The Running entry of a step, made if there is none.
crds::Step& begin(crds::BackupStatus& status, const StepRef& ref, Time now);

/// Puts what a step gave into the status: entry, progress, conditions. Returns when to look again; nothing: at once.
std::optional<Millis> take(crds::Backup& backup, const StepRef& ref, const Outcome& outcome, Time now);

/// The terminal conditions and the totals, once the run is at its end.
void finish(crds::Backup& backup, Time now);

/// Puts a snapshot into status.snapshots, in place of what is known of it.
void take_snapshot(crds::BackupStatus& status, const Place& place, const mover::SnapshotSeen& seen);

/// A sentence where the snapshot shrank by more than `percent` against the one before it; else empty.
std::string shrink_of(const mover::SnapshotSeen& seen, const mover::SnapshotSeen& before, std::int64_t percent);

/// What a copy's step keeps of its result.
std::string copy_result(const mover::CopyData& data);

/// Of the whole run: what was copied, the copy that runs now, and what is still to come. Never goes backwards; a
/// percent only where every total is known; 100 only when all is done.
crds::Progress progress_after(const crds::BackupStatus& status, const StepRef& now, const mover::Progress& current);

}  // namespace roadstead::reconcilers::backup
