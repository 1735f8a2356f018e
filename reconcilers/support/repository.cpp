#include "reconcilers/support/repository.h"

#include <type_traits>

#include "reconcilers/support/mover_worker.h"
#include "reconcilers/support/outcome.h"

namespace roadstead::reconcilers {
namespace {

/// A name that is one step down from its parent, and no way out of it.
bool is_directory_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

template <class T>
constexpr bool is_upkeep = std::is_same_v<T, mover::Snapshots> || std::is_same_v<T, mover::Forget> ||
                           std::is_same_v<T, mover::Verify> || std::is_same_v<T, mover::Keep>;

mover::Job at_mount(mover::Job job) {
  std::visit(
      [](auto& one) {
        if constexpr (is_upkeep<std::decay_t<decltype(one)>>) one.path = std::string(kRepositoryMount);
      },
      job);
  return job;
}

Result<WorkerSpec> repository_worker(Context& context, const HostHandle& host, const std::string& path,
                                     const mover::Job& job, const Limits& limits) {
  auto spec = mover_spec(context, host, at_mount(job), limits);
  if (!spec) return spec;
  spec->container.network_mode = "none";
  spec->container.mounts.push_back(repository_mount(path, std::holds_alternative<mover::Snapshots>(job)));
  return spec;
}

}  // namespace

Result<std::string> repository_path(const RepositoryPlace& place, const Limits& limits) {
  const crds::Host& host = place.host->host;
  if (!host.spec.repository)
    return fail(ErrorKind::Invalid, "host {} keeps no backups; name a volume for them in its spec.repository.volume",
                host.metadata.name);
  if (!is_directory_name(place.source_host) || !is_directory_name(place.volume))
    return fail(ErrorKind::Invalid, "\"{}\" and \"{}\" make no directory of a repository", place.source_host,
                place.volume);
  return place.host->engine->inspect_volume(host.spec.repository->volume, limits).map([&](const VolumeInfo& found) {
    return found.mountpoint + "/" + mover::repository_directory(place.source_host, place.volume);
  });
}

MountSpec repository_mount(const std::string& path, bool read_only) {
  return {MountSpec::Type::Bind, path, std::string(kRepositoryMount), read_only};
}

bool is_missing_mount(const Error& error) {
  return error.message.find("bind source path does not exist") != std::string::npos;
}

mover::Job list_snapshots() { return mover::Snapshots{}; }

mover::Job forget_snapshots(std::vector<std::string> ids) {
  return mover::Forget{.path = {}, .snapshots = std::move(ids)};
}

mover::Job forget_even_kept(std::vector<std::string> ids) {
  return mover::Forget{.path = {}, .snapshots = std::move(ids), .even_kept = true};
}

mover::Job mark_kept(std::vector<std::string> keep, std::vector<std::string> release) {
  return mover::Keep{.path = {}, .keep = std::move(keep), .release = std::move(release)};
}

mover::Job verify_part(std::uint32_t part, std::uint32_t parts) {
  return mover::Verify{.path = {}, .part = part, .parts = parts};
}

std::variant<mover::WorkerResult, NothingKept, Underway, EngineError> look_at_repository(
    Context& context, const RepositoryPlace& place, const WorkerId& id, const mover::Job& job, Millis wait,
    Attempt& attempt, const Limits& limits) {
  bool nothing = false;
  const auto make = [&]() -> Result<WorkerSpec> {
    auto path = repository_path(place, limits);
    if (path) return repository_worker(context, *place.host, *path, job, limits);
    nothing = path.error().kind == ErrorKind::NotFound;
    return tl::unexpected(path.error());
  };
  auto look = look_at_worker({place.host, id, make, wait}, attempt, limits);
  if (auto* underway = std::get_if<Underway>(&look)) return std::move(*underway);
  if (auto* error = std::get_if<EngineError>(&look)) {
    if (nothing || is_missing_mount(error->error)) return NothingKept{};
    return std::move(*error);
  }
  const WorkerSeen& seen = std::get<WorkerSeen>(look);
  WorkerId worker = id;
  worker.attempt = attempt.number;
  if (seen.result && !seen.result->ok && seen.result->reason == "NotFound") {
    // The directory was made, and no backup has written to it.
    (void)remove_worker(*place.host->engine, worker, std::chrono::seconds(0), limits);
    return NothingKept{};
  }
  if (seen.result) return *seen.result;
  const Retry failed = worker_failed(worker_name(worker), *place.host, seen);
  return mover::WorkerResult{.ok = false, .reason = failed.reason, .message = failed.message, .next = failed.next};
}

crds::BackupSnapshot snapshot_status(const mover::SnapshotSeen& seen, const std::string& host,
                                     const std::string& source_host, const std::string& volume) {
  const auto number = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
  return {.volume = volume,
          .source_host = source_host,
          .host = host,
          .id = seen.id,
          .data_as_of = seen.data_as_of,
          .consistency = seen.crash_consistent ? crds::Consistency::CrashConsistent : crds::Consistency::AtRest,
          .logical_bytes = number(seen.logical_bytes),
          .data_bytes = number(seen.data_bytes),
          .sent_bytes = number(seen.sent_bytes),
          .stored_bytes = number(seen.stored_bytes),
          .files = number(seen.files),
          .entries = number(seen.entries),
          .changed_count = number(seen.changed.count),
          .changed = seen.changed.names,
          .unreadable_count = number(seen.unreadable.count),
          .unreadable = seen.unreadable.names,
          .skipped_count = number(seen.skipped.count),
          .skipped = seen.skipped.names,
          .millis = number(seen.millis)};
}

}  // namespace roadstead::reconcilers
