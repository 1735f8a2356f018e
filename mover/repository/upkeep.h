#pragma once

#include <stop_token>

#include "mover/contract/job.h"
#include "mover/outcome.h"
#include "mover/progress.h"

namespace roadstead::mover {

/// What a repository directory holds; a directory in which nothing was kept yet holds nothing.
Outcome<SnapshotsData> snapshots(const Snapshots& job);

/// Marks snapshots as kept, and takes marks away; durable on return. Marks of snapshots that are gone go too.
Outcome<void> keep(const Keep& job);

/// Removes snapshots, then what only they needed. One that is kept stops it before anything is removed (Kept), unless
/// the job says `even_kept`. A snapshot that stays and cannot be read stops it before anything is
/// removed (DamagedSnapshot): what it needs is not known. Packs written after the newest snapshot belong to a backup
/// that has not ended, and stay, unless no snapshot is left. Cut off at any point, nothing is lost, and the next run
/// goes on.
Outcome<ForgetData> forget(const Forget& job, const std::stop_token& stop);

/// Reads a part of the packs from the disk, takes down which extents are damaged, and looks whether every snapshot has
/// all it names.
Outcome<VerifyData> verify(const Verify& job, const std::stop_token& stop, Meter& meter);

}  // namespace roadstead::mover
