#pragma once

// A world for fault injection only: volumes, barman, and workers that do what their jobs say. It judges what must never
// happen: a database started on half a copy, an exchange under a running application.

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/unit/reconcilers_support/worker_world.h"

namespace roadstead::testing {

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
  bool used = false;    ///< An application was started on what it holds now.
  bool undone = false;  ///< Somebody puts other data into it just after an exchange.
  struct Beside {
    std::optional<std::string> mark;
    std::optional<Tree> tree;
  };
  std::map<std::string, Beside> beside;  ///< .roadstead/<request>
};

struct HostState : EngineState {
  std::int64_t free_bytes = 1'000'000'000;
  std::map<std::string, Volume> volumes;
};

class World final : public WorkerWorld {
 public:
  World();

  static constexpr std::int64_t kDatabaseBytes = 1000;

  std::map<std::string, HostState> hosts;
  std::string recover;         ///< Content of the recover volume: "", "base", "point".
  std::set<std::string> kept;  ///< barman keep.
  std::vector<std::string> segments{"000000010000000000000001", "000000010000000000000002", "000000010000000000000003"};
  bool production_reachable = true;
  bool in_recovery = false;
  std::string check_answer = "t";
  std::string copy_failure;                      ///< A reason that every copy fails with.
  std::set<std::string> keys;                    ///< Of all copies.
  std::map<std::string, ErrorKind> unstartable;  ///< Containers whose start the engine answers with this.
  int restore_points = 0;
  /// By "<host>:<source host>/<volume>".
  std::map<std::string, std::vector<mover::SnapshotSeen>> snapshots;
  bool overwrites_while_running = false;  ///< A test wants it so.
  std::int64_t allocated_bytes = 0;       ///< What a measured volume takes.

  // ---- what a test does
  /// A snapshot of the policy "outpack" of volume `outpack`, in the repository of `host`.
  void add_snapshot(const std::string& backup, std::chrono::seconds age, const std::string& host = "annex2");
  [[nodiscard]] nlohmann::json request(const std::string& name = "uat-november") const {
    return object("RestoreRequest", name);
  }
  void patch_spec(const std::string& name, const std::string& field, nlohmann::json value);
  /// Looks until `holds` at some call, where the operator is killed; false if that never comes.
  bool kill_once(const std::function<bool()>& holds);
  /// The same when the step of this name has an entry.
  bool run_until_step(const std::string& step);
  Container& application(const std::string& name);
  Volume& volume(const std::string& name) { return hosts.at("uat").volumes.at(name); }
  Volume& target_volume() { return hosts.at("uat").volumes.at("montagu_db_volume"); }
  [[nodiscard]] bool applications_run();

  // ---- what the ports do
  std::uint64_t next_inode() { return ++inodes_; }
  [[nodiscard]] std::vector<EngineState*> engines() override;
  std::shared_ptr<Engine> engine(const std::string& host) override;
  std::unique_ptr<Reconciler> reconciler(reconcilers::Context& context) override;

 private:
  std::uint64_t inodes_ = 100;
};

nlohmann::json request_manifest(const std::string& name = "uat-november");
/// Restores the newest snapshot of volume `outpack` that the policy "outpack" made.
nlohmann::json volume_manifest(const std::string& name = "uat-november");

}  // namespace roadstead::testing
