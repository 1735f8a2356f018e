#pragma once

// One look at one request: who is where, what the current step remembers, and how a step's worker is run.

#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "crds/barman_server.h"
#include "crds/restore_request.h"
#include "reconcilers/restore_request/path.h"
#include "reconcilers/restore_request/take.h"
#include "reconcilers/support/attempt.h"
#include "reconcilers/support/barman.h"
#include "reconcilers/support/context.h"
#include "reconcilers/support/repository.h"
#include "reconcilers/support/steps.h"

namespace roadstead::reconcilers::restore {

/// Where an item comes from.
struct ItemSource {
  crds::BarmanServer server;
  BarmanAccess access;
};

/// What one call of `reconcile` works with. Lives as long as that call.
class Run {
 public:
  Run(Context& context, crds::RestoreRequest& request, Limits limits);

  Context& context;
  crds::RestoreRequest& request;
  const Limits limits;
  const ObjectKey key;

  [[nodiscard]] Time now() const { return context.clock.now(); }

  /// Errors: NotFound (no such Host), Invalid. Does not connect.
  Result<HostHandle> target();
  Result<ItemSource*> source_of(const crds::RestoreItem& item);
  /// A host that keeps snapshots. Errors as those of target().
  Result<const HostHandle*> keeper(const std::string& host);

  /// Binds workers to the spec and, once there is one, to the pinned point: what was made for another is never adopted.
  [[nodiscard]] std::string worker_hash(const std::string& item) const;
  [[nodiscard]] WorkerId worker_id(const std::string& item, std::string step, int attempt) const;

  /// Done once the status is stored: workers whose result it now holds are removed.
  std::vector<std::function<void()>> after_write;

 private:
  std::optional<HostHandle> target_;
  std::map<std::string, ItemSource> sources_;  ///< By the server's name.
  std::map<std::string, HostHandle> keepers_;
};

/// What a step sees of itself. What it must remember over a restart goes into `memory`; it is stored with every
/// Working.
class Frame {
 public:
  Frame(Run& run, StepRef ref, const crds::RestoreItem* item);

  [[nodiscard]] const StepRef& ref() const { return ref_; }
  [[nodiscard]] const crds::RestoreItem& item() const { return *item_; }
  [[nodiscard]] crds::Step& entry() { return begin(run_.request.status, ref_, run_.now()); }
  [[nodiscard]] nlohmann::json memory() { return memory_of(entry()); }
  void remember(const nlohmann::json& memory) { reconcilers::remember(entry(), memory); }
  /// A thing that is done once, by its name.
  [[nodiscard]] bool remembers(const std::string& what) { return memory().value(what, false); }
  void remember_done(const std::string& what);

 private:
  Run& run_;
  StepRef ref_;
  const crds::RestoreItem* item_;
};

/// A worker that a step needs.
struct WorkerJob {
  const HostHandle* host = nullptr;
  bool is_source = false;
  std::string step;                                     ///< The worker's own word, "copy-send"; mostly the step's name.
  std::function<Result<WorkerSpec>(int attempt)> make;  ///< Name and labels are set from its id.
  Millis wait{0};  ///< How long its end is waited for here; for what takes a moment.
};

/// The worker's end, successful or not; or what the step has to answer while there is none. A vanished or interrupted
/// worker is run again as the next attempt, which counts no failure.
using WorkerEnd = std::variant<WorkerSeen, Outcome>;
WorkerEnd run_worker(Run& run, Frame& frame, const WorkerJob& job);

/// The next attempt begins, uncounted; what was remembered of the present one's workers is forgotten.
void next_attempt(Frame& frame, int at_least = 0);

/// What a worker that ended without success means: NoSpace and Busy wait, everything else is a failed attempt.
Outcome from_failure(Run& run, Frame& frame, const WorkerSeen& seen, const WorkerJob& job);

/// One job of a repository, as run_worker() runs others; `step` is the worker's own word. Its worker stays.
using RepositoryEnd = std::variant<mover::WorkerResult, NothingKept, Outcome>;
RepositoryEnd run_repository(Run& run, Frame& frame, const std::string& step, const RepositoryPlace& place,
                             const mover::Job& job);

/// Has this worker removed after the status is stored.
void remove_after_write(Run& run, const Frame& frame, const WorkerJob& job, int attempt);

/// What a mover that succeeded said.
struct MoverAnswer {
  std::string data;                 ///< The text of a JSON object.
  std::optional<Time> finished_at;  ///< By the clock of its host.
};

/// A short mover on the target with a volume and what stands beside it. Nothing: it succeeded, `answer` is set.
std::optional<Outcome> run_mover(Run& run, Frame& frame, const std::string& step, const std::string& volume,
                                 const mover::Job& job, MoverAnswer& answer);
/// The same where the volume may not be there yet.
std::optional<Outcome> run_mover_at(Run& run, Frame& frame, const std::string& step, const std::string& parent,
                                    const mover::Job& job, MoverAnswer& answer);

/// Gives it the directory that holds a volume's data; an inspection may only read.
void mount_parent(ContainerSpec& container, const std::string& parent, const mover::Job& job);
/// The same for any volume. One that is not a plain directory of the engine's is mounted itself, and what stands beside
/// it is in a volume for the marks of this host. Errors: those of the engine.
Result<void> mount_volume(const Run& run, const HostHandle& target, const std::string& volume, const mover::Job& job,
                          ContainerSpec& container);

/// It is a directory of the engine's own, with a parent where our things can stand.
bool is_plain(const VolumeInfo& volume);
/// The volume for marks as what stands beside a volume.
MountSpec marks_mount(bool read_only);

mover::Target mover_target(const crds::RestoreRequest& request, const std::string& item);

/// Where the parent of a volume's data is mounted in a mover.
inline constexpr std::string_view kParent = "/target";
/// The directory that holds `_data`.
std::string parent_of(const std::string& mountpoint);

}  // namespace roadstead::reconcilers::restore
