#include "reconcilers/backup/volume_copy_job.h"

#include "reconcilers/support/mover_worker.h"

namespace roadstead::reconcilers::backup {
namespace {

constexpr std::string_view kSource = "/source";

mover::Compression compression_of(crds::Compression compression) {
  switch (compression) {
    case crds::Compression::None:
      return mover::Compression::None;
    case crds::Compression::Zstd:
      return mover::Compression::Zstd;
    case crds::Compression::Auto:
      break;
  }
  return mover::Compression::Auto;
}

/// What sender and receiver have in common.
mover::Copy common_of(const CopyJob& job, mover::Role role, const std::optional<mover::Link>& link) {
  const crds::Transfer transfer = job.plan.transfer.value_or(crds::Transfer{});
  mover::Copy copy;
  copy.role = role;
  copy.link = link;
  if (copy.link) copy.link->connections = static_cast<int>(transfer.connections);
  copy.compression = compression_of(transfer.compression);
  copy.bandwidth_limit = static_cast<std::uint64_t>(transfer.bandwidth_limit);
  return copy;
}

mover::Source source_of(const CopyJob& job) {
  mover::Source source;
  source.path = std::string(kSource);
  if (job.plan.copies_repository()) {
    source.snapshot = job.ref.missing->id;
  } else {
    source.exclude = job.ref.place->exclude;
    source.live = true;
  }
  return source;
}

mover::Snapshot sink_of(const CopyJob& job) {
  mover::Snapshot snapshot;
  snapshot.path = std::string(kRepositoryMount);
  snapshot.id = job.ref.missing->id;
  if (job.plan.copies_repository()) {
    snapshot.origin = job.ref.missing->origin;
    return snapshot;
  }
  const auto& backup = job.run.backup;
  snapshot.origin =
      mover::to_json(mover::Origin{job.run.context.installation, backup.metadata.ns, backup.metadata.name,
                                   backup.spec.policy_ref ? backup.spec.policy_ref->name : std::string(),
                                   job.ref.place->source_host, job.ref.place->volume, backup.spec.scheduled_time});
  return snapshot;
}

MountSpec source_mount(const CopyJob& job) {
  if (job.plan.copies_repository()) return {MountSpec::Type::Bind, job.source_directory, std::string(kSource), true};
  return {MountSpec::Type::Volume, job.ref.place->volume, std::string(kSource), true};
}

MountSpec sink_mount(const CopyJob& job) { return repository_mount(job.directory, false); }

}  // namespace

Result<WorkerSpec> CopyJob::sender(const mover::Link& link) const {
  mover::Copy copy = common_of(*this, mover::Role::Send, link);
  copy.source = source_of(*this);
  auto spec = mover_spec(run.context, from, copy, run.limits);
  if (spec) spec->container.mounts.push_back(source_mount(*this));
  return spec;
}

Result<WorkerSpec> CopyJob::receiver(const mover::Link& link) const {
  mover::Copy copy = common_of(*this, mover::Role::Receive, link);
  copy.snapshot = sink_of(*this);
  auto spec = mover_spec(run.context, to, copy, run.limits);
  if (spec) spec->container.mounts.push_back(sink_mount(*this));
  return spec;
}

Result<WorkerSpec> CopyJob::both() const {
  mover::Copy copy = common_of(*this, mover::Role::Both, std::nullopt);
  copy.source = source_of(*this);
  copy.snapshot = sink_of(*this);
  auto spec = mover_spec(run.context, to, copy, run.limits);
  if (!spec) return spec;
  spec->container.network_mode = "none";
  spec->container.mounts.push_back(source_mount(*this));
  spec->container.mounts.push_back(sink_mount(*this));
  return spec;
}

}  // namespace roadstead::reconcilers::backup
