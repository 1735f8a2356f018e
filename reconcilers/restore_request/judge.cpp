#include "reconcilers/restore_request/judge.h"

#include <algorithm>

#include "operator/base/quantity.h"
#include "operator/base/rfc3339.h"
#include "reconcilers/restore_request/record.h"
#include "reconcilers/support/pair.h"

namespace roadstead::reconcilers::restore {

std::int64_t space_for(std::int64_t database_bytes) {
  constexpr std::int64_t kTwoSegments = 32 << 20;
  return database_bytes + database_bytes / 20 + kTwoSegments;
}

namespace {

bool is_confirmed(const crds::RestoreRequest& request) {
  const auto& confirm = request.spec.confirm;
  return confirm && confirm->host == request.spec.target.host_ref.name &&
         std::ranges::all_of(request.spec.items, [&](const auto& item) {
           return std::ranges::find(confirm->volumes, item.to.volume) != confirm->volumes.end();
         });
}

std::string confirmation_wanted(const crds::RestoreRequest& request) {
  std::vector<std::string> volumes;
  for (const auto& item : request.spec.items) volumes.push_back(item.to.volume);
  return fmt::format("confirm: {{host: {}, volumes: [{}]}}", request.spec.target.host_ref.name,
                     fmt::join(volumes, ", "));
}

std::string bytes(std::int64_t count) { return human_bytes(static_cast<std::uint64_t>(count)); }

struct StrategyChoice {
  crds::RestoreStrategy strategy = crds::RestoreStrategy::Staged;
  std::string reason;
};

StrategyChoice choose_strategy(const crds::RestoreRequest& request, const ProbeSeen& seen) {
  using crds::RestoreStrategy;
  const std::string unfit = why_not_exchanged(seen);
  if (request.spec.strategy == RestoreStrategy::InPlace) return {RestoreStrategy::InPlace, "spec.strategy asks for it"};
  if (request.spec.applications.stop.mode == crds::StopMode::None)
    return {RestoreStrategy::InPlace, "nothing is stopped (applications.stop.mode None)"};
  if (request.spec.strategy == RestoreStrategy::Auto && !unfit.empty()) return {RestoreStrategy::InPlace, unfit};
  if (request.spec.strategy == RestoreStrategy::Auto && seen.volume_exists && !has_room_for_two(seen))
    return {RestoreStrategy::InPlace,
            fmt::format("there is no room for a second copy beside volume {}: it needs {}, {} are free", seen.volume,
                        bytes(seen.needed_bytes), bytes(seen.free_bytes))};
  return {RestoreStrategy::Staged,
          fmt::format("there is room for a second copy beside volume {}: applications stop only for the exchange",
                      seen.volume)};
}

/// What the target must have free.
std::int64_t room_needed(const ProbeSeen& seen, crds::RestoreStrategy strategy) {
  if (strategy == crds::RestoreStrategy::Staged) return seen.needed_bytes;
  // How much of another driver's space is free is nowhere to be read.
  if (!why_not_exchanged(seen).empty() || !seen.allocated_bytes) return 0;
  return std::max<std::int64_t>(seen.needed_bytes - *seen.allocated_bytes, 0);
}

void refuse_unfit_volume(const ProbeSeen& seen, crds::RestoreStrategy strategy, std::vector<Refusal>& refusals) {
  const std::string unfit = why_not_exchanged(seen);
  if (strategy == crds::RestoreStrategy::Staged && !unfit.empty())
    refusals.push_back({"VolumeUnsupported", fmt::format("{} (host {}); use strategy Auto or InPlace in a new request, "
                                                         "or restore into another volume",
                                                         unfit, seen.target.metadata.name)});
}

void refuse_room(const crds::RestoreItem& item, const ProbeSeen& seen, crds::RestoreStrategy strategy,
                 std::vector<Refusal>& refusals) {
  const std::int64_t needed = room_needed(seen, strategy);
  if (seen.backup_id.empty() || seen.free_bytes >= needed) return;
  std::string message = fmt::format(
      "{} of {} needs {} on host {}, {} are free ({} and {} bytes); make room: it is looked at again every 30 s",
      strategy == crds::RestoreStrategy::Staged ? "a staged copy" : "overwriting", item.name, bytes(needed),
      seen.target.metadata.name, bytes(seen.free_bytes), needed, seen.free_bytes);
  for (const auto& kept : seen.kept) message += "; " + kept;
  refusals.push_back({"NoRoom", std::move(message)});
}

/// In place a database is read out of the recover volume until the very end, so it cannot hold another one meanwhile.
void refuse_shared_recover_volume(const crds::RestoreRequest& request, const crds::RestoreItem& item,
                                  crds::RestoreStrategy strategy, std::vector<Refusal>& refusals) {
  if (strategy != crds::RestoreStrategy::InPlace || !item.from.barman) return;
  const auto shares = [&](const crds::RestoreItem& other) {
    return other.name != item.name && other.from.barman &&
           other.from.barman->server_ref.name == item.from.barman->server_ref.name;
  };
  if (std::ranges::any_of(request.spec.items, shares))
    refusals.push_back({"RecoverVolumeShared",
                        fmt::format("items of BarmanServer {} need its recover volume one after another, and {} is "
                                    "restored in place; give every item a request of its own",
                                    item.from.barman->server_ref.name, item.name)});
}

void warn(const ProbeSeen& seen, crds::RestoreStrategy strategy, std::vector<std::string>& warnings) {
  if (!seen.volume_exists)
    warnings.push_back(fmt::format("volume {} does not exist on {}; a local volume is created for it", seen.volume,
                                   seen.target.metadata.name));
  if (strategy == crds::RestoreStrategy::InPlace)
    warnings.push_back(
        fmt::format("volume {} is overwritten: nothing of its old data is kept, and once that has begun "
                    "it can only be completed",
                    seen.volume));
  if (!seen.snapshot) return;
  const mover::SnapshotSeen& snapshot = seen.snapshot->seen;
  if (snapshot.unreadable.count > 0)
    warnings.push_back(fmt::format("snapshot {} lacks {} files that could not be read: {}", snapshot.id,
                                   snapshot.unreadable.count, fmt::join(snapshot.unreadable.names, ", ")));
  if (snapshot.changed.count > 0)
    warnings.push_back(fmt::format("{} files changed while snapshot {} was taken: {}", snapshot.changed.count,
                                   snapshot.id, fmt::join(snapshot.changed.names, ", ")));
}

void refuse_path(const ProbeSeen& seen, std::vector<Refusal>& refusals) {
  if (serving_side(seen.source, seen.target) == Serving::Nobody)
    refusals.push_back({"NoDataPath", fmt::format("neither host {} nor host {} has spec.data.ports; set it (e.g. "
                                                  "ports: \"10022-10031\") on the one that the other can reach",
                                                  seen.source.metadata.name, seen.target.metadata.name)});
}

void refuse_applications(const std::vector<Application>& stops, const std::string& host,
                         std::vector<Refusal>& refusals) {
  for (const auto& application : stops)
    if (application.auto_remove)
      refusals.push_back({"AutoRemove", fmt::format("container {} on {} was started with --rm: it would vanish when "
                                                    "stopped; stop it or start it without --rm",
                                                    application.name, host)});
}

std::string pin_text(const crds::RestoreItem& item, const ProbeSeen& seen) {
  if (seen.snapshot)
    return fmt::format("snapshot {} of volume {} of host {}: the data of {}", seen.snapshot->seen.id,
                       seen.snapshot->place.volume, seen.snapshot->place.source_host,
                       format_rfc3339(seen.snapshot->seen.data_as_of));
  if (item.from.barman && item.from.barman->point.latest)
    return fmt::format("make a restore point now; base backup {}", seen.backup_id);
  return item.from.barman ? fmt::format("the end of base backup {}", seen.backup_id) : "the newest good snapshot";
}

void plan_steps(const crds::RestoreItem& item, const ProbeSeen& seen, const std::vector<Application>& stops,
                crds::RestoreStrategy strategy, crds::RestorePlan& plan) {
  const std::string source = seen.source.metadata.name, target = seen.target.metadata.name;
  const auto add = [&](const std::string& name, const std::string& host, std::string text) {
    plan.steps.push_back({name, host, std::move(text)});
  };
  const auto of_item = [&](std::string_view step) { return name_of({item.name, step}); };
  const bool in_place = strategy == crds::RestoreStrategy::InPlace;
  add(of_item(step::kPin), source, pin_text(item, seen));
  add(of_item(step::kMark), target, fmt::format("write down beside volume {} what is going on", seen.volume));
  if (item.from.barman) {
    add(of_item(step::kPrepare), source, fmt::format("restore base backup {} into the recover volume", seen.backup_id));
    add(of_item(step::kReplay), source, "replay WAL up to the point, then shut down");
  }
  if (in_place)
    add(of_item(step::kCompare), target, fmt::format("compare volume {} while its applications run", seen.volume));
  else
    add(of_item(step::kCopy), target, fmt::format("copy beside volume {} while its applications run", seen.volume));
  if (!in_place && item.from.barman) add(of_item(step::kFinish), target, "write the settings it recovers with");
  std::vector<std::string> names;
  names.reserve(stops.size());
  for (const auto& one : stops) names.push_back(one.name);
  add(std::string(step::kStop), target,
      names.empty() ? "nothing runs that has to be stopped" : fmt::format("stop {}", fmt::join(names, ", ")));
  if (in_place)
    add(of_item(step::kOverwrite), target, fmt::format("overwrite what differs in volume {}", seen.volume));
  else
    add(of_item(step::kExchange), target, fmt::format("exchange the data of volume {} in one step", seen.volume));
  add(std::string(step::kStart), target, "start what ran");
}

}  // namespace

std::string why_not_exchanged(const ProbeSeen& seen) {
  if (!seen.volume_exists) return {};
  if (seen.volume_driver != "local" || seen.volume_has_options)
    return fmt::format("volume {} has driver {}{}, and only the data of local volumes without options can be exchanged",
                       seen.volume, seen.volume_driver, seen.volume_has_options ? " with options" : "");
  if (seen.data_is_mount_point || !seen.data_on_parent_device)
    return fmt::format("the data directory of volume {} is a mount point of its own, which cannot be exchanged",
                       seen.volume);
  return {};
}

bool has_room_for_two(const ProbeSeen& seen) { return seen.free_bytes >= seen.needed_bytes; }

Judged judge(const crds::RestoreRequest& request, const crds::RestoreItem& item, const ProbeSeen& seen) {
  Judged judged;
  auto& [plan, refusals] = judged;
  const auto stops = to_stop(request, seen.applications);
  if (seen.target.spec.is_protected && !is_confirmed(request))
    refusals.push_back({"ConfirmationRequired", fmt::format("host {} is protected; to overwrite it add to spec: `{}`",
                                                            seen.target.metadata.name, confirmation_wanted(request))});
  if (seen.backup_id.empty()) refusals.push_back({"NoBackup", seen.backup_problem});
  if (!seen.wal_gaps.empty()) {
    refusals.push_back({"WalGap", fmt::format("WAL is missing between base backup {} and the point: {}; {}",
                                              seen.backup_id, fmt::join(seen.wal_gaps, ", "), seen.wal_advice)});
  }
  refuse_path(seen, refusals);
  const StrategyChoice choice = choose_strategy(request, seen);
  refuse_unfit_volume(seen, choice.strategy, refusals);
  refuse_shared_recover_volume(request, item, choice.strategy, refusals);
  refuse_applications(stops, seen.target.metadata.name, refusals);
  for (const auto& mark : seen.other_marks) refusals.push_back({"UnfinishedRestore", mark});
  refuse_room(item, seen, choice.strategy, refusals);

  plan_steps(item, seen, stops, choice.strategy, plan);
  plan.bytes_to_move = seen.needed_bytes;
  plan.space_needed_bytes = room_needed(seen, choice.strategy);
  plan.space_free_bytes = seen.free_bytes;
  for (const auto& application : stops) plan.stops.push_back(application.name);
  plan.strategy = choice.strategy;
  plan.strategy_reason = choice.reason;
  plan.wal_gaps = seen.wal_gaps;
  warn(seen, choice.strategy, plan.warnings);
  for (const auto& refusal : refusals) plan.refusals.push_back(refusal.reason + ": " + refusal.message);
  return judged;
}

}  // namespace roadstead::reconcilers::restore
