#include "tests/unit/reconcilers_restore_request/world.h"

#include <algorithm>

#include "reconcilers/restore_request/reconciler.h"
#include "reconcilers/support/barman.h"
#include "reconcilers/support/labels.h"

namespace roadstead::testing {
namespace {

using Json = nlohmann::json;

Json barman_manifest() {
  const auto user = [](const char* name) { return Json{{"name", name}, {"passwordRef", {{"env", "PASSWORD"}}}}; };
  return manifest("BarmanServer", "montagu",
                  {{"hostRef", {{"name", "annex2"}}},
                   {"image", "roadstead/barman:3.19-pg17"},
                   {"source",
                    {{"hostRef", {{"name", "production2"}}},
                     {"slotName", "barman"},
                     {"backupUser", user("barman")},
                     {"streamingUser", user("streaming_barman")}}},
                   {"postgres", {{"image", "montagu-db"}, {"dataDirectory", "/pgdata"}}},
                   {"volumes", {{"data", "barman_data"}, {"recover", "barman_recover"}}}});
}

Json policy_manifest() {
  return manifest("BackupPolicy", "outpack",
                  {{"source", {{"hostRef", {{"name", "production2"}}}, {"volumes", {{{"name", "outpack"}}}}}},
                   {"destinations", {{{"hostRef", {{"name", "annex2"}}}}}},
                   {"schedule", {{"cron", "@daily"}}}});
}

}  // namespace

std::string content_of_snapshot(const std::string& id) { return "snapshot " + id; }

Json request_manifest(const std::string& name) {
  return manifest("RestoreRequest", name,
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
                        {"expect", "t"}}}}}}});
}

Json volume_manifest(const std::string& name) {
  return manifest("RestoreRequest", name,
                  {{"target", {{"hostRef", {{"name", "uat"}}}}},
                   {"items",
                    {{{"name", "files"},
                      {"from", {{"backupPolicyRef", {{"name", "outpack"}}}, {"volume", "outpack"}}},
                      {"to", {{"volume", "outpack"}}}}}},
                   {"keepPreviousSeconds", 0}});
}

World::World() : WorkerWorld("RestoreRequest", "uat-november") {
  for (const char* name : {"production2", "annex2", "uat"}) hosts[name].name = name;
  for (const Json& one : {host_manifest("production2", {{"address", "10.0.0.1"}}, false),
                          host_manifest("annex2", {{"address", "10.0.0.2"}, {"ports", "10022-10031"}}, true),
                          host_manifest("uat", {{"address", "10.0.0.3"}}, false), barman_manifest(), policy_manifest()})
    apply(one);
  const auto add_volume = [&](const char* host, const std::string& name, const std::string& content, bool used) {
    hosts.at(host).volumes[name] = {name, {}, {next_inode(), content, true}, used, {}};
  };
  add_volume("annex2", "barman_data", "barman", false);
  add_volume("annex2", "barman_recover", "recover", false);
  add_volume("annex2", "roadstead_repository", "repository", false);
  add_volume("uat", "montagu_db_volume", "old", true);
  add_volume("uat", "outpack", "old", true);
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
}

void World::add_snapshot(const std::string& backup, std::chrono::seconds age, const std::string& host) {
  mover::SnapshotSeen seen;
  seen.id = mover::snapshot_id("default", backup);
  seen.origin = mover::to_json(mover::Origin{"default", "default", backup, "outpack", "production2", "outpack", {}});
  seen.data_as_of = seen.finished_at = clock.now() - age;
  seen.logical_bytes = seen.data_bytes = kDatabaseBytes;
  seen.files = seen.entries = 7;
  snapshots[host + ":production2/outpack"].push_back(std::move(seen));
}

void World::patch_spec(const std::string& name, const std::string& field, Json value) {
  Json& object = objects.at(id_of("RestoreRequest", "default", name));
  object["spec"][field] = std::move(value);
  object["metadata"]["generation"] = object["metadata"]["generation"].get<int>() + 1;
  object["metadata"]["resourceVersion"] = std::to_string(++version);
}

bool World::kill_once(const std::function<bool()>& holds) {
  before_call = [&](int) {
    if (holds()) throw Killed{};
  };
  const bool reached = run_until(holds);
  before_call = nullptr;
  restart();
  return reached;
}

bool World::run_until_step(const std::string& step) {
  return kill_once([&] {
    return std::ranges::any_of(status().value("steps", Json::array()),
                               [&](const Json& entry) { return entry.at("name") == step; });
  });
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

std::vector<EngineState*> World::engines() {
  std::vector<EngineState*> all;
  for (auto& [name, host] : hosts) all.push_back(&host);
  return all;
}

std::unique_ptr<Reconciler> World::reconciler(reconcilers::Context& context) {
  return reconcilers::make_restore_request_reconciler(context);
}

}  // namespace roadstead::testing
