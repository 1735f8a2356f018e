#pragma once

// From what a repository directory holds to Backup objects: the repository is the truth, the objects follow it.

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "crds/backup.h"
#include "mover/contract/job.h"
#include "reconcilers/backup_policy/places.h"

namespace roadstead::reconcilers::backup_policy {

/// What a directory held when it was listed.
struct Listing {
  Time begun{};  ///< When it was asked for: what ended before then is in it.
  mover::SnapshotsData data;
};

/// Whose snapshots count.
struct Owner {
  std::string installation, ns;
  std::set<std::string> policies;
};

struct OwnSnapshot {
  mover::SnapshotSeen seen;
  mover::Origin origin;
};
/// The snapshots that carry one of the owner's policies, by data time; others stay out of its sight.
std::vector<OwnSnapshot> own_snapshots(const Owner& owner, const Listing& listing);

struct ObjectChanges {
  std::vector<crds::Backup> create;  ///< With the status they get at once: they have ended long ago.
  std::vector<crds::Backup> update;  ///< Their status changed, and spec.keep of some, which has to be stored before.
  /// None of their snapshots is left, and their status says so: that is to be stored before they are removed, so that
  /// spec.deletionPolicy Delete finds nothing to forget, should the listing have missed what is there.
  std::vector<crds::Backup> remove;
  bool lacks_objects = false;  ///< Like `create`, of a listing that is not `fresh` any more: list again.
};

/// A Backup that is to be removed, since none of its snapshots is left.
inline constexpr std::string_view kSnapshotsGone = "SnapshotsGone";

/// Backups that are not being deleted name snapshots there.
bool is_named(const Place& place, const std::vector<crds::Backup>& objects);

/// What has to change so that the Backups of the namespace tell what `place` holds. One that is made for a snapshot, or
/// was and gets another, takes over that it is kept. Those that have not ended, are
/// being deleted or ended after the listing was begun are left alone. `fresh`: the listing is of this very look; an
/// older one may tell of a snapshot that was forgotten together with its object.
ObjectChanges object_changes(const Owner& owner, const Place& place, const Listing& listing,
                             const std::vector<crds::Backup>& objects, bool fresh);

/// How the marks of a directory differ from what the Backups say.
struct Marks {
  std::vector<std::string> keep, release;  ///< Ids.
  [[nodiscard]] bool empty() const { return keep.empty() && release.empty(); }
};
/// A mark is only taken away where the Backup that made the snapshot lists it here, and none that lists it says `keep`.
Marks differing_marks(const Owner& owner, const Place& place, const Listing& listing,
                      const std::vector<crds::Backup>& objects);

/// The objects that speak for a snapshot: its own, and one that copied it here.
bool speaks_for(const crds::Backup& object, const Place& place, const OwnSnapshot& snapshot);

/// Backups of the policy that ended without leaving any snapshot, beyond the newest `keep`: nobody misses them.
std::vector<std::string> spent_objects(const std::string& policy, const std::vector<crds::Backup>& objects,
                                       std::size_t keep);

}  // namespace roadstead::reconcilers::backup_policy
