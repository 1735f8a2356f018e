#pragma once

// A long operation is a labelled container (docs/architecture.md, "The life of a job"). This is the one place where
// such containers are named, made, adopted, judged and removed.

#include <optional>
#include <string>
#include <vector>

#include "mover/contract/job.h"
#include "operator/base/names.h"
#include "operator/ports/engine.h"

namespace roadstead::reconcilers {

/// Which worker: its name and labels follow from these facts alone, so that the next operator finds it.
struct WorkerId {
  std::string installation;
  ObjectKey owner;
  std::string item;  ///< Empty where the owner has no items.
  std::string step;  ///< "copy"; both ends of a transfer differ: "copy-send", "copy-receive".
  int attempt = 1;
  std::string spec_hash;  ///< A worker made from another spec is never adopted.
};

/// "roadstead-default-restorerequest-default.uat-november.montagu-db-copy-send-1", shortened by a hash where long.
std::string worker_name(const WorkerId& id);
Labels worker_labels(const WorkerId& id);

struct WorkerSpec {
  WorkerId id;
  ContainerSpec container;         ///< Name and labels are set from `id`.
  std::vector<ArchiveFile> files;  ///< Uploaded below "/" between create and start: scripts, jobs, secrets.
};

enum class WorkerState {
  Absent,  ///< Never made, or removed behind our back: ask the volume or the catalogue, then run the step again.
  Stale,   ///< Only created (its files may be missing), or made from another spec: is removed and made again.
  Running,
  Exited,
};

/// What is known of a worker now.
struct WorkerSeen {
  WorkerState state = WorkerState::Absent;
  std::string id;  ///< Also of an Absent one that an engine which died has only half removed: it still has the name.
  int attempt = 0;
  int exit_code = 0;
  /// Ended by a signal that was not ours (the engine stopped or was killed): a new attempt that does not count.
  bool interrupted = false;
  bool oom_killed = false;
  std::string error;  ///< What the engine said went wrong at its start.
  std::optional<Time> started_at, finished_at;
  std::optional<mover::Progress> progress;    ///< The newest line of our own programs.
  std::optional<mover::WorkerResult> result;  ///< Their last line.
  std::vector<LogLine> tail;                  ///< The newest lines, for observers of other people's images.
};

/// Reads one worker: state, and the end of its log. Errors: those of the engine; a missing one is Absent, and so is one
/// that is "dead" in Docker's words: its log and its end cannot be asked for any more.
Result<WorkerSeen> observe_worker(Engine& engine, const WorkerId& id, const Limits& limits, int tail_lines = 50);

/// Makes sure it runs or has run: Absent and Stale are created, get their files and are started; Running and Exited are
/// adopted. Safe to repeat after a failure at any of its calls.
Result<WorkerSeen> ensure_worker(Engine& engine, const WorkerSpec& spec, const Limits& limits);

/// Stops (SIGTERM, then SIGKILL after `grace`) and removes; one that is gone counts as removed.
Result<void> remove_worker(Engine& engine, const WorkerId& id, std::chrono::seconds grace, const Limits& limits);

/// Removes every exited or running worker of `owner` on this engine but those of `keep_step` (empty: none is kept).
Result<void> remove_workers_of(Engine& engine, const std::string& installation, const ObjectKey& owner,
                               const std::string& keep_step, const Limits& limits);

/// The highest attempt of a step among the containers that are still there; 0 where there is none.
Result<int> highest_attempt(Engine& engine, const WorkerId& id, const Limits& limits);

/// How many workers of this installation run on this engine now.
Result<int> running_workers(Engine& engine, const std::string& installation, const Limits& limits);

/// Workers that may run on one host at a time; more wait.
inline constexpr int kWorkersPerHost = 4;

/// Exit codes of a process ended by a signal, as the engine reports them (128 + signal; 255 after an engine's restart).
bool exited_by_signal(int exit_code);

}  // namespace roadstead::reconcilers
