// copy: from the recover volume to a staged tree beside the target volume, while the applications there still run.

#include "reconcilers/restore_request/pair.h"
#include "reconcilers/restore_request/replay.h"
#include "reconcilers/restore_request/steps.h"

namespace roadstead::reconcilers::restore {
namespace {

constexpr std::string_view kSource = "/source";

/// What belongs to the recover volume and not to the database.
mover::Source source_tree(const crds::RestoreRequestStatus& status, const std::string& item) {
  mover::Source source;
  source.path = kSource;
  source.exclude = {"/standby.signal",
                    "/recovery.signal",
                    "/postmaster.pid",
                    "/postmaster.opts",
                    "/.barman-recover.info",
                    "/backup_manifest*",
                    "/postgresql.conf.origin",
                    "/postgresql.auto.conf.origin",
                    "/barman_wal"};
  if (const auto* replayed = succeeded(status, name_of({item, step::kReplay})))
    source.keep_wal = wal_to_keep(replayed->result);
  return source;
}

void mount_recover_volume(ContainerSpec& container, const ItemSource& source) {
  container.mounts.push_back({MountSpec::Type::Volume, source.server.spec.volumes.recover, std::string(kSource), true});
}

Result<WorkerSpec> sender(Run& run, const crds::RestoreItem& item, const ItemSource& source, const mover::Link& link) {
  mover::Copy copy;
  copy.role = mover::Role::Send;
  copy.link = link;
  copy.source = source_tree(run.request.status, item.name);
  auto spec = mover_spec(run, source.access.host, copy);
  if (spec) mount_recover_volume(spec->container, source);
  return spec;
}

Result<WorkerSpec> receiver(Run& run, const crds::RestoreItem& item, const HostHandle& target,
                            const std::optional<mover::Link>& link) {
  auto volume = target.engine->inspect_volume(item.to.volume, run.limits);
  if (!volume) return tl::unexpected(volume.error());
  mover::Copy copy;
  copy.role = link ? mover::Role::Receive : mover::Role::Both;
  copy.link = link;
  copy.target = mover_target(run.request, item.name);
  if (!link) copy.source = source_tree(run.request.status, item.name);
  auto spec = mover_spec(run, target, copy);
  if (spec) mount_parent(spec->container, parent_of(volume->mountpoint), copy);
  return spec;
}

Outcome judge_receiver(Run& run, Frame& frame, const mover::WorkerResult& result, const std::string& from,
                       const std::string& to) {
  auto data = mover::parse_copy_data(result.data);
  if (!data || data->tree_inode == 0) return Retry{"WorkerFailed", "the copy answered without the tree's inode", {}};
  run.context.metrics.counter(metric::kBytesMoved, {from, to}).add(static_cast<double>(data->bytes_sent));
  for (auto& mark : run.request.status.marks)
    if (mark.item == frame.ref().item) mark.new_inode = static_cast<std::int64_t>(data->tree_inode);
  return Done{result.data, fmt::format("Copied beside the volume: {} of {} bytes had to be sent.", data->bytes_sent,
                                       data->bytes_total)};
}

/// A lost connection that carried something is no failure of ours: the next attempt goes on behind what is verified.
bool moved_something(const PairEnd& end) {
  const auto& result = end.receiver.result;
  if (!result || result->reason != "ConnectionLost") return false;
  const auto data = mover::parse_copy_data(result->data);
  return data && data->bytes_sent > 0;
}

Outcome copy_between(Run& run, Frame& frame, const ItemSource& source, const HostHandle& target, bool source_serves) {
  const crds::RestoreItem& item = frame.item();
  const PairJob job{
      {&source.access.host, "copy-send", [&](const mover::Link& link) { return sender(run, item, source, link); }},
      {&target, "copy-receive", [&](const mover::Link& link) { return receiver(run, item, target, link); }},
      source_serves};
  auto end = run_pair(run, frame, job);
  if (auto* outcome = std::get_if<Outcome>(&end)) return std::move(*outcome);
  const auto& pair = std::get<PairEnd>(end);
  const int attempt = static_cast<int>(frame.entry().attempt);
  remove_pair_after_write(run, frame, job, attempt);
  const auto& receiver_seen = pair.receiver;
  if (receiver_seen.result && receiver_seen.result->ok)
    return judge_receiver(run, frame, *receiver_seen.result, source.access.host.host.metadata.name,
                          target.host.metadata.name);
  if (moved_something(pair)) {
    next_attempt(frame);
    return Working{"The connection was lost; goes on behind what has arrived.", Millis{2'000}, {}};
  }
  const WorkerSeen& seen = telling(pair);
  WorkerJob side;
  side.host = &seen == &pair.sender ? &source.access.host : &target;
  side.step = &seen == &pair.sender ? "copy-send" : "copy-receive";
  return from_failure(run, frame, seen, side);
}

Outcome copy_here(Run& run, Frame& frame, const ItemSource& source, const HostHandle& target) {
  const crds::RestoreItem& item = frame.item();
  WorkerJob job;
  job.host = &target;
  job.step = "copy";
  job.make = [&](int) {
    return receiver(run, item, target, std::nullopt).map([&](WorkerSpec spec) {
      spec.container.network_mode = "none";
      mount_recover_volume(spec.container, source);
      return spec;
    });
  };
  auto end = run_worker(run, frame, job);
  if (auto* outcome = std::get_if<Outcome>(&end)) return std::move(*outcome);
  const auto& seen = std::get<WorkerSeen>(end);
  if (!seen.result || !seen.result->ok) return from_failure(run, frame, seen, job);
  remove_after_write(run, frame, job, seen.attempt);
  return judge_receiver(run, frame, *seen.result, target.host.metadata.name, target.host.metadata.name);
}

}  // namespace

Outcome copy(Run& run, Frame& frame) {
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  auto source = run.source_of(frame.item());
  if (!source) return from_lookup(source.error());
  const auto& from = (*source)->access.host.host.metadata.name;
  (void)run.context.metrics.counter(metric::kBytesMoved, {from, target->host.metadata.name});
  switch (serving_side((*source)->access.host.host, target->host)) {
    case Serving::Local:
      return copy_here(run, frame, **source, *target);
    case Serving::Source:
      return copy_between(run, frame, **source, *target, true);
    case Serving::Target:
      return copy_between(run, frame, **source, *target, false);
    case Serving::Nobody:
      break;
  }
  return Blocked{"NoDataPath", "neither host has spec.data.ports any more; set it on one that the other can reach",
                 kBlockedRetry};
}

}  // namespace roadstead::reconcilers::restore
