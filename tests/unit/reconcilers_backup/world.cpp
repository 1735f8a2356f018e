#include "tests/unit/reconcilers_backup/world.h"

#include <algorithm>

#include "reconcilers/backup/reconciler.h"

namespace roadstead::testing {
namespace {

using Json = nlohmann::json;

class FakeHttp final : public HttpHooks {
 public:
  explicit FakeHttp(World& world) : world_(world) {}
  Result<HttpHookAnswer> send(const HttpHookRequest& request, std::stop_token) override {
    if (auto done = world_.called(); !done) return tl::unexpected(done.error());
    world_.history.push_back(request.method + " " + request.url);
    world_.called_after();
    return HttpHookAnswer{world_.http_status, "sorry"};
  }

 private:
  World& world_;
};

}  // namespace

Json policy_manifest(const std::vector<std::string>& volumes, const std::vector<std::string>& destinations,
                     bool hooks) {
  Json spec{{"source", {{"hostRef", {{"name", "production2"}}}, {"volumes", Json::array()}}},
            {"destinations", Json::array()},
            {"schedule", {{"cron", "@daily"}}}};
  for (const auto& volume : volumes) spec["source"]["volumes"].push_back({{"name", volume}});
  for (const auto& host : destinations) spec["destinations"].push_back({{"hostRef", {{"name", host}}}});
  if (hooks)
    spec["source"]["hooks"] = {
        {"before", {{{"name", "save"}, {"exec", {{"container", "app"}, {"command", {"save", "now"}}}}}}},
        {"after", {{{"name", "resume"}, {"exec", {{"container", "app"}, {"command", {"resume"}}}}}}}};
  return manifest("BackupPolicy", "outpack", std::move(spec));
}

Json backup_manifest(const std::string& name, const std::string& policy) {
  return manifest("Backup", name, {{"policyRef", {{"name", policy}}}});
}

World::World() : WorkerWorld("Backup", "nightly"), http_(std::make_unique<FakeHttp>(*this)) {
  for (const char* name : {"production2", "annex2", "offsite"}) hosts[name].name = name;
  for (const Json& host : {host_manifest("production2", {{"address", "10.0.0.1"}}, false),
                           host_manifest("annex2", {{"address", "10.0.0.2"}, {"ports", "10022-10031"}}, true),
                           host_manifest("offsite", {{"address", "10.0.0.3"}, {"ports", "10022-10031"}}, true)})
    apply(host);
  hosts["production2"].volumes = {{"outpack", 1000}, {"logs", 200}};
  for (const char* name : {"annex2", "offsite"}) hosts[name].volumes["roadstead_repository"] = 0;
  Container app;
  app.id = next_id();
  app.spec.name = "app";
  app.state = ContainerState::Running;
  hosts["production2"].containers[app.id] = app;
}

void World::remove(const std::string& name) {
  Json& stored = objects.at(id_of("Backup", "default", name));
  if (stored["metadata"].value("finalizers", Json::array()).empty()) {
    objects.erase(id_of("Backup", "default", name));
    return;
  }
  stored["metadata"]["deletionTimestamp"] = "2026-11-22T10:00:00Z";
  stored["metadata"]["resourceVersion"] = std::to_string(++version);
}

std::vector<std::string> World::kept(const std::string& host, const std::string& directory) const {
  std::vector<std::string> ids;
  const auto& repository = hosts.at(host).repository;
  const auto found = repository.find(directory);
  if (found == repository.end()) return ids;
  for (const auto& snapshot : found->second) ids.push_back(snapshot.id);
  return ids;
}

int World::times(const std::string& what) const { return static_cast<int>(std::ranges::count(history, what)); }

std::vector<EngineState*> World::engines() {
  std::vector<EngineState*> all;
  for (auto& [name, host] : hosts) all.push_back(&host);
  return all;
}

std::unique_ptr<Reconciler> World::reconciler(reconcilers::Context& context) {
  return reconcilers::make_backup_reconciler(context);
}

}  // namespace roadstead::testing
