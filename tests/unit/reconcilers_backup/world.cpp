#include "tests/unit/reconcilers_backup/world.h"

#include <algorithm>

#include "reconcilers/backup/reconciler.h"
#include "reconcilers/support/labels.h"

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

Json host_object(const std::string& name, const Json& data, bool keeps_backups) {
  Json spec{{"engine", {{"endpoint", "unix:///" + name}}}, {"data", data}};
  if (keeps_backups) spec["repository"] = {{"volume", "roadstead_repository"}};
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "Host"},
          {"metadata", {{"name", name}, {"generation", 1}, {"resourceVersion", "1"}}},
          {"spec", spec}};
}

}  // namespace

/// The operator's process: what is lost when it is killed.
struct World::Operator {
  explicit Operator(World& world)
      : http(world),
        factory([&world](const std::string& host) { return make_engine(world, host); }),
        hosts(*world.api_, secrets, factory),
        images(hosts, {}),
        metrics(world.clock),
        context{*world.api_, hosts, images, secrets, metrics, world.clock, "default", "installation secret", &http},
        reconciler(reconcilers::make_backup_reconciler(context)) {}

  FakeSecrets secrets;
  FakeHttp http;
  FakeFactory factory;
  reconcilers::Hosts hosts;
  reconcilers::Images images;
  Metrics metrics;
  reconcilers::Context context;
  std::unique_ptr<Reconciler> reconciler;
};

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
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "BackupPolicy"},
          {"metadata", {{"name", "outpack"}, {"namespace", "default"}}},
          {"spec", spec}};
}

Json backup_manifest(const std::string& name, const std::string& policy) {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "Backup"},
          {"metadata", {{"name", name}, {"namespace", "default"}}},
          {"spec", {{"policyRef", {{"name", policy}}}}}};
}

World::World() : clock(Time(std::chrono::seconds(1795392000))) {
  for (const char* name : {"production2", "annex2", "offsite"}) hosts[name].name = name;
  for (const Json& host : {host_object("production2", {{"address", "10.0.0.1"}}, false),
                           host_object("annex2", {{"address", "10.0.0.2"}, {"ports", "10022-10031"}}, true),
                           host_object("offsite", {{"address", "10.0.0.3"}, {"ports", "10022-10031"}}, true)})
    objects[id_of(host)] = host;
  hosts["production2"].volumes = {{"outpack", 1000}, {"logs", 200}};
  for (const char* name : {"annex2", "offsite"}) hosts[name].volumes["roadstead_repository"] = 0;
  Container app;
  app.id = next_id();
  app.spec.name = "app";
  app.state = ContainerState::Running;
  hosts["production2"].containers[app.id] = app;
  api_ = std::make_unique<FakeApi>(*this);
  restart();
}

World::~World() = default;

void World::restart() { operator_ = std::make_unique<Operator>(*this); }

void World::apply(Json object) {
  object["metadata"]["uid"] = "uid" + std::to_string(++version);
  object["metadata"]["resourceVersion"] = std::to_string(version);
  object["metadata"]["generation"] = 1;
  object["metadata"]["creationTimestamp"] = "2026-11-22T09:41:07Z";
  objects[id_of(object)] = object;
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

Json World::object(const std::string& kind, const std::string& name) const {
  const auto found = objects.find(id_of(kind, "default", name));
  return found == objects.end() ? Json() : found->second;
}

Json World::status(const std::string& name) const {
  const Json found = backup(name);
  return found.is_object() ? found.value("status", Json::object()) : Json::object();
}

Json World::condition(const std::string& type, const std::string& name) const {
  for (const auto& one : status(name).value("conditions", Json::array()))
    if (one.at("type") == type) return one;
  return Json::object();
}

std::string World::phase(const std::string& name) const { return status(name).value("phase", ""); }

void World::lose_store() {
  std::vector<Json> manifests;
  for (const auto& [id, object] : objects)
    if (object.at("kind") == "Backup")
      manifests.push_back({{"apiVersion", object["apiVersion"]},
                           {"kind", object["kind"]},
                           {"metadata", {{"name", object["metadata"]["name"]}, {"namespace", "default"}}},
                           {"spec", object["spec"]}});
  for (const auto& manifest : manifests) apply(manifest);
  restart();
}

Result<Action> World::look(const std::string& name) {
  return operator_->reconciler->reconcile({"Backup", "default", name}, {});
}

bool World::run_until(const std::function<bool()>& holds, const std::string& name, int limit) {
  for (int i = 0; i < limit; ++i) {
    if (holds()) return true;
    try {
      auto action = look(name);
      clock.advance(action && action->requeue_after ? std::max(*action->requeue_after, Millis{1}) : Millis{1000});
    } catch (const Killed&) {
      clock.advance(Millis{1000});
      restart();
    }
  }
  return holds();
}

bool World::run(const std::string& name, int limit) {
  bool settled = false;
  for (int i = 0; i < limit && !settled; ++i) {
    try {
      auto action = look(name);
      settled = action && !action->requeue_after;
      clock.advance(action && action->requeue_after ? std::max(*action->requeue_after, Millis{1}) : Millis{1000});
    } catch (const Killed&) {
      clock.advance(Millis{1000});
      restart();
    }
  }
  return settled;
}

int World::workers() const {
  int count = 0;
  for (const auto& [name, host] : hosts)
    for (const auto& [id, container] : host.containers)
      if (reconcilers::value_of(container.spec.labels, reconcilers::label::kRole) == reconcilers::kWorkerRole) ++count;
  return count;
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

}  // namespace roadstead::testing
