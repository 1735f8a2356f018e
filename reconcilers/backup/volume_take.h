#pragma once

// What the outcome of a step makes of the status of a backup of volumes: entry, progress, conditions.

#include <optional>

#include "reconcilers/backup/volume_next.h"
#include "reconcilers/support/outcome.h"

namespace roadstead::reconcilers::backup {

/// Failures of one step that are borne; the last of them is for good.
inline constexpr int kFailureLimit = 3;

/// The Running entry of a step, made if there is none.
crds::Step& begin(crds::BackupStatus& status, const StepRef& ref, Time now);

/// Puts what a step gave into the status: entry, progress, conditions. Returns when to look again; nothing: at once.
std::optional<Millis> take(crds::Backup& backup, const StepRef& ref, const Outcome& outcome, Time now);

}  // namespace roadstead::reconcilers::backup
