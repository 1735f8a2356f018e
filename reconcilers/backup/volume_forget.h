#pragma once

// What goes when a Backup of volumes goes: its workers, and where that is asked for its snapshots.

#include <string_view>

#include "crds/restore_request.h"
#include "reconcilers/backup/volume_run.h"

namespace roadstead::reconcilers::backup {

/// The step of the workers that forget().
inline constexpr std::string_view kForgetStep = "forget";

/// The workers of this Backup on every host that it uses are gone afterwards, but those of `keep_step`; what ran is
/// ended.
Result<void> remove_workers(Run& run, std::string_view keep_step = {});

/// The restore names the Backup, or pins one of its snapshots.
bool is_used_by(const crds::Backup& backup, const crds::RestoreRequest& request);

/// Forgets the snapshots of status.snapshots. Done: they are gone, or the hosts that had them are. Marks are passed
/// over for its own snapshot only: for one that it copied, the Backup that made it speaks. Its workers stay until
/// remove_workers().
Outcome forget(Run& run);

}  // namespace roadstead::reconcilers::backup
