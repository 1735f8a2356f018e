// prepare: barman restores the base backup, protected from retention now, into the recover volume on the backup host.

#include <nlohmann/json.hpp>

#include "crds/backup.h"
#include "reconcilers/restore_request/order.h"
#include "reconcilers/restore_request/scripts.h"
#include "reconcilers/restore_request/steps.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::restore {
namespace {

constexpr Millis kBusyRetry{5'000};

/// Somebody else's running container on the recover volume; the standing one only keeps it mounted.
Result<std::string> other_user_of(const Run& run, const ItemSource& source) {
  auto containers = source.access.host.engine->list_containers({}, run.limits);
  if (!containers) return tl::unexpected(containers.error());
  for (const auto& container : *containers) {
    if (container.state != ContainerState::Running || value_of(container.labels, label::kRole) == kStandingRole)
      continue;
    if (owner_of(container.labels, run.context.installation) == run.key) continue;
    // A base backup of the same server has the volume mounted too, and does not look at it.
    if (value_of(container.labels, label::kKind) == crds::Kind<crds::Backup>::kind) continue;
    for (const auto& mount : container.mounts)
      if (mount.name == source.server.spec.volumes.recover) return container.name;
  }
  return std::string();
}

Result<WorkerSpec> worker_spec(Run& run, const crds::RestoreItem& item, const ItemSource& source,
                               const crds::PinnedSource& pinned) {
  if (auto image = run.context.images.ensure(source.access.host, source.server.spec.image, run.limits); !image)
    return tl::unexpected(image.error());
  WorkerSpec spec{{},
                  barman_worker_container(source.server, source.access.setup, {"/bin/sh", "/roadstead/prepare.sh"}),
                  barman_files(source.access.setup)};
  spec.container.network_mode = "none";
  spec.container.stop_timeout = std::chrono::seconds(30);
  const std::string owner = fmt::format("{}/{}/{}/{}@{}", run.context.installation, run.request.metadata.ns,
                                        run.request.metadata.name, item.name, run.worker_hash(item.name));
  for (auto& variable : std::vector<std::string>{
           "RS_SERVER=" + source.access.setup.server, "RS_BACKUP=" + pinned.backup_id, "RS_METHOD=full",
           "RS_OWNER=" + owner, "RS_VOLUME=" + source.server.spec.volumes.recover,
           "RS_BYTES=" + (pinned.size_bytes ? std::to_string(*pinned.size_bytes) : std::string())})
    spec.container.environment.push_back(std::move(variable));
  spec.files.push_back(script_file("prepare.sh"));
  return spec;
}

/// Only now that the mark says so too: a store lost before would have left it kept for ever.
std::optional<Outcome> protect(Run& run, Frame& frame, const ItemSource& source, const crds::PinnedSource& pinned) {
  if (!pinned.keep_set || frame.remembers("kept")) return std::nullopt;
  if (auto kept = source.access.barman(run.limits).keep(pinned.backup_root_id); !kept) {
    if (kept.error().kind != ErrorKind::NotFound) return from_error(kept.error(), source.access.host, true);
    return Failed{"BackupGone",
                  fmt::format("base backup {} cannot be protected: {}", pinned.backup_id, kept.error().message),
                  "apply a new request"};
  }
  frame.remember_done("kept");
  return std::nullopt;
}

/// What ran on the recover volume in an earlier life says nothing about it once it is prepared anew: a replay's result
/// that is adopted then would let half a database be copied.
std::optional<Outcome> clear_later_workers(Run& run, Frame& frame, const HostHandle& host) {
  if (frame.remembers("cleared")) return std::nullopt;
  if (auto done =
          remove_workers_of(*host.engine, run.context.installation, run.key, std::string(step::kPrepare), run.limits);
      !done)
    return from_error(done.error(), host, true);
  frame.remember_done("cleared");
  return std::nullopt;
}

}  // namespace

Outcome prepare(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  const auto* pinned = pinned_of(run.request.status, item.name);
  if (pinned == nullptr) return Failed{"Internal", "item " + item.name + " is not pinned", "apply a new request"};
  auto source = run.source_of(item);
  if (!source) return from_lookup(source.error());
  const HostHandle& host = (*source)->access.host;
  auto all = list<crds::RestoreRequest>(run.context.api);
  if (!all) return Blocked{"ApiUnavailable", all.error().message, kBusyRetry};
  if (const auto* other = first_before(run.request, *all))
    return Blocked{"WaitsForAnother",
                   fmt::format("restore {}/{} has the recover volume; this one goes on when that one has ended",
                               other->metadata.ns, other->metadata.name),
                   kBusyRetry};
  auto user = other_user_of(run, **source);
  if (!user) return from_error(user.error(), host, true);
  if (!user->empty())
    return Blocked{"RecoverVolumeBusy",
                   fmt::format("container {} on host {} uses the recover volume {}; stop it", *user,
                               host.host.metadata.name, (*source)->server.spec.volumes.recover),
                   kBusyRetry};

  if (auto outcome = clear_later_workers(run, frame, host)) return *outcome;
  if (auto outcome = protect(run, frame, **source, *pinned)) return *outcome;
  WorkerJob job;
  job.host = &host;
  job.is_source = true;
  job.step = "prepare";
  job.make = [&](int) { return worker_spec(run, item, **source, *pinned); };
  auto end = run_worker(run, frame, job);
  if (auto* outcome = std::get_if<Outcome>(&end)) return std::move(*outcome);
  const auto& seen = std::get<WorkerSeen>(end);
  if (!seen.result || !seen.result->ok) return from_failure(run, frame, seen, job);
  remove_after_write(run, frame, job, seen.attempt);
  return Done{seen.result->data, fmt::format("Base backup {} is in the recover volume.", pinned->backup_id)};
}

}  // namespace roadstead::reconcilers::restore
