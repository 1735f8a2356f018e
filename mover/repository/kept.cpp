#include <algorithm>

#include "mover/repository/directory.h"
#include "mover/repository/upkeep.h"

namespace roadstead::mover {
namespace {

Outcome<void> mark(const RepositoryDirectory& directory, int kept, const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    const auto snapshot = status_of(directory.snapshots(), id);
    if (!snapshot) return failed(snapshot.error());
    if (!*snapshot) continue;
    const auto there = status_of(kept, id);
    if (!there) return failed(there.error());
    if (*there) continue;
    if (auto written = write_durably(kept, kept, id, "", {::geteuid(), ::getegid(), 0400}); !written) return written;
  }
  return {};
}

}  // namespace

Outcome<void> keep(const Keep& job) {
  const auto directory = RepositoryDirectory::open(job.path, Use::Mark);
  if (!directory) return failed(directory.error());
  if (auto tidied = directory->tidy_kept(job.release); !tidied) return tidied;
  if (job.keep.empty()) return {};
  const auto kept = make_and_open_directory(directory->root(), kKeptName, 0700);
  if (!kept) return failed(kept.error());
  // Synced even where nothing is new: whoever was cut off before may not have come so far.
  if (auto synced = sync_directory(directory->root()); !synced) return synced;
  if (auto marked = mark(*directory, kept->get(), job.keep); !marked) return marked;
  return sync_directory(kept->get());
}

}  // namespace roadstead::mover
