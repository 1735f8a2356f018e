#pragma once

// What is next in a backup of volumes, decided from what was planned and the status alone: no I/O, no clock, no log.
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

#include "operator/base/clock.h"
#include "reconcilers/backup/volume_plan.h"

namespace roadstead::reconcilers::backup {

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

/// The first step that has neither succeeded nor failed for good; nothing: the run is at its end. A run whose object is
/// being deleted, or whose hook failed, has only its hooks after left.
std::optional<StepRef> current_step(const crds::Backup& backup);

/// How long the step must still wait after a failure; nothing: it may go on.
std::optional<Millis> pause_left(const crds::BackupStatus& status, const StepRef& ref, Time now);

// ---- what the status says -----------------------------------------------------------------------------------------

/// The plan that the run follows; nothing before it was made.
std::optional<Plan> plan_of(const crds::BackupStatus& status);
/// True once a run of volumes has begun.
bool is_begun(const crds::BackupStatus& status);

/// The entry that says that this step has failed for good; null where none does.
const crds::Step* given_up(const crds::BackupStatus& status, const std::string& name);
/// Marks an entry that failed as the last of its step.
void give_up(crds::Step& entry);

std::string look_step(const Plan& plan, const Place& place);
std::string directory_step(const Plan& plan, const Place& place);
/// What is known to be missing; nothing before the look and where it failed.
std::optional<Lookup> lookup_of(const Plan& plan, const crds::BackupStatus& status, const Place& place);
/// Every copy of the run, as far as it was looked.
std::vector<StepRef> copies_of(const Plan& plan, const crds::BackupStatus& status);
/// So many snapshots are left for the next run.
std::int64_t left_out_of(const Plan& plan, const crds::BackupStatus& status);

/// A hook that failed for good.
struct FailedHook {
  std::string step;  ///< "before/save"
  std::string why;
  bool counts = true;  ///< Its onFailure says that the run fails with it.
};
/// In the order in which they are run.
std::vector<FailedHook> failed_hooks(const Plan& plan, const crds::BackupStatus& status);
/// The hook before that ended the run; null: none did.
const crds::Hook* fatal_hook(const Plan& plan, const crds::BackupStatus& status);

}  // namespace roadstead::reconcilers::backup
