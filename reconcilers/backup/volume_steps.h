#pragma once

// One function per kind of step, one file each. A step looks, does what is next, and says how that went; it may be
// asked again at any time, by another operator too.

#include "reconcilers/backup/volume_run.h"

namespace roadstead::reconcilers::backup {

/// Once, at the beginning: waits until everything that is named is there. Its result is the plan's text.
Outcome make_plan(Run& run);
/// What the place has already, and what it lacks. Its result is the Lookup's text.
Outcome look(Run& run, const Plan& plan, const StepRef& ref);
/// The repository directory of a volume that was never backed up to the host.
Outcome make_directory(Run& run, const Plan& plan, const StepRef& ref);
/// One snapshot that the place lacks, by two movers or by one.
Outcome copy(Run& run, const Plan& plan, const StepRef& ref);
/// A hook before or after; see run_hook().
Outcome hook(Run& run, const Plan& plan, const StepRef& ref);

}  // namespace roadstead::reconcilers::backup
