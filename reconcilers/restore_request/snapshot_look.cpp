#include "reconcilers/restore_request/snapshot_look.h"

#include <algorithm>

#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::restore {
namespace {

using Json = nlohmann::json;

constexpr const char* kChosen = "snapshot";  // In a step's memory.
constexpr Millis kBusyRetry{5'000};

Json to_json(const SnapshotFound& found) {
  mover::SnapshotsData data;
  data.snapshots = {found.seen};
  return {{"host", found.place.host},
          {"sourceHost", found.place.source_host},
          {"volume", found.place.volume},
          {"data", mover::to_json(data)}};
}

std::optional<SnapshotFound> remembered(Frame& frame) {
  const Json memory = frame.memory();
  const auto chosen = memory.find(kChosen);
  if (chosen == memory.end()) return std::nullopt;
  const auto data = mover::parse_snapshots_data(chosen->value("data", ""));
  if (!data || data->snapshots.size() != 1) return std::nullopt;
  return SnapshotFound{{chosen->value("host", ""), chosen->value("sourceHost", ""), chosen->value("volume", "")},
                       data->snapshots.front()};
}

Result<WantedSnapshot> wanted_by(Run& run, const crds::RestoreItem& item) {
  auto policies = list<crds::BackupPolicy>(run.context.api, run.request.metadata.ns);
  if (!policies) return tl::unexpected(policies.error());
  auto backups = list<crds::Backup>(run.context.api, run.request.metadata.ns);
  if (!backups) return tl::unexpected(backups.error());
  return wanted_snapshot(run.request, item, *policies, *backups);
}

/// What one place holds. A sweep that is at work there is waited for.
std::variant<std::vector<SnapshotFound>, Outcome> list_place(Run& run, Frame& frame, const std::string& step,
                                                             const SnapshotPlace& at) {
  auto host = run.keeper(at.host);
  if (!host) return from_lookup(host.error());
  const RepositoryPlace place{*host, at.source_host, at.volume};
  auto end = run_repository(run, frame, step, place, list_snapshots());
  if (auto* outcome = std::get_if<Outcome>(&end)) return std::move(*outcome);
  std::vector<SnapshotFound> found;
  if (std::holds_alternative<NothingKept>(end)) return found;
  const auto& result = std::get<mover::WorkerResult>(end);
  if (!result.ok) {
    next_attempt(frame);
    const std::string message = fmt::format("host {} cannot list the snapshots of volume {}: {}", at.host, at.volume,
                                            sentence(result.message, result.next));
    if (result.reason == "Busy") return Working{message, kBusyRetry, {}};
    return Blocked{result.reason, message, kBlockedRetry};
  }
  auto data = mover::parse_snapshots_data(result.data);
  if (!data) return Retry{"WorkerFailed", fmt::format("host {} listed no snapshots", at.host), {}};
  for (auto& seen : data->snapshots) found.push_back({at, std::move(seen)});
  return found;
}

/// Another host may still hold it.
bool is_away(const Outcome& outcome) {
  const auto* blocked = std::get_if<Blocked>(&outcome);
  return std::holds_alternative<Unreachable>(outcome) || (blocked != nullptr && blocked->reason == "ReferenceNotFound");
}

std::string step_of(std::size_t place) { return fmt::format("snapshots-{}", place); }

/// What was listed has been read; until then every place's worker keeps its answer.
void remove_workers(Run& run, const Frame& frame, const std::vector<SnapshotPlace>& places, int attempt) {
  for (std::size_t i = 0; i < places.size(); ++i) {
    auto host = run.keeper(places[i].host);
    if (!host) continue;
    WorkerJob job;
    job.host = *host;
    job.step = step_of(i);
    remove_after_write(run, frame, job, attempt);
  }
}

}  // namespace

SnapshotLook look_for_snapshot(Run& run, Frame& frame) {
  if (auto found = remembered(frame)) return ChosenSnapshot{std::move(found), {}};
  auto wanted = wanted_by(run, frame.item());
  if (!wanted) return Blocked{"ApiUnavailable", wanted.error().message, kHostRetry};
  if (!wanted->problem.empty()) return ChosenSnapshot{{}, wanted->problem};

  std::vector<SnapshotFound> all, of_host;
  std::optional<Outcome> away;
  for (std::size_t i = 0; i < wanted->places.size(); ++i) {
    const SnapshotPlace& place = wanted->places[i];
    auto there = list_place(run, frame, step_of(i), place);
    if (auto* outcome = std::get_if<Outcome>(&there)) {
      if (!is_away(*outcome)) return std::move(*outcome);
      away = std::move(*outcome);
    } else {
      for (auto& one : std::get<std::vector<SnapshotFound>>(there)) of_host.push_back(std::move(one));
    }
    if (i + 1 < wanted->places.size() && wanted->places[i + 1].host == place.host) continue;
    auto chosen = choose_snapshot(*wanted, of_host, run.context.installation, run.request.metadata.ns);
    if (chosen.found) {
      Json memory = frame.memory();
      memory[kChosen] = to_json(*chosen.found);
      frame.remember(memory);
      remove_workers(run, frame, wanted->places, static_cast<int>(frame.entry().attempt));
      return chosen;
    }
    for (auto& one : of_host) all.push_back(std::move(one));
    of_host.clear();
  }
  remove_workers(run, frame, wanted->places, static_cast<int>(frame.entry().attempt));
  if (away) return std::move(*away);
  return choose_snapshot(*wanted, all, run.context.installation, run.request.metadata.ns);
}

void forget_snapshot_look(Frame& frame) {
  Json memory = frame.memory();
  memory.erase(kChosen);
  frame.remember(memory);
}

std::variant<bool, Outcome> is_there(Run& run, Frame& frame, const crds::SnapshotPin& pin) {
  auto there = list_place(run, frame, "snapshots-again", {pin.host, pin.source_host, pin.volume});
  if (auto* outcome = std::get_if<Outcome>(&there)) return std::move(*outcome);
  WorkerJob job;
  if (auto host = run.keeper(pin.host)) {
    job.host = *host;
    job.step = "snapshots-again";
    remove_after_write(run, frame, job, static_cast<int>(frame.entry().attempt));
  }
  return std::ranges::any_of(std::get<std::vector<SnapshotFound>>(there),
                             [&](const SnapshotFound& one) { return one.seen.id == pin.id; });
}

std::vector<std::string> keepers_of(Run& run, const crds::RestoreItem& item) {
  if (const auto* pinned = pinned_of(run.request.status, item.name); pinned && pinned->snapshot)
    return {pinned->snapshot->host};
  std::vector<std::string> hosts;
  if (const auto wanted = wanted_by(run, item))
    for (const auto& place : wanted->places)
      if (std::ranges::find(hosts, place.host) == hosts.end()) hosts.push_back(place.host);
  return hosts;
}

}  // namespace roadstead::reconcilers::restore
