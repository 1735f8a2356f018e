#pragma once

// A small world with an operator in it and engines that run its workers: what tests of whole backups and whole restores
// share. What a worker does, and what must never happen, is each test's own.

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mover/contract/job.h"
#include "operator/base/clock.h"
#include "operator/runtime/reconciler.h"
#include "reconcilers/support/context.h"
#include "tests/unit/reconcilers_support/small_world.h"

namespace roadstead::testing {

struct Container {
  std::string id;
  ContainerSpec spec;
  ContainerState state = ContainerState::Created;
  int exit_code = 0;
  int looks_left = 0;  ///< A worker ends after it was looked at so often.
  int waits = 0;       ///< How often a mover has looked for its peer in vain.
  bool auto_remove = false;
  std::string restart_policy;
  std::vector<std::string> log;
  std::map<std::string, std::string> files;
  std::optional<Time> started_at, finished_at;
};

/// What each engine has; a test adds volumes as it needs them.
struct EngineState {
  std::string name;
  bool reachable = true;
  std::map<std::string, Container> containers;  ///< By id.
};

std::string step_of(const Container& container);
bool is_worker(const Container& container);
/// What was uploaded as a mover's job; an error where there is none, as in workers that run a script.
Result<mover::Job> job_of(const Container& container);
/// Where the engine keeps a volume's data.
std::string mountpoint(const std::string& volume);

/// An object as people write it; no namespace where `ns` is empty.
nlohmann::json manifest(const std::string& kind, const std::string& name, nlohmann::json spec,
                        const std::string& ns = "default");
nlohmann::json host_manifest(const std::string& name, const nlohmann::json& data, bool keeps_backups);

class WorkerWorld : public SmallWorld {
 public:
  /// `usual` is meant wherever a name is left empty.
  WorkerWorld(std::string kind, std::string usual);
  virtual ~WorkerWorld();

  ManualClock clock;
  std::uint64_t bytes_sent = 0;  ///< By all copies together.
  std::vector<std::string> violations;
  std::vector<std::string> history;  ///< What was done to the world, in order.
  bool kill_loses_store = false;     ///< Whoever kills the operator takes its store as well.
  int kills = 0;                     ///< Of the operator, so far.
  int pruned = 0;                    ///< Workers, by prune().

  // ---- what a test does
  void apply(nlohmann::json object);
  [[nodiscard]] nlohmann::json object(const std::string& kind, const std::string& name) const;
  [[nodiscard]] nlohmann::json status(const std::string& name = "") const;
  [[nodiscard]] nlohmann::json condition(const std::string& type, const std::string& name = "") const;
  [[nodiscard]] std::string phase(const std::string& name = "") const;
  /// The operator, begun anew.
  void restart();
  /// The store forgets how far everything is; manifests are read again.
  void lose_store();
  Result<Action> look(const std::string& name = "");
  /// Looks until nothing more is due, or `limit` looks were made. Restarts the operator where it is killed.
  bool run(const std::string& name = "", int limit = 400);
  /// Looks until `holds`; time does not pass any more once it does.
  bool run_until(const std::function<bool()>& holds, const std::string& name = "", int limit = 400);
  [[nodiscard]] int workers();
  enum class Pruned { Whole, Half };  ///< Half: the engine died in it, and calls the container dead.
  /// The first worker of this step is removed behind the operator's back as soon as it has ended.
  void prune(const std::string& step, Pruned how = Pruned::Whole);

  // ---- what the ports do
  std::string next_id() { return "id" + std::to_string(++ids_); }
  [[nodiscard]] virtual std::vector<EngineState*> engines() = 0;
  virtual std::shared_ptr<Engine> engine(const std::string& host) = 0;
  virtual std::unique_ptr<Reconciler> reconciler(reconcilers::Context& context) = 0;
  virtual HttpHooks* http() { return nullptr; }

 private:
  struct Operator;

  [[nodiscard]] const std::string& or_usual(const std::string& name) const { return name.empty() ? usual_ : name; }
  /// One look; nothing where it failed or the operator was killed in it.
  std::optional<Action> try_look(const std::string& name);
  void wait_after(const std::optional<Action>& action);

  std::string kind_, usual_;
  FakeApi api_{*this};
  std::unique_ptr<Operator> operator_;  ///< Made at the first look.
  int ids_ = 0;
};

/// An engine whose workers end after some looks, with whatever the test's own part of it says.
class WorkerEngine : public QuietEngine {
 public:
  WorkerEngine(WorkerWorld& world, EngineState& state) : world_(world), state_(state) {}

  Result<std::string> create_container(const ContainerSpec& spec, const Limits& limits) override;
  Result<void> start_container(const std::string& name, const Limits& limits) override;
  Result<void> stop_container(const std::string& name, std::chrono::seconds grace, const Limits& limits) override;
  Result<void> kill_container(const std::string& name, const std::string& signal, const Limits& limits) override;
  Result<void> remove_container(const std::string& name, bool force, const Limits& limits) override;
  Result<ContainerInfo> inspect_container(const std::string& name, const Limits& limits) override;
  Result<std::vector<ContainerSummary>> list_containers(const Labels& labels, const Limits& limits) override;
  Result<int> wait_container(const std::string& name, const Limits& limits) override;
  Result<std::vector<LogLine>> logs(const std::string& name, const LogOptions& options, const Limits& limits) override;
  Result<void> upload(const std::string& name, const std::string& path, std::span<const ArchiveFile> files,
                      const Limits& limits) override;

 protected:
  // ---- what a test's engine adds
  /// Before a container is made or started: may refuse it, or judge.
  virtual Result<void> creating(const ContainerSpec&) { return {}; }
  virtual Result<void> starting(const Container&) { return {}; }
  virtual void started(Container&) {}
  virtual void stopping(const Container&) {}
  virtual void removing(const Container&) {}
  /// A worker has run for long enough: ends it, unless it waits for its peer.
  virtual void complete(Container& worker) = 0;

  // ---- what it needs for that
  /// Each call begins with it: it is counted, and may fail.
  Result<void> enter();
  /// As enter(), and finds the container.
  Result<Container*> enter(const std::string& container);
  Container* find(const std::string& name);
  void violation(std::string what) { world_.violations.push_back(std::move(what)); }
  void end(Container& worker, bool ok, const std::string& reason, const std::string& data = "{}");
  /// The running other end of a transfer and where it runs: same owner, item and attempt.
  std::pair<Container*, EngineState*> peer_of(const Container& mover);
  /// A peer that is not there yet is waited for, for a while.
  void no_peer(Container& mover);

 private:
  WorkerWorld& world_;
  EngineState& state_;
};

}  // namespace roadstead::testing
