#pragma once

// A world for fault injection only: volumes, repositories, and movers that do what their jobs say. It judges what must
// never happen: two writers in one directory, a source that could be written to, a copy outside of the hooks.

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/unit/reconcilers_support/worker_world.h"

namespace roadstead::testing {

struct HostState : EngineState {
  std::map<std::string, std::uint64_t> volumes;                        ///< Their bytes.
  std::map<std::string, std::vector<mover::SnapshotSeen>> repository;  ///< By directory, "production2/outpack".
  std::map<std::string, std::vector<std::string>> spoilt;  ///< Ids whose manifests cannot be read, by directory.
};

/// How a copy ends otherwise than well.
struct CopyFailure {
  std::string reason;
  std::uint64_t bytes_sent = 0, needed_bytes = 0, free_bytes = 0;
};

class World final : public WorkerWorld {
 public:
  World();

  std::map<std::string, HostState> hosts;
  std::deque<CopyFailure> copy_failures;          ///< Of the copies that come next, in turn.
  std::map<std::string, std::string> unreadable;  ///< Volume → a file of it that no copy can read.
  std::map<std::string, int> exec_exit_codes;     ///< By a command's first word.
  int http_status = 200;
  int forget_looks = 0;  ///< So often is a worker that forgets looked at before it ends.
  int list_looks = 0;    ///< The same of one that lists; more than two are not waited for.
  std::vector<ContainerSpec> created;
  std::vector<int> exec_calls;  ///< Which calls ran a command.

  // ---- what a test does
  void remove(const std::string& name = "nightly");
  [[nodiscard]] nlohmann::json backup(const std::string& name = "nightly") const { return object("Backup", name); }
  /// The snapshots of a directory; empty where it is not there.
  [[nodiscard]] std::vector<std::string> kept(const std::string& host, const std::string& directory) const;
  [[nodiscard]] int times(const std::string& what) const;

  // ---- what the ports do
  [[nodiscard]] std::vector<EngineState*> engines() override;
  std::shared_ptr<Engine> engine(const std::string& host) override;
  std::unique_ptr<Reconciler> reconciler(reconcilers::Context& context) override;
  HttpHooks* http() override { return http_.get(); }

 private:
  std::unique_ptr<HttpHooks> http_;
};

/// The policy "outpack" of two volumes to one destination, with a hook before and one after; and a Backup of it.
nlohmann::json policy_manifest(const std::vector<std::string>& volumes = {"outpack", "logs"},
                               const std::vector<std::string>& destinations = {"annex2"}, bool hooks = true);
nlohmann::json backup_manifest(const std::string& name = "nightly", const std::string& policy = "outpack");

}  // namespace roadstead::testing
