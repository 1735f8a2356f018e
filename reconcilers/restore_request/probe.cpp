// probe: can it be done, and what will it do? Reads only; asked again until nothing stands against it.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reconcilers/restore_request/applications.h"
#include "reconcilers/restore_request/choose.h"
#include "reconcilers/restore_request/judge.h"
#include "reconcilers/restore_request/mark.h"
#include "reconcilers/restore_request/order.h"
#include "reconcilers/restore_request/pair.h"
#include "reconcilers/restore_request/snapshot_look.h"
#include "reconcilers/restore_request/steps.h"
#include "reconcilers/support/commands.h"
#include "reconcilers/support/mover_worker.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::restore {
namespace {

constexpr Millis kOtherRetry{5'000};
constexpr const char* kMeasure = "measure";  // The word of a worker, and in the step's memory.

/// Proves the way that the bytes will go, once per request: two movers that only say hello.
std::optional<Outcome> prove_path(Run& run, Frame& frame, const HostHandle& source, const HostHandle& target) {
  const Serving serving = serving_side(source.host, target.host);
  if (serving == Serving::Local || serving == Serving::Nobody || frame.remembers("connected")) return std::nullopt;
  const auto side = [&](const HostHandle& host, std::string step) {
    return PairSide{&host, std::move(step), [&](const mover::Link& link) {
                      return mover_spec(run.context, host, mover::Connect{link}, run.limits);
                    }};
  };
  const PairJob job{side(source, "connect-source"), side(target, "connect-target"), serving == Serving::Source};
  const auto end = run_pair(run, frame, job);
  if (const auto* outcome = std::get_if<Outcome>(&end)) return *outcome;
  const auto& pair = std::get<PairEnd>(end);
  remove_pair_after_write(run, frame, job, static_cast<int>(frame.entry().attempt));
  if (!pair.receiver.result || !pair.receiver.result->ok) {
    const WorkerSeen& seen = telling(pair);
    const std::string why = seen.result ? seen.result->message : last_words(seen);
    next_attempt(frame);
    const auto& server = serving == Serving::Source ? source.host : target.host;
    const auto& caller = serving == Serving::Source ? target.host : source.host;
    return Blocked{
        "NoDataPath",
        fmt::format("host {} cannot reach host {} at {}, ports {}: {}; open the ports or correct spec.data of host {}",
                    caller.metadata.name, server.metadata.name, server.spec.data->address, *server.spec.data->ports,
                    why, server.metadata.name),
        kBlockedRetry};
  }
  frame.remember_done("connected");
  return std::nullopt;
}

/// Looks at the target volume from beside it; where there is none yet, at the place where it will be.
std::optional<Outcome> look_at_volume(Run& run, Frame& frame, const HostHandle& target, ProbeSeen& seen,
                                      std::string& marks_of) {
  const std::string& name = frame.item().to.volume;
  auto volume = target.engine->inspect_volume(name, run.limits);
  if (!volume && volume.error().kind != ErrorKind::NotFound) return from_error(volume.error(), target, false);
  MoverAnswer answer;
  const bool measures = frame.remembers(kMeasure);
  const mover::Inspect job{.parent = std::string(kParent), .sizes = measures, .source = {}};
  const std::string word = measures ? kMeasure : "inspect";
  if (volume) {
    seen.volume_exists = true;
    seen.volume_driver = volume->driver;
    seen.volume_has_options = !volume->options.empty();
    if (auto outcome = run_mover(run, frame, word, name, job, answer)) return outcome;
  } else {
    auto info = target.engine->info(run.limits);
    if (!info) return from_error(info.error(), target, false);
    if (auto outcome = run_mover_at(run, frame, word, info->root_directory + "/volumes", job, answer)) return outcome;
  }
  auto data = mover::parse_inspect_data(answer.data);
  if (!data || !data->volume)
    return Retry{"WorkerFailed", "inspect on host " + target.host.metadata.name + " answered nothing", {}};
  seen.free_bytes = static_cast<std::int64_t>(data->volume->free_bytes);
  if (data->volume->allocated_bytes) seen.allocated_bytes = static_cast<std::int64_t>(*data->volume->allocated_bytes);
  if (seen.volume_exists) {
    seen.data_is_mount_point = data->volume->mount_point;
    seen.data_on_parent_device = data->volume->same_device;
  }
  marks_of = std::move(answer.data);
  return std::nullopt;
}

/// How much room the volume takes is asked only where there is none for a second copy of it: it takes a walk over it,
/// so the volume is looked at once more, and that look is waited for alone.
std::optional<Outcome> measure_if_needed(Frame& frame, const ProbeSeen& seen) {
  if (!seen.volume_exists || !why_not_exchanged(seen).empty() || has_room_for_two(seen) || frame.remembers(kMeasure))
    return std::nullopt;
  frame.remember_done(kMeasure);
  return Working{fmt::format("Measures volume {}.", seen.volume), Millis{0}, {}};
}

/// Old data beside the volume: what somebody who looks for room wants to know.
std::vector<std::string> kept_trees(const std::string& inspect_data) {
  std::vector<std::string> out;
  auto data = mover::parse_inspect_data(inspect_data);
  if (!data || !data->volume) return out;
  for (const auto& seen : data->volume->requests) {
    if (!seen.mark || !seen.tree_inode) continue;
    const auto mark = parse_mark(*seen.mark);
    if (mark && mark->state == MarkState::Receipt)
      out.push_back(fmt::format(
          "restore {}/{} keeps the data from before it beside this volume; without it there is more room: `{}`",
          mark->ns, mark->name,
          patch_command<crds::RestoreRequest>(mark->ns, mark->name, R"({"spec":{"keepPreviousSeconds":0}})")));
  }
  return out;
}

/// The tree of an earlier request of this name, whose object is gone.
bool has_leftover(const Run& run, const crds::RestoreItem& item, const std::string& inspect_data) {
  const auto data = mover::parse_inspect_data(inspect_data);
  const auto own = mover_target(run.request, item.name).request;
  return data && data->volume && std::ranges::any_of(data->volume->requests, [&](const mover::RequestSeen& seen) {
           return seen.request == own && seen.tree_inode;
         });
}

/// Restores of others that did not come to their end here.
std::vector<std::string> other_marks(const Run& run, const crds::RestoreItem& item, const std::string& inspect_data,
                                     const std::string& host) {
  std::vector<std::string> out;
  auto data = mover::parse_inspect_data(inspect_data);
  if (!data || !data->volume) return out;
  for (const auto& seen : data->volume->requests) {
    if (!seen.mark) continue;
    auto mark = parse_mark(*seen.mark);
    if (!mark || mark->state == MarkState::Receipt) continue;
    // One of an item that the manifest names no more is nobody's: what it stopped would stay stopped.
    const bool own =
        seen.request == mover_target(run.request, item.name).request && mark->installation == run.context.installation;
    if (own) continue;
    out.push_back(
        fmt::format("restore {}/{} (installation {}) was left unfinished on volume {} of {}; apply its manifest again "
                    "so that it ends, "
                    "or, if it is of no use any more, remove .roadstead/{} beside the volume's data",
                    mark->ns, mark->name, mark->installation, mark->volume, host, seen.request));
  }
  return out;
}

std::string wal_advice(const std::string& server, const std::string& backup, const WalGap& gap) {
  return fmt::format(
      "points up to the segment before {} can be restored, e.g. `point: {{backupID: {}}}`; for later points make a new "
      "base backup "
      "(`roadstead backup POLICY` with the BackupPolicy of BarmanServer {})",
      gap.first, backup, server);
}

/// From the backup's first segment to the newest there is (latest), or to the backup's last.
std::optional<Outcome> look_at_wal(Barman& barman, const HostHandle& source, const crds::RestorePoint& point,
                                   const crds::CatalogBackup& backup, ProbeSeen& seen) {
  const std::uint64_t segment_bytes = segment_bytes_of(backup);
  const std::string farthest = point.backup_id ? backup.end_wal : end_of_timeline(backup.begin_wal);
  auto listing = barman.wal_segments(backup.begin_wal, farthest, segment_bytes);
  if (!listing) return from_error(listing.error(), source, true);
  const std::string last = point.backup_id ? backup.end_wal : newest_of(*listing, backup.end_wal);
  auto gaps = find_gaps(backup.begin_wal, last, *listing, segment_bytes);
  if (!gaps) {
    seen.wal_gaps.push_back(gaps.error().message);
    seen.wal_advice = "make a new base backup";
    return std::nullopt;
  }
  for (const auto& gap : *gaps) seen.wal_gaps.push_back(describe(gap));
  if (!gaps->empty()) seen.wal_advice = wal_advice(barman.server(), backup.id, gaps->front());
  return std::nullopt;
}

std::optional<Outcome> look_at_backup(Run& run, const crds::RestoreItem& item, ItemSource& source, ProbeSeen& seen) {
  Barman barman = source.access.barman(run.limits);
  auto list = barman.list_backups();
  if (!list) {
    const auto kind = list.error().kind;
    if (kind == ErrorKind::NotFound || kind == ErrorKind::Conflict)
      return Blocked{
          "BarmanNotRunning",
          fmt::format("BarmanServer {} does not run: {}; look at its conditions (`roadstead describe barmanserver {}`)",
                      source.access.setup.server, list.error().message, source.access.setup.server),
          kHostRetry};
    return from_error(list.error(), source.access.host, true);
  }
  std::vector<crds::CatalogBackup> catalogue;
  for (auto& one : *list) catalogue.push_back(std::move(one.backup));
  auto chosen = choose_backup(item.from.barman->point, source.access.setup.server, catalogue);
  seen.backup_problem = chosen.problem;
  if (!chosen.backup) return std::nullopt;
  auto details = barman.show_backup(chosen.backup->id);
  if (!details) return from_error(details.error(), source.access.host, true);
  if (!details->tablespaces.empty()) {
    seen.backup_problem = fmt::format("the database has tablespaces ({}), which cannot be restored into one volume",
                                      details->tablespaces);
    return std::nullopt;
  }
  seen.backup_id = chosen.backup->id;
  const std::int64_t size = std::max(details->cluster_size_bytes.value_or(details->backup.size_bytes.value_or(0)),
                                     source.server.status.database_size_bytes.value_or(0));
  seen.needed_bytes = space_for(size);
  return look_at_wal(barman, source.access.host, item.from.barman->point, details->backup, seen);
}

/// Which snapshot it would be now, and whose repository holds it.
std::optional<Outcome> look_at_snapshot(Run& run, Frame& frame, ProbeSeen& seen, const HostHandle*& source) {
  SnapshotLook look = look_for_snapshot(run, frame);
  if (auto* outcome = std::get_if<Outcome>(&look)) return std::move(*outcome);
  auto& chosen = std::get<ChosenSnapshot>(look);
  if (!chosen.found) {
    seen.backup_problem = chosen.problem;
    return std::nullopt;
  }
  auto keeper = run.keeper(chosen.found->place.host);
  if (!keeper) return from_lookup(keeper.error());
  source = *keeper;
  seen.source = source->host;
  seen.backup_id = chosen.found->seen.id;
  seen.needed_bytes = static_cast<std::int64_t>(chosen.found->seen.data_bytes);
  seen.snapshot = std::move(chosen.found);
  return std::nullopt;
}

std::optional<Outcome> look_at_source(Run& run, Frame& frame, ProbeSeen& seen, const HostHandle*& host) {
  const crds::RestoreItem& item = frame.item();
  if (!item.from.barman) return look_at_snapshot(run, frame, seen, host);
  auto source = run.source_of(item);
  if (!source) return from_lookup(source.error());
  host = &(*source)->access.host;
  seen.source = host->host;
  return look_at_backup(run, item, **source, seen);
}

/// As long as the last good restore from the same server took, by bytes; nothing where there was none.
std::optional<std::int64_t> estimate(const Run& run, const std::vector<crds::RestoreRequest>& all, std::int64_t bytes) {
  std::optional<Time> newest;
  std::optional<std::int64_t> seconds;
  for (const auto& other : all) {
    const auto& status = other.status;
    if (other.spec.dry_run || !crds::is_true(status.conditions, "Complete") || !status.plan ||
        status.plan->bytes_to_move.value_or(0) <= 0)
      continue;
    if (!status.started_at || !status.finished_at ||
        claims_of(other).barman_servers != claims_of(run.request).barman_servers)
      continue;
    if (newest && *status.finished_at < *newest) continue;
    newest = status.finished_at;
    const auto took = std::chrono::duration<double>(*status.finished_at - *status.started_at).count();
    seconds =
        static_cast<std::int64_t>(took * static_cast<double>(bytes) / static_cast<double>(*status.plan->bytes_to_move));
  }
  return seconds;
}

/// Several items make one plan.
void merge_plan(crds::RestorePlan& whole, crds::RestorePlan part) {
  const auto add = [](std::optional<std::int64_t>& sum, const std::optional<std::int64_t>& one) {
    if (one) sum = sum.value_or(0) + *one;
  };
  for (auto& step : part.steps)
    if (std::ranges::find(whole.steps, step.name, &crds::PlannedStep::name) == whole.steps.end())
      whole.steps.push_back(std::move(step));
  add(whole.bytes_to_move, part.bytes_to_move);
  add(whole.space_needed_bytes, part.space_needed_bytes);
  whole.space_free_bytes = part.space_free_bytes;
  whole.stops = std::move(part.stops);
  // The one that stops applications for longer is what is shown.
  if (part.strategy != whole.strategy) {
    if (part.strategy == crds::RestoreStrategy::InPlace) whole.strategy_reason = std::move(part.strategy_reason);
    whole.strategy = crds::RestoreStrategy::InPlace;
  }
  for (auto lists : {&crds::RestorePlan::wal_gaps, &crds::RestorePlan::warnings, &crds::RestorePlan::refusals})
    for (auto& line : part.*lists) (whole.*lists).push_back(std::move(line));
}

}  // namespace

Outcome probe(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  auto all = list<crds::RestoreRequest>(run.context.api);
  if (!all) return Blocked{"ApiUnavailable", all.error().message, kHostRetry};
  if (const auto* other = first_before(run.request, *all); other && !run.request.spec.dry_run)
    return Blocked{
        "WaitsForAnother",
        fmt::format(
            "restore {}/{} comes first: it needs the same volume or the same recover volume; this one goes on when "
            "that one has ended; {}",
            other->metadata.ns, other->metadata.name, see_or_cancel(other->metadata.ns, other->metadata.name)),
        kOtherRetry};
  auto target = run.target();
  if (!target) return from_lookup(target.error());

  ProbeSeen seen;
  seen.target = seen.source = target->host;
  seen.volume = item.to.volume;
  const HostHandle* source = nullptr;
  if (auto outcome = look_at_source(run, frame, seen, source)) return *outcome;
  if (source != nullptr)
    if (auto outcome = prove_path(run, frame, *source, *target)) return *outcome;
  std::string inspected;
  if (auto outcome = look_at_volume(run, frame, *target, seen, inspected)) return *outcome;
  if (auto outcome = measure_if_needed(frame, seen)) return *outcome;
  seen.kept = kept_trees(inspected);
  seen.other_marks = other_marks(run, item, inspected, target->host.metadata.name);
  auto applications = find_applications(run, *target);
  if (!applications) return from_error(applications.error(), *target, false);
  seen.applications = std::move(*applications);

  Judged judged = judge(run.request, item, seen);
  auto& [plan, refusals] = judged;
  plan.estimated_seconds = estimate(run, *all, plan.bytes_to_move.value_or(0));
  const auto strategy = plan.strategy.value_or(crds::RestoreStrategy::Staged);
  const bool first = item.name == run.request.spec.items.front().name;
  if (first || !run.request.status.plan)
    run.request.status.plan = std::move(plan);
  else
    merge_plan(*run.request.status.plan, std::move(plan));
  if (refusals.empty()) {
    const auto word = crds::EnumNames<crds::RestoreStrategy>::names[static_cast<std::size_t>(strategy)];
    const nlohmann::json result{{"strategy", word}, {"leftover", has_leftover(run, item, inspected)}};
    return Done{result.dump(), fmt::format("Nothing stands against restoring {}.", item.name)};
  }
  next_attempt(frame);  // looked at anew next time
  forget_snapshot_look(frame);
  nlohmann::json memory = frame.memory();
  memory.erase(kMeasure);
  frame.remember(memory);
  std::string message = refusals.front().message;
  for (std::size_t i = 1; i < refusals.size(); ++i) message += "; also: " + refusals[i].message;
  return Blocked{refusals.front().reason, message, kBlockedRetry};
}

}  // namespace roadstead::reconcilers::restore
