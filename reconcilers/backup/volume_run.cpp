#include "reconcilers/backup/volume_run.h"

#include "reconcilers/backup/volume_steps.h"

namespace roadstead::reconcilers::backup {

std::string Run::own_snapshot() const { return mover::snapshot_id(backup.metadata.ns, backup.metadata.name); }

Outcome perform(Run& run, const StepRef& ref) {
  (void)run.entry(ref);
  if (ref.kind == StepKind::Plan) return make_plan(run);
  const auto plan = plan_of(run.backup.status);
  if (!plan) return Failed{"PlanUnreadable", "the plan in status.steps cannot be read", "delete this Backup"};
  switch (ref.kind) {
    case StepKind::Plan:
      break;
    case StepKind::Look:
      return look(run, *plan, ref);
    case StepKind::Directory:
      return make_directory(run, *plan, ref);
    case StepKind::Copy:
      return copy(run, *plan, ref);
    case StepKind::Before:
    case StepKind::After:
      return hook(run, *plan, ref);
  }
  return make_plan(run);
}

}  // namespace roadstead::reconcilers::backup
