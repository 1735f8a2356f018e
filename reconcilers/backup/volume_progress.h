#pragma once

// How far a backup of volumes is, over all its copies.

#include <string>

#include "mover/contract/job.h"
#include "reconcilers/backup/volume_next.h"

namespace roadstead::reconcilers::backup {

/// What a copy's step keeps of its result.
std::string copy_result(const mover::CopyData& data);

/// Of the whole run: what was copied, the copy that runs now, and what is still to come. Never goes backwards; a
/// percent only where every total is known; 100 only when all is done.
crds::Progress progress_after(const crds::BackupStatus& status, const StepRef& now, const mover::Progress& current);

/// At the end of the run. `whole`: no step failed.
void close_progress(crds::BackupStatus& status, bool whole);

}  // namespace roadstead::reconcilers::backup
