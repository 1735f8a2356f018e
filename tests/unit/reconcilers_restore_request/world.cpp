#include "tests/unit/reconcilers_restore_request/world.h"

#include <algorithm>

#include "reconcilers/restore_request/reconciler.h"
#include "reconcilers/support/barman.h"
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
      if (stored["spec"] != object["spec"])
        stored["metadata"]["generation"] = stored["metadata"]["generation"].get<int>() + 1;
      stored["spec"] = object["spec"];
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
  Result<void> record(const EventRecord&) override { return {}; }

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

class FakeFactory final : public EngineFactory {
 public:
  explicit FakeFactory(World& world) : world_(world) {}
  Result<std::shared_ptr<Engine>> make(const EngineEndpoint& endpoint) override {
    return make_engine(world_, endpoint.endpoint.substr(std::string("unix:///").size()));
  }

 private:
  World& world_;
};

Json host_object(const std::string& name, const Json& data) {
  Json spec{{"engine", {{"endpoint", "unix:///" + name}}}};
  if (!data.is_null()) spec["data"] = data;
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "Host"},
          {"metadata", {{"name", name}, {"generation", 1}, {"resourceVersion", "1"}}},
          {"spec", spec}};
}

Json barman_object() {
  const auto user = [](const char* name) { return Json{{"name", name}, {"passwordRef", {{"env", "PASSWORD"}}}}; };
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "BarmanServer"},
          {"metadata", {{"name", "montagu"}, {"namespace", "default"}, {"generation", 1}, {"resourceVersion", "1"}}},
          {"spec",
           {{"hostRef", {{"name", "annex2"}}},
            {"image", "roadstead/barman:3.19-pg17"},
            {"source",
             {{"hostRef", {{"name", "production2"}}},
              {"slotName", "barman"},
              {"backupUser", user("barman")},
              {"streamingUser", user("streaming_barman")}}},
            {"postgres", {{"image", "montagu-db"}, {"dataDirectory", "/pgdata"}}},
            {"volumes", {{"data", "barman_data"}, {"recover", "barman_recover"}}}}}};
}

Json policy_object() {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "BackupPolicy"},
          {"metadata", {{"name", "outpack"}, {"namespace", "default"}, {"generation", 1}, {"resourceVersion", "1"}}},
          {"spec",
           {{"source", {{"hostRef", {{"name", "production2"}}}, {"volumes", {{{"name", "outpack"}}}}}},
            {"destinations", {{{"hostRef", {{"name", "annex2"}}}}}},
            {"schedule", {{"cron", "@daily"}}}}}};
}

}  // namespace

std::string content_of_snapshot(const std::string& id) { return "snapshot " + id; }

std::unique_ptr<ResourceClient> make_api(World& world) { return std::make_unique<FakeApi>(world); }

/// The operator's process: what is lost when it is killed.
struct World::Operator {
  explicit Operator(World& world)
      : factory(world),
        hosts(*world.api_, secrets, factory),
        images(hosts, {}),
        metrics(world.clock),
        context{*world.api_, hosts, images, secrets, metrics, world.clock, "default", "installation secret"},
        reconciler(reconcilers::make_restore_request_reconciler(context)) {}

  FakeSecrets secrets;
  FakeFactory factory;
  reconcilers::Hosts hosts;
  reconcilers::Images images;
  Metrics metrics;
  reconcilers::Context context;
  std::unique_ptr<Reconciler> reconciler;
};

Json request_manifest(const std::string& name) {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "RestoreRequest"},
          {"metadata", {{"name", name}, {"namespace", "default"}}},
          {"spec",
           {{"target", {{"hostRef", {{"name", "uat"}}}}},
            {"items",
             {{{"name", "db"},
               {"from", {{"barman", {{"serverRef", {{"name", "montagu"}}}, {"point", {{"latest", true}}}}}}},
               {"to", {{"volume", "montagu_db_volume"}}}}}},
            {"applications", {{"stop", {{"composeProjects", {"montagu"}}}}}},
            {"checks",
             {{{"name", "rows"},
               {"sql",
                {{"container", "montagu-db"},
                 {"database", "montagu"},
                 {"user", "vimc"},
                 {"query", "select true"},
                 {"expect", "t"}}}}}}}}};
}

Json volume_manifest(const std::string& name) {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "RestoreRequest"},
          {"metadata", {{"name", name}, {"namespace", "default"}}},
          {"spec",
           {{"target", {{"hostRef", {{"name", "uat"}}}}},
            {"items",
             {{{"name", "files"},
               {"from", {{"backupPolicyRef", {{"name", "outpack"}}}, {"volume", "outpack"}}},
               {"to", {{"volume", "outpack"}}}}}},
            {"keepPreviousSeconds", 0}}}};
}

World::World() : clock(Time(std::chrono::seconds(1795392000))) {
  for (const char* name : {"production2", "annex2", "uat"}) hosts[name].name = name;
  for (const Json& host : {host_object("production2", {{"address", "10.0.0.1"}}),
                           host_object("annex2", {{"address", "10.0.0.2"}, {"ports", "10022-10031"}}),
                           host_object("uat", {{"address", "10.0.0.3"}})})
    objects[id_of(host)] = host;
  const Json barman = barman_object();
  objects[id_of(barman)] = barman;
  hosts["annex2"].volumes["barman_data"] = {"barman_data", {}, {next_inode(), "barman", true}, false, {}};
  hosts["annex2"].volumes["barman_recover"] = {"barman_recover", {}, {next_inode(), "recover", true}, false, {}};
  hosts["uat"].volumes["montagu_db_volume"] = {"montagu_db_volume", {}, {next_inode(), "old", true}, true, {}};

  objects["Host//annex2"]["spec"]["repository"] = {{"volume", "roadstead_repository"}};
  const Json outpack = policy_object();
  objects[id_of(outpack)] = outpack;
  hosts["annex2"].volumes["roadstead_repository"] = {
      "roadstead_repository", {}, {next_inode(), "repository", true}, false, {}};
  hosts["uat"].volumes["outpack"] = {"outpack", {}, {next_inode(), "old", true}, true, {}};
  const auto add = [&](const char* host, const std::string& name, const std::string& policy,
                       std::vector<MountSpec> mounts, Labels labels) {
    Container container;
    container.id = next_id();
    container.spec.name = name;
    container.spec.mounts = std::move(mounts);
    container.spec.labels = std::move(labels);
    container.restart_policy = policy;
    container.state = ContainerState::Running;
    container.started_at = clock.now();
    hosts.at(host).containers[container.id] = container;
  };
  add("uat", "montagu-db", "unless-stopped", {{MountSpec::Type::Volume, "montagu_db_volume", "/pgdata", false}}, {});
  add("uat", "montagu-web", "always", {},
      {{"com.docker.compose.project", "montagu"},
       {"com.docker.compose.service", "web"},
       {"com.docker.compose.container-number", "1"}});
  add("uat", "bystander", "always", {}, {});
  add("uat", "outpack-server", "unless-stopped", {{MountSpec::Type::Volume, "outpack", "/outpack", false}}, {});
  add("annex2", "roadstead-default-barmanserver-default.montagu-standing", "unless-stopped", {},
      {{std::string(reconcilers::label::kRole), std::string(reconcilers::kStandingRole)}});
  api_ = make_api(*this);
  restart();
}

World::~World() = default;

void World::add_snapshot(const std::string& backup, std::chrono::seconds age, const std::string& host) {
  mover::SnapshotSeen seen;
  seen.id = mover::snapshot_id("default", backup);
  seen.origin = mover::to_json(mover::Origin{"default", "default", backup, "outpack", "production2", "outpack", {}});
  seen.data_as_of = seen.finished_at = clock.now() - age;
  seen.logical_bytes = seen.data_bytes = kDatabaseBytes;
  seen.files = seen.entries = 7;
  snapshots[host + ":production2/outpack"].push_back(std::move(seen));
}

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

Json World::request(const std::string& name) const {
  const auto found = objects.find(id_of("RestoreRequest", "default", name));
  return found == objects.end() ? Json() : found->second;
}

void World::patch_spec(const std::string& name, const std::string& field, Json value) {
  Json& object = objects.at(id_of("RestoreRequest", "default", name));
  object["spec"][field] = std::move(value);
  object["metadata"]["generation"] = object["metadata"]["generation"].get<int>() + 1;
  object["metadata"]["resourceVersion"] = std::to_string(++version);
}

void World::lose_store() {
  std::vector<Json> manifests;
  for (const auto& [id, object] : objects)
    if (object.at("kind") == "RestoreRequest")
      manifests.push_back({{"apiVersion", object["apiVersion"]},
                           {"kind", object["kind"]},
                           {"metadata", {{"name", object["metadata"]["name"]}, {"namespace", "default"}}},
                           {"spec", object["spec"]}});
  for (const auto& manifest : manifests) apply(manifest);
  restart();
}

Result<Action> World::look(const std::string& name) {
  return operator_->reconciler->reconcile({"RestoreRequest", "default", name}, {});
}

bool World::run(const std::string& name, int limit) {
  for (int i = 0; i < limit; ++i) {
    try {
      auto action = look(name);
      if (action && !action->requeue_after) return true;
      clock.advance(action && action->requeue_after ? std::max(*action->requeue_after, Millis{1}) : Millis{1000});
    } catch (const Killed&) {
      clock.advance(Millis{1000});
      restart();
    }
  }
  return false;
}

bool World::run_until_step(const std::string& step, const std::string& name) {
  for (int i = 0; i < 400; ++i) {
    bool there = false;
    before_call = [&](int) {
      const Json now = request(name);
      for (const auto& entry : now.value("status", Json::object()).value("steps", Json::array()))
        if (entry.at("name") == step) there = true;
      if (there) throw Killed{};
    };
    try {
      auto action = look(name);
      before_call = nullptr;
      clock.advance(action && action->requeue_after ? std::max(*action->requeue_after, Millis{1}) : Millis{1000});
    } catch (const Killed&) {
      before_call = nullptr;
      restart();
      return true;
    }
  }
  before_call = nullptr;
  return false;
}

std::string World::phase(const std::string& name) const {
  return request(name).value("status", Json::object()).value("phase", "");
}

Json World::condition(const std::string& type, const std::string& name) const {
  const Json now = request(name);
  for (const auto& one : now.value("status", Json::object()).value("conditions", Json::array()))
    if (one.at("type") == type) return one;
  return Json::object();
}

Container& World::application(const std::string& name) {
  for (auto& [id, container] : hosts.at("uat").containers)
    if (container.spec.name == name) return container;
  throw std::logic_error("no application " + name);
}

bool World::applications_run() {
  const auto is = [&](const char* name, const char* policy) {
    const Container& one = application(name);
    return one.state == ContainerState::Running && one.restart_policy == policy;
  };
  return is("montagu-db", "unless-stopped") && is("outpack-server", "unless-stopped") && is("montagu-web", "always") &&
         is("bystander", "always");
}

int World::workers() const {
  int count = 0;
  for (const auto& [name, host] : hosts)
    for (const auto& [id, container] : host.containers)
      if (reconcilers::value_of(container.spec.labels, reconcilers::label::kRole) == reconcilers::kWorkerRole) ++count;
  return count;
}

}  // namespace roadstead::testing
