#include "reconcilers/backup/volume_forget.h"

#include <algorithm>
#include <map>
#include <set>

#include "operator/base/hash.h"
#include "reconcilers/backup/volume_worker.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::backup {

Result<void> remove_workers(Run& run, std::string_view keep_step) {
  const auto plan = plan_of(run.backup.status);
  std::set<std::string> names;
  for (const auto& snapshot : run.backup.status.snapshots) names.insert(snapshot.host);
  if (plan) {
    names.insert(plan->from());
    for (const auto& destination : plan->destinations) names.insert(destination.host_ref.name);
  }
  for (const auto& name : names) {
    auto host = run.context.hosts.get(name);
    if (!host && host.error().kind == ErrorKind::NotFound) continue;
    if (!host) return tl::unexpected(host.error());
    auto removed = remove_workers_of(*host->engine, run.context.installation, key_of(run.backup),
                                     std::string(keep_step), run.limits);
    if (!removed) return within("host " + name, removed.error());
  }
  return {};
}

bool is_used_by(const crds::Backup& backup, const crds::RestoreRequest& request) {
  const auto& snapshots = backup.status.snapshots;
  // Its own is recognized wherever it is: a lost store may have left no word of it in the status.
  const auto own = mover::snapshot_id(backup.metadata.ns, backup.metadata.name);
  const auto is_pinned = [&](const crds::PinnedSource& pinned) {
    if (!pinned.snapshot) return false;
    return pinned.snapshot->id == own || std::ranges::any_of(snapshots, [&](const crds::BackupSnapshot& one) {
             return *pinned.snapshot == crds::SnapshotPin{one.host, one.source_host, one.volume, one.id};
           });
  };
  const auto names_it = [&](const crds::RestoreItem& item) {
    return item.from.backup_ref && item.from.backup_ref->name == backup.metadata.name;
  };
  return std::ranges::any_of(request.status.pinned, is_pinned) || std::ranges::any_of(request.spec.items, names_it);
}

Outcome forget(Run& run) {
  // By host, directory, and whether it is the Backup's own snapshot.
  std::map<std::tuple<std::string, std::string, std::string, bool>, std::vector<std::string>> ids;
  for (const auto& one : run.backup.status.snapshots)
    ids[{one.host, one.source_host, one.volume, one.id == run.own_snapshot()}].push_back(one.id);
  // What was made just before the end is in no status.
  const auto plan = plan_of(run.backup.status);
  if (plan && !plan->copies_repository() && !crds::is_finished(run.backup.status))
    for (const auto& place : plan->places)
      if (auto& known = ids[{place.host, place.source_host, place.volume, true}]; known.empty())
        known.push_back(run.own_snapshot());
  for (auto& [where, gone] : ids) {
    const auto& [name, source_host, volume, own] = where;
    auto host = run.context.hosts.get(name);
    if (!host && host.error().kind == ErrorKind::NotFound) continue;
    if (!host) return from_lookup(host.error());
    const WorkerId id{.installation = run.context.installation,
                      .owner = key_of(run.backup),
                      .item = fmt::format("{}_{}_at_{}{}", source_host, volume, name, own ? "" : "_copied"),
                      .step = std::string(kForgetStep),
                      .attempt = 1,
                      .spec_hash = sha256_hex(nlohmann::json(gone).dump()).substr(0, 16)};
    Attempt attempt;
    auto look =
        look_at_repository(run.context, {&*host, source_host, volume}, id,
                           own ? forget_even_kept(gone) : forget_snapshots(gone), kBriefly, attempt, run.limits);
    if (std::holds_alternative<NothingKept>(look)) continue;
    if (const auto* state = std::get_if<Underway>(&look)) return from_underway(*state);
    if (const auto* error = std::get_if<EngineError>(&look)) return from_error(error->error, *host, false);
    const auto& result = std::get<mover::WorkerResult>(look);
    if (result.ok) continue;  // it stays until all are done, or it would be made again while others are waited for
    remove_after_write(run, *host, id, attempt.number);
    return Blocked{
        result.reason,
        sentence(fmt::format("the snapshots on host {} are not forgotten yet: {}", name, result.message), result.next),
        kBlockedRetry};
  }
  return Done{};
}

}  // namespace roadstead::reconcilers::backup
