#include "reconcilers/backup_policy/catalogue.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "reconcilers/support/backup_names.h"
#include "reconcilers/support/repository.h"

namespace roadstead::reconcilers::backup_policy {
namespace {

bool is_at(const crds::BackupSnapshot& snapshot, const Place& place) {
  return snapshot.host == place.host && snapshot.source_host == place.source_host && snapshot.volume == place.volume;
}

const crds::Backup* object_named(const std::vector<crds::Backup>& objects, const std::string& name) {
  const auto found =
      std::find_if(objects.begin(), objects.end(), [&](const auto& object) { return object.metadata.name == name; });
  return found == objects.end() ? nullptr : &*found;
}

bool is_found(const crds::Backup& object) {
  return object.metadata.annotations.contains(std::string(kFoundInRepositoryAnnotation));
}

/// Its status was lost between two calls.
bool is_unfinished_copy(const crds::Backup& object) { return is_found(object) && !crds::is_finished(object.status); }

bool holds(const Listing& listing, const std::string& id) {
  const auto& all = listing.data.snapshots;
  const auto& unreadable = listing.data.unreadable;
  return std::any_of(all.begin(), all.end(), [&](const auto& seen) { return seen.id == id; }) ||
         std::find(unreadable.begin(), unreadable.end(), id) != unreadable.end();
}

/// Files that no snapshot of it could read, each snapshot once wherever it is.
std::int64_t unreadable_files(const crds::BackupStatus& status) {
  std::map<std::tuple<std::string, std::string, std::string>, std::int64_t> counts;
  for (const auto& one : status.snapshots) counts[{one.source_host, one.volume, one.id}] = one.unreadable_count;
  std::int64_t sum = 0;
  for (const auto& [snapshot, count] : counts) sum += count;
  return sum;
}

/// How a Backup that was found ended, from the snapshots that are known of it.
void judge_found(crds::BackupStatus& status, Time when) {
  const std::int64_t unreadable = unreadable_files(status);
  const bool partial = unreadable > 0;
  status.phase = partial ? crds::BackupPhase::PartiallyFailed : crds::BackupPhase::Succeeded;
  std::erase_if(status.conditions, [&](const auto& one) { return one.type == (partial ? "Complete" : "Failed"); });
  crds::set_condition(
      status.conditions,
      {partial ? "Failed" : "Complete", crds::ConditionStatus::True, partial ? "PartiallyFailed" : "FoundInRepository",
       partial ? fmt::format("Found in the repository; {} files could not be read then.", unreadable)
               : std::string("Found in the repository."),
       std::nullopt, 0},
      when);
}

void finish(crds::BackupStatus& status, const OwnSnapshot& snapshot) {
  status.started_at = snapshot.seen.data_as_of;
  status.finished_at = snapshot.seen.finished_at;
  status.data_as_of = snapshot.seen.data_as_of;
  judge_found(status, snapshot.seen.finished_at);
}

crds::Backup object_for(const Owner& owner, const Place& place, const OwnSnapshot& snapshot) {
  const mover::Origin& origin = snapshot.origin;
  crds::Backup object;
  object.metadata.ns = owner.ns;
  object.metadata.name = origin.backup;
  object.metadata.annotations[std::string(kFoundInRepositoryAnnotation)] = "true";
  object.metadata.labels[std::string(crds::kPolicyLabel)] = origin.policy;
  object.spec.policy_ref = crds::NameRef{origin.policy};
  object.spec.scheduled_time = origin.scheduled_time;
  object.spec.keep = snapshot.seen.kept;
  object.status.snapshots.push_back(snapshot_status(snapshot.seen, place.host, place.source_host, place.volume));
  finish(object.status, snapshot);
  crds::refresh_summary(object.status);
  return object;
}

/// Left alone: what has not ended, and what the listing knows too little of.
bool is_settled(const crds::Backup& object, const Listing& listing) {
  return !object.metadata.deletion_timestamp && crds::is_finished(object.status) && object.status.finished_at &&
         *object.status.finished_at < listing.begun;
}

bool lists(const crds::Backup& object, const Place& place, const std::string& id) {
  const auto& all = object.status.snapshots;
  return std::any_of(all.begin(), all.end(), [&](const auto& one) { return is_at(one, place) && one.id == id; });
}

/// A snapshot that joins an object that was made for another one brings its mark: nobody spoke for it in between.
bool takes_over_mark(const crds::Backup& object, const Place& place, const std::vector<OwnSnapshot>& own) {
  if (object.spec.keep || !is_found(object)) return false;
  return std::any_of(own.begin(), own.end(), [&](const OwnSnapshot& snapshot) {
    return snapshot.seen.kept && snapshot.origin.backup == object.metadata.name &&
           !lists(object, place, snapshot.seen.id);
  });
}

/// The object with what the listing adds and takes away; nothing: it tells the truth.
std::optional<crds::Backup> corrected(const crds::Backup& object, const Place& place, const Listing& listing,
                                      const std::vector<OwnSnapshot>& own) {
  crds::Backup changed = object;
  auto& snapshots = changed.status.snapshots;
  const auto gone =
      std::erase_if(snapshots, [&](const auto& one) { return is_at(one, place) && !holds(listing, one.id); });
  const std::size_t left = snapshots.size();
  for (const OwnSnapshot& snapshot : own)
    if (snapshot.origin.backup == object.metadata.name && !lists(changed, place, snapshot.seen.id))
      snapshots.push_back(snapshot_status(snapshot.seen, place.host, place.source_host, place.volume));
  if (gone == 0 && left == snapshots.size()) return std::nullopt;
  if (is_found(object) && left < snapshots.size()) judge_found(changed.status, listing.begun);
  if (!snapshots.empty())
    std::erase_if(changed.status.conditions, [](const auto& one) { return one.type == kSnapshotsGone; });
  crds::refresh_summary(changed.status);
  return changed;
}

void say_gone(crds::BackupStatus& status, Time when) {
  crds::set_condition(status.conditions,
                      {std::string(kSnapshotsGone), crds::ConditionStatus::True, "NotInRepository",
                       "Its snapshots are gone from the repositories.", std::nullopt, 0},
                      when);
}

}  // namespace

bool is_named(const Place& place, const std::vector<crds::Backup>& objects) {
  return std::any_of(objects.begin(), objects.end(), [&](const crds::Backup& object) {
    const auto& all = object.status.snapshots;
    return !object.metadata.deletion_timestamp &&
           std::any_of(all.begin(), all.end(), [&](const auto& one) { return is_at(one, place); });
  });
}

std::vector<OwnSnapshot> own_snapshots(const Owner& owner, const Listing& listing) {
  std::vector<OwnSnapshot> own;
  for (const mover::SnapshotSeen& seen : listing.data.snapshots) {
    auto origin = mover::parse_origin(seen.origin);
    if (!origin || origin->installation != owner.installation || origin->ns != owner.ns) continue;
    if (origin->backup.empty() || !owner.policies.contains(origin->policy)) continue;
    own.push_back({seen, std::move(*origin)});
  }
  return own;
}

ObjectChanges object_changes(const Owner& owner, const Place& place, const Listing& listing,
                             const std::vector<crds::Backup>& objects, bool fresh) {
  ObjectChanges changes;
  const std::vector<OwnSnapshot> own = own_snapshots(owner, listing);
  for (const OwnSnapshot& snapshot : own) {
    const crds::Backup* object = object_named(objects, snapshot.origin.backup);
    if (object == nullptr && !fresh) changes.lacks_objects = true;
    if (object == nullptr && fresh) changes.create.push_back(object_for(owner, place, snapshot));
    if (object == nullptr || !is_unfinished_copy(*object)) continue;
    crds::Backup again = *object;
    again.status = object_for(owner, place, snapshot).status;
    again.spec.keep = again.spec.keep || snapshot.seen.kept;
    changes.update.push_back(std::move(again));
  }
  for (const crds::Backup& object : objects) {
    if (!is_settled(object, listing)) continue;
    auto changed = corrected(object, place, listing, own);
    if (!changed) {
      // An earlier look ended between the two writes.
      if (object.status.snapshots.empty() && crds::is_true(object.status.conditions, kSnapshotsGone))
        changes.remove.push_back(object);
      continue;
    }
    changed->spec.keep = object.spec.keep || takes_over_mark(object, place, own);
    if (changed->status.snapshots.empty()) {
      say_gone(changed->status, listing.begun);
      changes.remove.push_back(std::move(*changed));
    } else {
      changes.update.push_back(std::move(*changed));
    }
  }
  return changes;
}

bool speaks_for(const crds::Backup& object, const Place& place, const OwnSnapshot& snapshot) {
  return object.metadata.name == snapshot.origin.backup || lists(object, place, snapshot.seen.id);
}

Marks differing_marks(const Owner& owner, const Place& place, const Listing& listing,
                      const std::vector<crds::Backup>& objects) {
  Marks marks;
  for (const OwnSnapshot& snapshot : own_snapshots(owner, listing)) {
    bool kept = false, known = false;
    for (const crds::Backup& object : objects) {
      // One that goes says nothing any more: what keeps its data must outlive it.
      if (object.metadata.deletion_timestamp || !speaks_for(object, place, snapshot)) continue;
      kept = kept || object.spec.keep;
      // One that copied it has no say in that it is not kept.
      known = known || (object.metadata.name == snapshot.origin.backup && lists(object, place, snapshot.seen.id));
    }
    if (kept && !snapshot.seen.kept) marks.keep.push_back(snapshot.seen.id);
    if (!kept && known && snapshot.seen.kept) marks.release.push_back(snapshot.seen.id);
  }
  return marks;
}

std::vector<std::string> spent_objects(const std::string& policy, const std::vector<crds::Backup>& objects,
                                       std::size_t keep) {
  std::vector<const crds::Backup*> spent;
  for (const crds::Backup& object : objects) {
    const auto label = object.metadata.labels.find(std::string(crds::kPolicyLabel));
    if (label == object.metadata.labels.end() || label->second != policy) continue;
    if (object.metadata.deletion_timestamp || !crds::is_finished(object.status)) continue;
    if (object.status.snapshots.empty() && !object.status.barman && !object.spec.keep) spent.push_back(&object);
  }
  std::sort(spent.begin(), spent.end(),
            [](const auto* a, const auto* b) { return a->status.finished_at > b->status.finished_at; });
  std::vector<std::string> names;
  for (std::size_t i = keep; i < spent.size(); ++i) names.push_back(spent[i]->metadata.name);
  return names;
}

}  // namespace roadstead::reconcilers::backup_policy
