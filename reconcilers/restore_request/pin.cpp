// pin: "latest" becomes a base backup and a named point in the WAL, once and for good; the WAL up to the point is seen
// to be whole. For a snapshot: which one, and that it is there.

#include <chrono>
#include <nlohmann/json.hpp>

#include "operator/base/hash.h"
#include "reconcilers/restore_request/choose.h"
#include "reconcilers/restore_request/order.h"
#include "reconcilers/restore_request/snapshot.h"
#include "reconcilers/restore_request/snapshot_look.h"
#include "reconcilers/restore_request/steps.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::restore {
namespace {

using Json = nlohmann::json;

constexpr Millis kArchiveRetry{1'000};
constexpr Millis kProductionRetry{5'000};
/// Production may be away for a moment; only after these tries "latest" means what was received until now.
constexpr int kProductionTries = 3;

/// Another name for each try: PostgreSQL stops at the first record of a name.
std::string point_name(const Run& run) {
  const std::string who = run.context.installation + "/" + run.request.metadata.ns + "/" + run.request.metadata.name;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(run.now().time_since_epoch()).count();
  return fmt::format("roadstead-{}-{}", sha256_hex(who).substr(0, 8), seconds);
}

crds::PinnedSource base_of(const crds::RestoreItem& item, const BackupDetails& details) {
  crds::PinnedSource pinned;
  pinned.item = item.name;
  pinned.backup_id = details.backup.id;
  pinned.backup_root_id = details.backup.id;
  pinned.begin_wal = details.backup.begin_wal;
  pinned.wal_segment_bytes = static_cast<std::int64_t>(segment_bytes_of(details.backup));
  pinned.size_bytes = details.cluster_size_bytes ? details.cluster_size_bytes : details.backup.size_bytes;
  return pinned;
}

void pin_to_end(crds::PinnedSource& pinned, const crds::CatalogBackup& backup) {
  pinned.target = crds::TargetKind::Immediate;
  pinned.target_wal = backup.end_wal;
  pinned.data_as_of = backup.end_time;
}

/// True: pinned. A production that does not answer is tried again, then done without.
std::optional<Outcome> pin_to_now(Run& run, Frame& frame, Barman& barman, crds::PinnedSource& pinned) {
  const std::string name = point_name(run);
  auto point = barman.create_restore_point(name);
  if (point) {
    pinned.target = crds::TargetKind::Name;
    pinned.target_name = name;
    pinned.target_lsn = format_lsn(point->lsn);
    pinned.target_wal = point->segment;
    pinned.data_as_of = run.now();
    return std::nullopt;
  }
  const Error& error = point.error();
  if (error.kind == ErrorKind::Forbidden || error.kind == ErrorKind::Invalid)
    return Blocked{
        "ProductionRefuses",
        fmt::format("production refuses a restore point: {}; look at BarmanServer {}", error.message, barman.server()),
        kBlockedRetry};
  if (error.kind == ErrorKind::NotFound || error.kind == ErrorKind::Conflict)
    return Blocked{"BarmanNotRunning", fmt::format("BarmanServer {} does not run: {}", barman.server(), error.message),
                   kHostRetry};
  Json memory = frame.memory();
  const int tries = memory.value("productionTries", 0) + 1;
  memory["productionTries"] = tries;
  frame.remember(memory);
  if (tries < kProductionTries)
    return Working{fmt::format("Production is not reached ({}); try {} of {}.", error.message, tries, kProductionTries),
                   kProductionRetry,
                   {}};
  pinned.target = crds::TargetKind::EndOfWal;
  return std::nullopt;
}

std::optional<Outcome> decide(Run& run, Frame& frame, ItemSource& source, Barman& barman) {
  const crds::RestoreItem& item = frame.item();
  const HostHandle& host = source.access.host;
  auto listed = barman.list_backups();
  if (!listed) return from_error(listed.error(), host, true);
  std::vector<crds::CatalogBackup> catalogue;
  for (auto& one : *listed) catalogue.push_back(std::move(one.backup));
  const auto chosen = choose_backup(item.from.barman->point, barman.server(), catalogue);
  if (!chosen.backup) return Blocked{"NoBackup", chosen.problem, kBlockedRetry};
  auto details = barman.show_backup(chosen.backup->id);
  if (!details) return from_error(details.error(), host, true);
  auto kept = barman.is_kept(details->backup.id);
  if (!kept) return from_error(kept.error(), host, true);
  auto all = list<crds::RestoreRequest>(run.context.api);
  if (!all) return Blocked{"ApiUnavailable", all.error().message, kHostRetry};

  crds::PinnedSource pinned = base_of(item, *details);
  if (item.from.barman->point.backup_id)
    pin_to_end(pinned, details->backup);
  else if (auto outcome = pin_to_now(run, frame, barman, pinned))
    return *outcome;
  // Written here, done after the mark carries it: so that whoever finishes knows what to release.
  pinned.strategy = strategy_of(run.request, item);
  pinned.keep_set = !*kept || kept_by_another(run.request, *all, barman.server(), pinned.backup_root_id);
  run.request.status.pinned.push_back(std::move(pinned));
  return Working{fmt::format("Pinned to base backup {}.", details->backup.id), Millis{0}, {}};
}

std::uint64_t segment_bytes_of(const crds::PinnedSource& pinned) {
  return static_cast<std::uint64_t>(pinned.wal_segment_bytes.value_or(std::int64_t{kDefaultWalSegmentBytes}));
}

Outcome judge_wal(const crds::PinnedSource& pinned, const WalListing& listing, const std::string& server) {
  const std::string last = pinned.target_wal.empty() ? newest_of(listing, pinned.begin_wal) : pinned.target_wal;
  auto gaps = find_gaps(pinned.begin_wal, last, listing, segment_bytes_of(pinned));
  if (!gaps)
    return Blocked{"WalGap", gaps.error().message + "; make a new base backup, then apply a new request",
                   kBlockedRetry};
  if (gaps->empty()) {
    const bool end_of_wal = pinned.target == crds::TargetKind::EndOfWal;
    return Done{
        "{}", end_of_wal ? "Production is not reached: what was received until now is restored."
                         : fmt::format("Pinned: base backup {}, {}.", pinned.backup_id,
                                       pinned.target_name.empty() ? "its end" : "restore point " + pinned.target_name)};
  }
  std::vector<std::string> missing;
  for (const auto& gap : *gaps) missing.push_back(describe(gap));
  return Blocked{
      "WalGap",
      fmt::format("WAL is missing between base backup {} and the point: {}; points before it can be restored "
                  "(`point: {{backupID: {}}}` in a new request), later ones after a new base backup of BarmanServer {}",
                  pinned.backup_id, fmt::join(missing, ", "), pinned.backup_id, server),
      kBlockedRetry};
}

std::optional<Outcome> choose(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  SnapshotLook look = look_for_snapshot(run, frame);
  if (auto* outcome = std::get_if<Outcome>(&look)) return std::move(*outcome);
  const auto& chosen = std::get<ChosenSnapshot>(look);
  forget_snapshot_look(frame);
  if (!chosen.found) {
    next_attempt(frame);
    return Blocked{"NoBackup", chosen.problem, kBlockedRetry};
  }
  const auto& [place, seen] = *chosen.found;
  crds::PinnedSource pinned;
  pinned.item = item.name;
  pinned.strategy = strategy_of(run.request, item);
  pinned.snapshot = crds::SnapshotPin{place.host, place.source_host, place.volume, seen.id};
  pinned.size_bytes = static_cast<std::int64_t>(seen.data_bytes);
  pinned.data_as_of = seen.data_as_of;
  run.request.status.pinned.push_back(std::move(pinned));
  return Working{
      fmt::format("Pinned to snapshot {} in the repository of host {}.", seen.id, place.host), Millis{0}, {}};
}

/// Chosen, stored, then seen once more: from when it is stored nobody forgets it, and what was forgotten just before is
/// not there any more.
Outcome pin_snapshot(Run& run, Frame& frame) {
  const crds::PinnedSource* pinned = pinned_of(run.request.status, frame.item().name);
  if (pinned == nullptr || !pinned->snapshot) return *choose(run, frame);
  const crds::SnapshotPin pin = *pinned->snapshot;
  auto there = is_there(run, frame, pin);
  if (auto* outcome = std::get_if<Outcome>(&there)) return std::move(*outcome);
  if (std::get<bool>(there))
    return Done{"{}", fmt::format("Pinned: snapshot {} in the repository of host {}.", pin.id, pin.host)};
  std::erase_if(run.request.status.pinned,
                [&](const crds::PinnedSource& one) { return one.item == frame.item().name; });
  next_attempt(frame);
  return Working{fmt::format("Snapshot {} was removed meanwhile; it is chosen again.", pin.id), Millis{1'000}, {}};
}

}  // namespace

Outcome pin(Run& run, Frame& frame) {
  if (!frame.item().from.barman) return pin_snapshot(run, frame);
  auto source = run.source_of(frame.item());
  if (!source) return from_lookup(source.error());
  const HostHandle& host = (*source)->access.host;
  Barman barman = (*source)->access.barman(run.limits);
  const crds::PinnedSource* pinned = pinned_of(run.request.status, frame.item().name);
  if (pinned == nullptr) return *decide(run, frame, **source, barman);

  Json memory = frame.memory();
  const std::string farthest = pinned->target_wal.empty() ? end_of_timeline(pinned->begin_wal) : pinned->target_wal;
  auto listing = barman.wal_segments(pinned->begin_wal, farthest, segment_bytes_of(*pinned));
  if (!listing) return from_error(listing.error(), host, true);
  const bool whole = pinned->target != crds::TargetKind::Name || listing->segments.contains(pinned->target_wal);
  if (whole) return judge_wal(*pinned, *listing, barman.server());

  // The segment with the point comes when it is full: it is switched, and a record behind it makes the receiver notice.
  const int asked = memory.value("switched", 0);
  memory["switched"] = asked + 1;
  frame.remember(memory);
  constexpr int kEvery = 5;
  if (asked % kEvery == 0) {
    (void)barman.switch_wal();
    (void)barman.nudge();
  }
  constexpr int kLate = 60;
  if (asked >= kLate)
    return Blocked{"WalLate",
                   fmt::format("WAL segment {}, which holds the point, has not come to barman yet; look at the WAL "
                               "receiver: `roadstead describe barmanserver {}`",
                               pinned->target_wal, barman.server()),
                   kHostRetry};
  return Working{fmt::format("Waits for WAL segment {}.", pinned->target_wal), kArchiveRetry, {}};
}

}  // namespace roadstead::reconcilers::restore
