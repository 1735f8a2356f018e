#pragma once

// A small world for fault injection only: engines, volumes, repositories and an API in memory, with movers that do what
// their jobs say. It judges what must never happen: two writers in one directory, a source that could be written to, a
// copy outside of the hooks.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "metrics/metrics.h"
#include "mover/contract/job.h"
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
  std::vector<std::string> log;
  std::map<std::string, std::string> files;
  std::optional<Time> started_at, finished_at;
};

struct HostState {
  std::string name;
  bool reachable = true;
  std::map<std::string, Container> containers;                         ///< By id.
  std::map<std::string, std::uint64_t> volumes;                        ///< Their bytes.
  std::map<std::string, std::vector<mover::SnapshotSeen>> repository;  ///< By directory, "production2/outpack".
  std::map<std::string, std::vector<std::string>> spoilt;  ///< Ids whose manifests cannot be read, by directory.
};

/// How a copy ends otherwise than well.
struct CopyFailure {
  std::string reason;
  std::uint64_t bytes_sent = 0, needed_bytes = 0, free_bytes = 0;
};

class World : public SmallWorld {
 public:
  World();
  ~World();

  ManualClock clock;
  std::map<std::string, HostState> hosts;
  std::deque<CopyFailure> copy_failures;          ///< Of the copies that come next, in turn.
  std::map<std::string, std::string> unreadable;  ///< Volume → a file of it that no copy can read.
  std::map<std::string, int> exec_exit_codes;     ///< By a command's first word.
  int http_status = 200;
  int forget_looks = 0;          ///< So often is a worker that forgets looked at before it ends.
  int list_looks = 0;            ///< The same of one that lists; more than two are not waited for.
  std::uint64_t bytes_sent = 0;  ///< By all copies together.
  std::vector<std::string> violations;
  std::vector<std::string> history;  ///< "exec save", "copy outpack@annex2", "POST http://x"
  std::vector<ContainerSpec> created;
  std::vector<int> exec_calls;  ///< Which calls ran a command.

  // ---- what a test does
  void apply(nlohmann::json object);
  void remove(const std::string& name = "nightly");
  [[nodiscard]] nlohmann::json object(const std::string& kind, const std::string& name) const;
  [[nodiscard]] nlohmann::json backup(const std::string& name = "nightly") const { return object("Backup", name); }
  [[nodiscard]] nlohmann::json status(const std::string& name = "nightly") const;
  [[nodiscard]] nlohmann::json condition(const std::string& type, const std::string& name = "nightly") const;
  [[nodiscard]] std::string phase(const std::string& name = "nightly") const;
  void restart();
  /// The store forgets how far everything is; manifests are read again.
  void lose_store();
  Result<Action> look(const std::string& name = "nightly");
  /// Looks until nothing more is due, or `limit` looks were made. Restarts the operator where it is killed.
  bool run(const std::string& name = "nightly", int limit = 300);
  /// Looks until `holds`.
  bool run_until(const std::function<bool()>& holds, const std::string& name = "nightly", int limit = 300);
  [[nodiscard]] int workers() const;
  /// The snapshots of a directory; empty where it is not there.
  [[nodiscard]] std::vector<std::string> kept(const std::string& host, const std::string& directory) const;
  [[nodiscard]] int times(const std::string& what) const;

  // ---- what the ports do
  std::string next_id() { return "id" + std::to_string(++ids_); }

 private:
  struct Operator;
  std::unique_ptr<ResourceClient> api_;
  std::unique_ptr<Operator> operator_;
  int ids_ = 0;
};

/// The policy "outpack" of two volumes to one destination, with a hook before and one after; and a Backup of it.
nlohmann::json policy_manifest(const std::vector<std::string>& volumes = {"outpack", "logs"},
                               const std::vector<std::string>& destinations = {"annex2"}, bool hooks = true);
nlohmann::json backup_manifest(const std::string& name = "nightly", const std::string& policy = "outpack");

std::shared_ptr<Engine> make_engine(World& world, const std::string& host);

}  // namespace roadstead::testing
