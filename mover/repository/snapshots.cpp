#include <sys/statvfs.h>

#include <algorithm>

#include "mover/repository/manifest.h"
#include "mover/repository/upkeep.h"

namespace roadstead::mover {
namespace {

Outcome<void> add_sizes(const RepositoryDirectory& directory, SnapshotsData& data) {
  const auto packs = directory.pack_ids();
  if (!packs) return failed(packs.error());
  for (const PackId id : *packs) {
    const auto status = status_of(directory.packs(), name_of(id));
    if (!status) return failed(status.error());
    if (*status) data.pack_bytes += static_cast<std::uint64_t>((*status)->st_size);
  }
  data.packs = packs->size();
  data.free_bytes = directory.free_bytes();
  return {};
}

/// Only where something is known to be damaged: it takes the index.
Outcome<std::uint64_t> damaged_extents(const std::string& path) {
  const auto repository = Repository::open(path, Use::Read);
  if (!repository) return failed(repository.error());
  const auto lost = repository->lost();
  if (!lost) return failed(lost.error());
  return lost->size();
}

}  // namespace

Outcome<SnapshotsData> snapshots(const Snapshots& job) {
  SnapshotsData data;
  const auto root = open_root(job.path);
  if (!root) return failed(root.error());
  const auto directory = RepositoryDirectory::open(job.path, Use::Read);
  if (!directory && directory.error().reason == "NotFound") {
    struct statvfs status {};
    if (::fstatvfs(root->get(), &status) == 0) data.free_bytes = std::uint64_t{status.f_bavail} * status.f_frsize;
    return data;
  }
  if (!directory) return failed(directory.error());
  auto list = list_snapshots(*directory);
  if (!list) return failed(list.error());
  data.snapshots = std::move(list->snapshots);
  data.unreadable = std::move(list->unreadable);
  if (auto added = add_sizes(*directory, data); !added) return failed(added.error());
  const auto damaged = directory->damaged();
  if (!damaged) return failed(damaged.error());
  if (damaged->empty()) return data;
  const auto lost = damaged_extents(job.path);
  if (!lost) return failed(lost.error());
  data.damaged = *lost;
  return data;
}

}  // namespace roadstead::mover
