// copy: to a staged tree beside the target volume, while the applications there still run. Below it what every copy has
// in common, to wherever it goes: out of the recover volume or a snapshot, by two movers or by one.

#include "reconcilers/restore_request/copy.h"

#include "reconcilers/restore_request/pair.h"
#include "reconcilers/restore_request/replay.h"
#include "reconcilers/restore_request/steps.h"
#include "reconcilers/support/mover_worker.h"

namespace roadstead::reconcilers::restore {
namespace {

constexpr std::string_view kSource = "/source";

/// Where an item's bytes are read.
struct Origin {
  const HostHandle* host = nullptr;
  mover::Source source;
  std::function<Result<MountSpec>()> mount;  ///< Asked where a worker has to be made.
};

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
  if (const auto* replayed = succeeded(status.steps, name_of({item, step::kReplay})))
    source.keep_wal = wal_to_keep(replayed->result);
  return source;
}

std::variant<Origin, Outcome> recover_volume(Run& run, const crds::RestoreItem& item) {
  auto source = run.source_of(item);
  if (!source) return from_lookup(source.error());
  Origin origin{&(*source)->access.host, source_tree(run.request.status, item.name), {}};
  origin.mount = [volume = (*source)->server.spec.volumes.recover]() -> Result<MountSpec> {
    return MountSpec{MountSpec::Type::Volume, volume, std::string(kSource), true};
  };
  return origin;
}

/// Of the repository the sender sees the one directory.
std::variant<Origin, Outcome> snapshot_of(Run& run, const crds::RestoreItem& item) {
  const auto* pinned = pinned_of(run.request.status, item.name);
  if (pinned == nullptr || !pinned->snapshot)
    return Failed{"Internal", "item " + item.name + " is not pinned", "apply a new request"};
  auto host = run.keeper(pinned->snapshot->host);
  if (!host) return from_lookup(host.error());
  Origin origin{*host, {}, {}};
  origin.source.path = kRepositoryMount;
  origin.source.snapshot = pinned->snapshot->id;
  const RepositoryPlace place{*host, pinned->snapshot->source_host, pinned->snapshot->volume};
  origin.mount = [&run, place] {
    return repository_path(place, run.limits).map([](const std::string& path) { return repository_mount(path, true); });
  };
  return origin;
}

class Copying {
 public:
  Copying(Run& run, Frame& frame, const Origin& origin, const HostHandle& target, const Sink& sink)
      : run_(run), frame_(frame), origin_(origin), target_(target), sink_(sink), step_(frame.ref().step) {}

  std::variant<mover::CopyData, Outcome> between(bool source_serves) {
    const PairJob job{{origin_.host, step_ + "-send", [&](const mover::Link& link) { return sender(link); }},
                      {&target_, step_ + "-receive", [&](const mover::Link& link) { return receiver(link); }},
                      source_serves};
    auto end = run_pair(run_, frame_, job);
    if (auto* outcome = std::get_if<Outcome>(&end)) return std::move(*outcome);
    const auto& pair = std::get<PairEnd>(end);
    remove_pair_after_write(run_, frame_, job, static_cast<int>(frame_.entry().attempt));
    if (pair.receiver.result && pair.receiver.result->ok) return judge(*pair.receiver.result);
    if (moved_something(pair)) {
      next_attempt(frame_);
      return Working{"The connection was lost; goes on behind what has arrived.", Millis{2'000}, {}};
    }
    const WorkerSeen& seen = telling(pair);
    WorkerJob side;
    side.host = &seen == &pair.sender ? origin_.host : &target_;
    side.step = step_ + (&seen == &pair.sender ? "-send" : "-receive");
    return from_failure(run_, frame_, seen, side);
  }

  std::variant<mover::CopyData, Outcome> here() {
    WorkerJob job;
    job.host = &target_;
    job.step = step_;
    job.make = [&](int) { return receiver(std::nullopt); };
    auto end = run_worker(run_, frame_, job);
    if (auto* outcome = std::get_if<Outcome>(&end)) return std::move(*outcome);
    const auto& seen = std::get<WorkerSeen>(end);
    if (!seen.result || !seen.result->ok) return from_failure(run_, frame_, seen, job);
    remove_after_write(run_, frame_, job, seen.attempt);
    return judge(*seen.result);
  }

 private:
  Result<WorkerSpec> sender(const mover::Link& link) {
    mover::Copy copy;
    copy.role = mover::Role::Send;
    copy.link = link;
    copy.source = origin_.source;
    auto spec = mover_spec(run_.context, *origin_.host, copy, run_.limits);
    if (!spec) return spec;
    return with_source(std::move(*spec));
  }

  Result<WorkerSpec> receiver(const std::optional<mover::Link>& link) {
    mover::Copy copy;
    copy.role = link ? mover::Role::Receive : mover::Role::Both;
    copy.link = link;
    if (const auto* staged = std::get_if<mover::Target>(&sink_)) copy.target = *staged;
    if (const auto* in_place = std::get_if<mover::InPlace>(&sink_)) copy.in_place = *in_place;
    if (!link) copy.source = origin_.source;
    auto spec = mover_spec(run_.context, target_, copy, run_.limits);
    if (!spec) return spec;
    // A tree may hold devices, and programs with capabilities of their own.
    for (const char* needed : {"MKNOD", "SETFCAP"}) spec->container.capabilities_add.emplace_back(needed);
    if (auto mounted = mount_volume(run_, target_, frame_.item().to.volume, copy, spec->container); !mounted)
      return tl::unexpected(mounted.error());
    if (link) return spec;
    spec->container.network_mode = "none";
    return with_source(std::move(*spec));
  }

  Result<WorkerSpec> with_source(WorkerSpec spec) {
    auto mount = origin_.mount();
    if (!mount) return tl::unexpected(mount.error());
    spec.container.mounts.push_back(std::move(*mount));
    return spec;
  }

  std::variant<mover::CopyData, Outcome> judge(const mover::WorkerResult& result) {
    auto data = mover::parse_copy_data(result.data);
    if (!data) return Retry{"WorkerFailed", "the copy answered nothing that can be read", {}};
    run_.context.metrics.counter(metric::kBytesMoved, {origin_.host->host.metadata.name, target_.host.metadata.name})
        .add(static_cast<double>(data->bytes_sent));
    return std::move(*data);
  }

  /// A lost connection that carried something is no failure of ours: the next attempt goes on behind what is verified.
  static bool moved_something(const PairEnd& end) {
    const auto& result = end.receiver.result;
    if (!result || result->reason != "ConnectionLost") return false;
    const auto data = mover::parse_copy_data(result->data);
    return data && data->bytes_sent > 0;
  }

  Run& run_;
  Frame& frame_;
  const Origin& origin_;
  const HostHandle& target_;
  const Sink& sink_;
  const std::string step_;
};

}  // namespace

std::variant<mover::CopyData, Outcome> copy_to(Run& run, Frame& frame, const Sink& sink) {
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  const crds::RestoreItem& item = frame.item();
  auto found = item.from.barman ? recover_volume(run, item) : snapshot_of(run, item);
  if (auto* outcome = std::get_if<Outcome>(&found)) return std::move(*outcome);
  const Origin& origin = std::get<Origin>(found);
  const auto& from = origin.host->host.metadata.name;
  (void)run.context.metrics.counter(metric::kBytesMoved, {from, target->host.metadata.name});
  Copying copying(run, frame, origin, *target, sink);
  switch (serving_side(origin.host->host, target->host)) {
    case Serving::Local:
      return copying.here();
    case Serving::Source:
      return copying.between(true);
    case Serving::Target:
      return copying.between(false);
    case Serving::Nobody:
      break;
  }
  return Blocked{"NoDataPath", "neither host has spec.data.ports any more; set it on one that the other can reach",
                 kBlockedRetry};
}

Outcome copy(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  auto end = copy_to(run, frame, mover_target(run.request, item.name));
  if (auto* outcome = std::get_if<Outcome>(&end)) return std::move(*outcome);
  const auto& data = std::get<mover::CopyData>(end);
  if (data.tree_inode == 0) return Retry{"WorkerFailed", "the copy answered without the tree's inode", {}};
  for (auto& mark : run.request.status.marks)
    if (mark.item == item.name) mark.new_inode = static_cast<std::int64_t>(data.tree_inode);
  return Done{mover::to_json(data), fmt::format("Copied beside the volume: {} of {} bytes had to be sent.",
                                                data.bytes_sent, data.bytes_total)};
}

}  // namespace roadstead::reconcilers::restore
