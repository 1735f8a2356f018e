// look: what a repository directory has already and what it lacks.

#include <algorithm>

#include "reconcilers/backup/volume_hosts.h"
#include "reconcilers/backup/volume_list.h"
#include "reconcilers/backup/volume_snapshots.h"
#include "reconcilers/backup/volume_steps.h"

namespace roadstead::reconcilers::backup {
namespace {

/// The one snapshot that this Backup makes.
Lookup look_for_own(Run& run, const Place& place, const mover::SnapshotsData& kept) {
  Lookup lookup;
  if (const auto* own = snapshot_with(kept, run.own_snapshot())) {
    take_snapshot(run.backup.status, place, *own);
    return lookup;
  }
  Missing missing{run.own_snapshot(), {}, {}};
  if (!kept.snapshots.empty()) missing.bytes = static_cast<std::int64_t>(kept.snapshots.back().data_bytes);
  lookup.missing.push_back(std::move(missing));
  return lookup;
}

/// It is of one of the policies whose snapshots are copied, in this installation.
bool is_wanted(const Run& run, const Place& place, const mover::SnapshotSeen& seen) {
  const auto origin = mover::parse_origin(seen.origin);
  return origin && origin->installation == run.context.installation && origin->ns == run.backup.metadata.ns &&
         std::ranges::find(place.policies, origin->policy) != place.policies.end();
}

/// Snapshots of the named policies of this installation that the destination lacks, oldest first. `source`: nothing
/// where the source has no directory.
Lookup look_for_copies(const Run& run, const Place& place, const std::optional<mover::SnapshotsData>& source,
                       const mover::SnapshotsData& kept) {
  Lookup lookup;
  if (!source) {
    lookup.source_gone =
        std::ranges::any_of(kept.snapshots, [&](const auto& seen) { return is_wanted(run, place, seen); });
    return lookup;
  }
  // Whose one is that cannot be read only its name tells: the namespace.
  for (const std::string& id : source->unreadable)
    if (id.starts_with(run.backup.metadata.ns + ".") && snapshot_with(kept, id) == nullptr)
      lookup.unreadable.push_back(id);
  for (const auto& seen : source->snapshots) {
    if (!is_wanted(run, place, seen) || snapshot_with(kept, seen.id) != nullptr) continue;
    if (lookup.missing.size() >= kMostCopies)
      ++lookup.left_out;
    else
      lookup.missing.push_back({seen.id, seen.origin, static_cast<std::int64_t>(seen.data_bytes)});
  }
  return lookup;
}

}  // namespace

Outcome look(Run& run, const Plan& plan, const StepRef& ref) {
  auto found = ends_of(run, plan, *ref.place);
  if (auto* problem = std::get_if<Outcome>(&found)) return std::move(*problem);
  const auto& ends = std::get<Ends>(found);
  bool directory = true, source_directory = true;
  std::optional<mover::SnapshotsData> source;
  if (plan.copies_repository()) {
    auto listed = list_place(run, plan, ref, ends.from, kListSource, source_directory);
    if (auto* outcome = std::get_if<Outcome>(&listed)) return std::move(*outcome);
    if (source_directory) source = std::get<mover::SnapshotsData>(std::move(listed));
  }
  const auto attempt = run.entry(ref).attempt;
  auto listed = list_place(run, plan, ref, ends.to, kList, directory);
  auto* outcome = std::get_if<Outcome>(&listed);
  // While the one is waited for, the other's answer is kept, or both would be asked anew each time.
  const bool is_over = outcome == nullptr || run.entry(ref).attempt != attempt;
  if (plan.copies_repository() && is_over) remove_list(run, plan, ref, ends.from, kListSource, attempt);
  if (outcome != nullptr) return std::move(*outcome);
  remove_list(run, plan, ref, ends.to, kList, run.entry(ref).attempt);
  const auto& kept = std::get<mover::SnapshotsData>(listed);
  Lookup lookup =
      plan.copies_repository() ? look_for_copies(run, *ref.place, source, kept) : look_for_own(run, *ref.place, kept);
  lookup.directory = directory;
  const auto count = lookup.missing.size() + static_cast<std::size_t>(lookup.left_out);
  return Done{to_text(lookup), fmt::format("{} on host {}.",
                                           count == 0   ? std::string("Everything is there already")
                                           : count == 1 ? std::string("One snapshot is missing")
                                                        : fmt::format("{} snapshots are missing", count),
                                           ref.place->host)};
}

}  // namespace roadstead::reconcilers::backup
