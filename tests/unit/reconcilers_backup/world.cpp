#include "tests/unit/reconcilers_backup/world.h"

#include <algorithm>

#include "reconcilers/backup/reconciler.h"
#include "reconcilers/support/labels.h"

namespace roadstead::testing {
namespace {

using Json = nlohmann::json;

std::string id_of(const std::string& kind, const std::string& ns, const std::string& name) {
  return kind + "/" + ns + "/" + name;
}
std::string id_of(const Json& object) {
  const auto& metadata = object.at("metadata");
  return id_of(object.at("kind"), metadata.value("namespace", ""), metadata.at("name"));
}

/// Optimistic concurrency, generation and finalizers; nothing else of an API.
class FakeApi final : public ResourceClient {
 public:
  explicit FakeApi(World& world) : world_(world) {}

  Result<Json> get(const ObjectKey& key) override {
    if (auto done = world_.called(); !done) return tl::unexpected(done.error());
    const auto found = world_.objects.find(id_of(key.kind, key.ns, key.name));
    if (found == world_.objects.end()) return fail(ErrorKind::NotFound, "{} is not there", to_string(key));
    return found->second;
  }
  Result<ResourceList> list(const std::string& kind, const ListOptions&) override {
    if (auto done = world_.called(); !done) return tl::unexpected(done.error());
    ResourceList all;
    for (const auto& [id, object] : world_.objects)
      if (object.at("kind") == kind) all.items.push_back(object);
    return all;
  }
  Result<Json> create(const Json&, const WriteOptions&) override { return fail(ErrorKind::Internal, "not used"); }
  Result<Json> update(const Json& object, const WriteOptions&) override {
    return write(object, [&](Json& stored) {
      stored["spec"] = object["spec"];
      stored["metadata"]["labels"] = object["metadata"].value("labels", Json::object());
      stored["metadata"]["finalizers"] = object["metadata"].value("finalizers", Json::array());
    });
  }
  Result<Json> update_status(const Json& object, const WriteOptions&) override {
    return write(object, [&](Json& stored) { stored["status"] = object["status"]; });
  }
  Result<ApplyResult> apply(const Json&, const WriteOptions&) override { return fail(ErrorKind::Internal, "not used"); }
  Result<Json> remove(const ObjectKey&, const Preconditions&) override { return fail(ErrorKind::Internal, "not used"); }
  Result<std::unique_ptr<Watch>> watch(const std::string&, const ListOptions&, const std::string&) override {
    return fail(ErrorKind::Internal, "not used");
  }
  Result<void> record(const EventRecord& event) override {
    world_.events.push_back(event.reason);
    return {};
  }

 private:
  Result<Json> write(const Json& object, const std::function<void(Json&)>& change) {
    if (auto done = world_.called(); !done) return tl::unexpected(done.error());
    const auto found = world_.objects.find(id_of(object));
    if (found == world_.objects.end()) return fail(ErrorKind::NotFound, "it is gone");
    Json& stored = found->second;
    if (stored["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"])
      return fail(ErrorKind::Conflict, "stale");
    const Json before = stored;
    change(stored);
    if (stored != before) stored["metadata"]["resourceVersion"] = std::to_string(++world_.version);
    Json answer = stored;
    if (stored["metadata"].contains("deletionTimestamp") &&
        stored["metadata"].value("finalizers", Json::array()).empty())
      world_.objects.erase(found);
    world_.called_after();
    return answer;
  }

  World& world_;
};

class FakeSecrets final : public Secrets {
 public:
  Result<std::string> resolve(const SecretRef&) override { return std::string("secret"); }
};

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

class FakeFactory final : public EngineFactory {
 public:
  explicit FakeFactory(World& world) : world_(world) {}
  Result<std::shared_ptr<Engine>> make(const EngineEndpoint& endpoint) override {
    return make_engine(world_, endpoint.endpoint.substr(std::string("unix:///").size()));
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
        factory(world),
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

Result<void> World::called() {
  ++calls;
  if (before_call) before_call(calls);
  if (calls == kill_at && !kill_after) throw Killed{};
  if (calls == fail_at) return fail(ErrorKind::Unavailable, "broken on purpose");
  return {};
}

void World::called_after() {
  changing_calls.push_back(calls);
  if (calls == kill_at && kill_after) throw Killed{};
}

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
