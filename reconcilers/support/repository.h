#pragma once

// A repository of snapshots on a host that keeps backups: where it is, and the workers that list, thin out and verify
// it. A worker sees one directory of it, `<repository volume>/<source host>/<volume>`, and has no network.

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "crds/backup.h"
#include "reconcilers/support/attempt.h"
#include "reconcilers/support/context.h"

namespace roadstead::reconcilers {

/// Where a worker finds the repository directory.
inline constexpr std::string_view kRepositoryMount = "/repository";

/// What one host keeps of one volume.
struct RepositoryPlace {
  const HostHandle* host = nullptr;  ///< Keeps the backups.
  std::string source_host;
  std::string volume;
};

/// The directory's path on its host, whether it is there or not. Errors: Invalid (the Host keeps no backups, or the
/// names make no directory), NotFound (its repository volume is not there: nothing was ever written), and those of the
/// engine.
Result<std::string> repository_path(const RepositoryPlace& place, const Limits& limits);

/// `path` as kRepositoryMount.
MountSpec repository_mount(const std::string& path, bool read_only);

/// The engine would not create a container because a path that is to be mounted is not there.
bool is_missing_mount(const Error& error);

// What can be asked; the path in a job is set by whoever runs it.
mover::Job list_snapshots();
mover::Job forget_snapshots(std::vector<std::string> ids);
/// Also those that the directory still counts as kept: the Backup they belong to says otherwise.
mover::Job forget_even_kept(std::vector<std::string> ids);
mover::Job mark_kept(std::vector<std::string> keep, std::vector<std::string> release);
mover::Job verify_part(std::uint32_t part, std::uint32_t parts);

/// There is no directory, or no repository in it: there is nothing to list, to forget or to verify.
struct NothingKept {};

/// One job (list, mark, forget, verify) of a repository, looked at once: made, adopted, waited for `wait` (see
/// AttemptJob). The worker's result also where it failed; one that died without any says so as `WorkerFailed`. It stays
/// until remove_worker(), so that what it said can be stored first. `id`'s attempt is set from `attempt`.
std::variant<mover::WorkerResult, NothingKept, Underway, EngineError> look_at_repository(
    Context& context, const RepositoryPlace& place, const WorkerId& id, const mover::Job& job, Millis wait,
    Attempt& attempt, const Limits& limits);

/// What a manifest tells, as a Backup's status has it.
crds::BackupSnapshot snapshot_status(const mover::SnapshotSeen& seen, const std::string& host,
                                     const std::string& source_host, const std::string& volume);

}  // namespace roadstead::reconcilers
