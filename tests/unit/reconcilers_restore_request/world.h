#pragma once

// A small world for fault injection only: engines, volumes, barman and an API in memory, with workers that do what
// their jobs say. It judges what must never happen: a database started on half a copy, an exchange under a running
// application.

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "metrics/metrics.h"
#include "mover/contract/job.h"
#include "operator/ports/engine_factory.h"
#include "operator/runtime/reconciler.h"
#include "reconcilers/support/context.h"

namespace roadstead::testing {

/// The operator's process is killed here.
struct Killed {};

/// What a directory tree is, as far as a restore cares.
struct Tree {
  std::uint64_t inode = 0;
  std::string content;    ///< "old", "point"; "half" while it is being copied.
  bool finished = false;  ///< The recovery settings are in it.
};

/// What a restore out of this snapshot brings.
std::string content_of_snapshot(const std::string& id);

struct Volume {
  std::string name;
  std::map<std::string, std::string> options;
  Tree data;
  bool used = false;  ///< An application was started on what it holds now.
  struct Beside {
    std::optional<std::string> mark;
    std::optional<Tree> tree;
  };
  std::map<std::string, Beside> beside;  ///< .roadstead/<request>
};

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

class World;

struct HostState {
  std::string name;
  bool reachable = true;
  std::int64_t free_bytes = 1'000'000'000;
  std::map<std::string, Container> containers;  ///< By id.
  std::map<std::string, Volume> volumes;
};

class World {
 public:
  World();
  ~World();

  static constexpr std::int64_t kDatabaseBytes = 1000;

  ManualClock clock;
  std::map<std::string, HostState> hosts;
  std::string recover;         ///< Content of the recover volume: "", "base", "point".
  std::set<std::string> kept;  ///< barman keep.
  std::vector<std::string> segments{"000000010000000000000001", "000000010000000000000002", "000000010000000000000003"};
  bool production_reachable = true;
  bool in_recovery = false;
  std::string check_answer = "t";
  std::string copy_failure;                      ///< A reason that every copy fails with.
  std::uint64_t bytes_sent = 0;                  ///< By all copies together.
  std::set<std::string> keys;                    ///< Of all copies.
  std::map<std::string, ErrorKind> unstartable;  ///< Containers whose start the engine answers with this.
  int restore_points = 0;
  /// By "<host>:<source host>/<volume>".
  std::map<std::string, std::vector<mover::SnapshotSeen>> snapshots;
  bool overwrites_while_running = false;  ///< A test wants it so.
  std::int64_t allocated_bytes = 0;       ///< What a measured volume takes.
  std::vector<std::string> violations;
  std::vector<std::string> history;  ///< "stop montagu-db", "exchange", "start montagu-db"

  /// Calls of ports so far; the one with number `kill_at` kills the operator before (or after) it is done, the one with
  /// number `fail_at` is answered with Unavailable.
  int calls = 0;
  int kill_at = 0;
  bool kill_after = false;
  int fail_at = 0;
  std::vector<int> changing_calls;       ///< Those that changed something.
  std::function<void(int)> before_call;  ///< Whatever a test wants to happen at call N.

  // ---- what a test does
  /// A snapshot of the policy "outpack" of volume `outpack`, in the repository of `host`.
  void add_snapshot(const std::string& backup, std::chrono::seconds age, const std::string& host = "annex2");
  void apply(nlohmann::json request);
  [[nodiscard]] nlohmann::json request(const std::string& name = "uat-november") const;
  void patch_spec(const std::string& name, const std::string& field, nlohmann::json value);
  void lose_store();
  /// The operator, begun anew.
  void restart();
  /// Looks until the request has ended, or `limit` looks were made. Restarts the operator where it is killed.
  bool run(const std::string& name = "uat-november", int limit = 400);
  Result<Action> look(const std::string& name = "uat-november");
  /// Looks until the step of this name has an entry.
  bool run_until_step(const std::string& step, const std::string& name = "uat-november");
  [[nodiscard]] std::string phase(const std::string& name = "uat-november") const;
  [[nodiscard]] nlohmann::json condition(const std::string& type, const std::string& name = "uat-november") const;
  Container& application(const std::string& name);
  Volume& volume(const std::string& name) { return hosts.at("uat").volumes.at(name); }
  Volume& target_volume() { return hosts.at("uat").volumes.at("montagu_db_volume"); }
  [[nodiscard]] bool applications_run();
  [[nodiscard]] int workers() const;

  // ---- what the ports do
  /// Counts a call; may kill, may say that it fails.
  Result<void> called();
  void called_after();
  std::string next_id() { return "id" + std::to_string(++ids_); }
  std::uint64_t next_inode() { return ++inodes_; }

  std::map<std::string, nlohmann::json> objects;  ///< By "Kind/ns/name".
  int version = 0;

 private:
  struct Operator;
  std::unique_ptr<ResourceClient> api_;
  std::unique_ptr<Operator> operator_;
  int ids_ = 0;
  std::uint64_t inodes_ = 100;
};

nlohmann::json request_manifest(const std::string& name = "uat-november");
/// Restores the newest snapshot of volume `outpack` that the policy "outpack" made.
nlohmann::json volume_manifest(const std::string& name = "uat-november");

std::shared_ptr<Engine> make_engine(World& world, const std::string& host);
std::unique_ptr<ResourceClient> make_api(World& world);

}  // namespace roadstead::testing
