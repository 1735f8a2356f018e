#pragma once

// The snapshots that a Backup tells of.

#include <string>

#include "mover/contract/job.h"
#include "reconcilers/backup/volume_plan.h"

namespace roadstead::reconcilers::backup {

/// Puts a snapshot into status.snapshots, in place of what is known of it.
void take_snapshot(crds::BackupStatus& status, const Place& place, const mover::SnapshotSeen& seen);

/// A sentence where the snapshot shrank by more than `percent` against the one before it; else empty.
std::string shrink_of(const mover::SnapshotSeen& seen, const mover::SnapshotSeen& before, std::int64_t percent);

}  // namespace roadstead::reconcilers::backup
