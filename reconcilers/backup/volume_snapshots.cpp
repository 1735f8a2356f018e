#include "reconcilers/backup/volume_snapshots.h"

#include <algorithm>

#include "operator/base/quantity.h"
#include "reconcilers/support/repository.h"

namespace roadstead::reconcilers::backup {

void take_snapshot(crds::BackupStatus& status, const Place& place, const mover::SnapshotSeen& seen) {
  crds::BackupSnapshot one = snapshot_status(seen, place.host, place.source_host, place.volume);
  const auto same = std::ranges::find_if(status.snapshots, [&](const crds::BackupSnapshot& known) {
    return known.volume == one.volume && known.source_host == one.source_host && known.host == one.host &&
           known.id == one.id;
  });
  if (same == status.snapshots.end())
    status.snapshots.push_back(std::move(one));
  else
    *same = std::move(one);
}

std::string shrink_of(const mover::SnapshotSeen& seen, const mover::SnapshotSeen& before, std::int64_t percent) {
  const auto shrank = [&](std::uint64_t now, std::uint64_t then) {
    return static_cast<double>(now) < static_cast<double>(then) * (1.0 - static_cast<double>(percent) / 100.0);
  };
  if (!shrank(seen.logical_bytes, before.logical_bytes) && !shrank(seen.files, before.files)) return {};
  return fmt::format("{} in {} files, the snapshot before it has {} in {} files: that is more than {} % less",
                     human_bytes(seen.logical_bytes), seen.files, human_bytes(before.logical_bytes), before.files,
                     percent);
}

}  // namespace roadstead::reconcilers::backup
