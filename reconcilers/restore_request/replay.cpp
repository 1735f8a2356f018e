// replay: the database's own image replays WAL onto the recover volume up to the point, and shuts down there.

#include "reconcilers/restore_request/replay.h"

#include <nlohmann/json.hpp>

#include "reconcilers/restore_request/scripts.h"
#include "reconcilers/restore_request/steps.h"

namespace roadstead::reconcilers::restore {
namespace {

using Json = nlohmann::json;

std::string_view word_of(crds::TargetKind kind) {
  return crds::EnumNames<crds::TargetKind>::names[static_cast<std::size_t>(kind)];
}

Result<WorkerSpec> worker_spec(Run& run, const ItemSource& source, const crds::PinnedSource& pinned,
                               const BackupDetails* details) {
  const crds::PostgresRuntime& postgres = source.server.spec.postgres;
  const HostHandle& host = source.access.host;
  if (auto image = run.context.images.ensure(host, postgres.image, run.limits); !image)
    return tl::unexpected(image.error());
  auto data = host.engine->inspect_volume(source.server.spec.volumes.data, run.limits);
  if (!data) return tl::unexpected(data.error());
  WorkerSpec spec;
  spec.container.image = postgres.image;
  spec.container.entrypoint = {"/bin/sh"};
  spec.container.command = {"/roadstead/replay.sh"};
  for (const auto& [name, value] : postgres.parameters) {
    spec.container.command.emplace_back("-c");
    spec.container.command.push_back(fmt::format("{}={}", name, value));
  }
  spec.container.user = postgres.user;
  spec.container.network_mode = "none";
  // A clean shutdown flushes what the buffers hold.
  spec.container.stop_timeout = std::chrono::minutes(10);
  // Of barman's volume only this server's part: the passwords lie beside it.
  spec.container.mounts = {
      {MountSpec::Type::Volume, source.server.spec.volumes.recover, postgres.data_directory, false},
      {MountSpec::Type::Bind, data->mountpoint + "/" + source.access.setup.server, "/barman", true}};
  const std::string target_lsn =
      !pinned.target_lsn.empty()
          ? pinned.target_lsn
          : (details && pinned.target == crds::TargetKind::Immediate ? details->backup.end_lsn : "");
  spec.container.environment = {"RS_DATA=" + postgres.data_directory,
                                "RS_CONFIG=" + postgres.config_file.value_or(""),
                                fmt::format("RS_TARGET={}", word_of(pinned.target)),
                                "RS_NAME=" + pinned.target_name,
                                "RS_LSN=" + target_lsn,
                                "RS_BEGIN=" + (details ? details->backup.begin_lsn : std::string())};
  spec.files = {script_file("replay.sh"), script_file("walrestore.sh")};
  return spec;
}

}  // namespace

Outcome judge_replay(const crds::PinnedSource& pinned, const std::string& data) {
  const Json facts = Json::parse(data, nullptr, false);
  const auto text = [&](const char* name) {
    return facts.is_object() ? facts.value(name, std::string()) : std::string();
  };
  const std::string state = text("state"), reached = text("minRecoveryLSN");
  constexpr std::string_view kNext = "apply a new request: it begins with an emptied recover volume";
  if (state != "shut down in recovery")
    return Failed{"ReplayIncomplete", fmt::format("the replayed database is \"{}\", not shut down in recovery", state),
                  std::string(kNext)};
  const auto lsn = parse_lsn(reached);
  if (!lsn)
    return Failed{"ReplayIncomplete", fmt::format("the replayed database names no position (\"{}\")", reached),
                  std::string(kNext)};
  if (pinned.target == crds::TargetKind::Name) {
    const auto wanted = parse_lsn(pinned.target_lsn);
    if (!wanted || *lsn < *wanted)
      return Failed{"ReplayIncomplete",
                    fmt::format("replay ended at {}, before the point at {}", reached, pinned.target_lsn),
                    std::string(kNext)};
  }
  if (text("backupStartLSN") != "0/0")
    return Failed{"ReplayIncomplete", fmt::format("replay ended at {}, before the end of the base backup", reached),
                  std::string(kNext)};
  return Done{data, fmt::format("Replayed to {}.", reached)};
}

std::optional<mover::KeepWal> wal_to_keep(const std::string& data) {
  const Json facts = Json::parse(data, nullptr, false);
  if (!facts.is_object()) return std::nullopt;
  const auto bytes = facts.value("walSegmentBytes", std::uint64_t{0});
  const auto timeline = facts.value("minRecoveryTimeline", std::uint32_t{0});
  const auto lsn = parse_lsn(facts.value("minRecoveryLSN", std::string()));
  const std::string first = facts.value("redoWalFile", std::string());
  if (!lsn || bytes == 0 || timeline == 0 || !parse_segment(first, bytes)) return std::nullopt;
  return mover::KeepWal{"pg_wal", first, segment_name(segment_of(timeline, *lsn, bytes), bytes)};
}

Outcome replay(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  const auto* pinned = pinned_of(run.request.status, item.name);
  if (pinned == nullptr) return Failed{"Internal", "item " + item.name + " is not pinned", "apply a new request"};
  auto source = run.source_of(item);
  if (!source) return from_lookup(source.error());

  WorkerJob job;
  job.host = &(*source)->access.host;
  job.is_source = true;
  job.step = "replay";
  job.make = [&](int) {
    // Only for the percent: without it there is none.
    auto details = (*source)->access.barman(run.limits).show_backup(pinned->backup_id);
    return worker_spec(run, **source, *pinned, details ? &*details : nullptr);
  };
  auto end = run_worker(run, frame, job);
  if (auto* outcome = std::get_if<Outcome>(&end)) return std::move(*outcome);
  const auto& seen = std::get<WorkerSeen>(end);
  if (!seen.result || !seen.result->ok) return from_failure(run, frame, seen, job);
  remove_after_write(run, frame, job, seen.attempt);

  Outcome judged = judge_replay(*pinned, seen.result->data);
  if (std::holds_alternative<Done>(judged) && pinned->target_lsn.empty()) {
    const Json facts = Json::parse(seen.result->data);
    for (auto& one : run.request.status.pinned) {
      if (one.item != item.name) continue;
      one.target_lsn = facts.value("minRecoveryLSN", std::string());
      if (one.target == crds::TargetKind::EndOfWal && facts.contains("lastReceivedAt") &&
          facts["lastReceivedAt"].is_number_integer())
        one.data_as_of = Time(std::chrono::seconds(facts["lastReceivedAt"].get<std::int64_t>()));
    }
  }
  return judged;
}

}  // namespace roadstead::reconcilers::restore
