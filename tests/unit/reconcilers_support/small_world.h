#pragma once

// What the small worlds of reconciler tests share: an API in memory, calls that can be counted, fail or kill the
// operator, and an engine that does nothing where a test needs nothing.

#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "operator/ports/engine_factory.h"
#include "operator/ports/resource_client.h"
#include "operator/ports/secrets.h"

namespace roadstead::testing {

/// The operator's process is killed here.
struct Killed {};

class SmallWorld {
 public:
  std::map<std::string, nlohmann::json> objects;  ///< By "Kind/ns/name".
  int version = 0;
  std::vector<std::string> events;  ///< Their reasons.

  /// Calls of ports so far; the one with number `kill_at` kills the operator before (or after) it is done, the one with
  /// number `fail_at` is answered with Unavailable.
  int calls = 0;
  int kill_at = 0;
  bool kill_after = false;
  int fail_at = 0;
  std::vector<int> changing_calls;       ///< Those that changed something.
  std::function<void(int)> before_call;  ///< Whatever a test wants to happen at call N.

  /// Each call of a port begins with it; may kill, may say that the call fails.
  Result<void> called();
  /// Each call that changed something ends with it.
  void called_after();
};

/// The key in SmallWorld::objects.
std::string id_of(const std::string& kind, const std::string& ns, const std::string& name);
std::string id_of(const nlohmann::json& object);

/// Optimistic concurrency, generation and finalizers; nothing else of an API.
class FakeApi : public ResourceClient {
 public:
  explicit FakeApi(SmallWorld& world) : world_(world) {}

  Result<nlohmann::json> get(const ObjectKey& key) override;
  Result<ResourceList> list(const std::string& kind, const ListOptions& options) override;
  Result<nlohmann::json> create(const nlohmann::json& object, const WriteOptions& options) override;
  Result<nlohmann::json> update(const nlohmann::json& object, const WriteOptions& options) override;
  Result<nlohmann::json> update_status(const nlohmann::json& object, const WriteOptions& options) override;
  Result<ApplyResult> apply(const nlohmann::json& object, const WriteOptions& options) override;
  Result<nlohmann::json> remove(const ObjectKey& key, const Preconditions& preconditions) override;
  Result<std::unique_ptr<Watch>> watch(const std::string& kind, const ListOptions& options,
                                       const std::string& version) override;
  Result<void> record(const EventRecord& event) override;

 private:
  Result<nlohmann::json> write(const nlohmann::json& object, const std::function<void(nlohmann::json&)>& change);

  SmallWorld& world_;
};

class FakeSecrets final : public Secrets {
 public:
  Result<std::string> resolve(const SecretRef&) override { return std::string("secret"); }
};

/// Makes engines out of what follows "unix:///".
class FakeFactory final : public EngineFactory {
 public:
  using Make = std::function<std::shared_ptr<Engine>(const std::string& host)>;
  explicit FakeFactory(Make make) : make_(std::move(make)) {}
  Result<std::shared_ptr<Engine>> make(const EngineEndpoint& endpoint) override {
    return make_(endpoint.endpoint.substr(std::string("unix:///").size()));
  }

 private:
  Make make_;
};

/// Calls that no test of this world looks at succeed and do nothing.
class QuietEngine : public Engine {
 public:
  Result<EngineInfo> info(const Limits&) override { return EngineInfo{}; }
  Result<void> stop_container(const std::string&, std::chrono::seconds, const Limits&) override { return {}; }
  Result<void> kill_container(const std::string&, const std::string&, const Limits&) override { return {}; }
  Result<void> set_restart_policy(const std::string&, const std::string&, int, const Limits&) override { return {}; }
  Result<void> pause_container(const std::string&, const Limits&) override { return {}; }
  Result<void> unpause_container(const std::string&, const Limits&) override { return {}; }
  Result<int> wait_container(const std::string&, const Limits&) override { return 0; }
  Result<void> follow_logs(const std::string&, const LogOptions&, const std::function<bool(const LogLine&)>&,
                           const Limits&) override {
    return {};
  }
  Result<ExecResult> exec(const std::string&, const ExecSpec&, const Limits&) override { return ExecResult{}; }
  Result<std::vector<ArchiveFile>> download(const std::string&, const std::string&, std::size_t,
                                            const Limits&) override {
    return std::vector<ArchiveFile>{};
  }
  Result<ImageInfo> inspect_image(const std::string&, const Limits&) override { return ImageInfo{}; }
  Result<void> pull_image(const std::string&, const std::optional<RegistryCredentials>&, const Limits&) override {
    return {};
  }
  Result<void> load_image(const ByteSource&, const Limits&) override { return {}; }
  Result<void> import_image(const ByteSource&, const std::string&, std::span<const std::string>,
                            const Limits&) override {
    return {};
  }
  Result<std::vector<VolumeInfo>> list_volumes(const Limits&) override { return std::vector<VolumeInfo>{}; }
  Result<VolumeInfo> create_volume(const std::string& name, const Labels&, const Limits& limits) override {
    return inspect_volume(name, limits);
  }
  Result<void> remove_volume(const std::string&, const Limits&) override { return {}; }
  Result<std::vector<VolumeInfo>> disk_usage(const Limits&) override { return std::vector<VolumeInfo>{}; }
  Result<void> events(const Labels&, const std::function<bool(const EngineEvent&)>&, const Limits&) override {
    return {};
  }
};

}  // namespace roadstead::testing
