#include "tests/unit/reconcilers_support/worker_world.h"

#include <algorithm>

#include "reconcilers/support/labels.h"

namespace roadstead::testing {

using Json = nlohmann::json;
using reconcilers::value_of;
namespace label = reconcilers::label;

std::string step_of(const Container& container) { return value_of(container.spec.labels, label::kStep); }

bool is_worker(const Container& container) {
  return value_of(container.spec.labels, label::kRole) == reconcilers::kWorkerRole;
}

Result<mover::Job> job_of(const Container& container) {
  const auto file = container.files.find(std::string(mover::kJobPath.substr(1)));
  if (file == container.files.end()) return fail(ErrorKind::NotFound, "{} has no job", container.spec.name);
  return mover::parse_job(file->second);
}

std::string mountpoint(const std::string& volume) { return "/var/lib/docker/volumes/" + volume + "/_data"; }

Json manifest(const std::string& kind, const std::string& name, Json spec, const std::string& ns) {
  Json object{{"apiVersion", "roadstead.dev/v1alpha1"},
              {"kind", kind},
              {"metadata", {{"name", name}}},
              {"spec", std::move(spec)}};
  if (!ns.empty()) object["metadata"]["namespace"] = ns;
  return object;
}

Json host_manifest(const std::string& name, const Json& data, bool keeps_backups) {
  Json spec{{"engine", {{"endpoint", "unix:///" + name}}}, {"data", data}};
  if (keeps_backups) spec["repository"] = {{"volume", "roadstead_repository"}};
  return manifest("Host", name, std::move(spec), "");
}

/// The operator's process: what is lost when it is killed.
struct WorkerWorld::Operator {
  explicit Operator(WorkerWorld& world)
      : factory([&world](const std::string& host) { return world.engine(host); }),
        hosts(world.api_, secrets, factory),
        images(hosts, {}),
        metrics(world.clock),
        context{world.api_,  hosts, images, secrets, metrics, world.clock, "default", "installation secret",
                world.http()},
        reconciler(world.reconciler(context)) {}

  FakeSecrets secrets;
  FakeFactory factory;
  reconcilers::Hosts hosts;
  reconcilers::Images images;
  Metrics metrics;
  reconcilers::Context context;
  std::unique_ptr<Reconciler> reconciler;
};

WorkerWorld::WorkerWorld(std::string kind, std::string usual)
    : clock(Time(std::chrono::seconds(1795392000))), kind_(std::move(kind)), usual_(std::move(usual)) {}

WorkerWorld::~WorkerWorld() = default;

void WorkerWorld::apply(Json object) {
  Json& metadata = object["metadata"];
  metadata["uid"] = "uid" + std::to_string(++version);
  metadata["resourceVersion"] = std::to_string(version);
  metadata["generation"] = 1;
  metadata["creationTimestamp"] = "2026-11-22T09:41:07Z";
  objects[id_of(object)] = object;
}

Json WorkerWorld::object(const std::string& kind, const std::string& name) const {
  const auto found = objects.find(id_of(kind, "default", name));
  return found == objects.end() ? Json() : found->second;
}

Json WorkerWorld::status(const std::string& name) const {
  const Json found = object(kind_, or_usual(name));
  return found.is_object() ? found.value("status", Json::object()) : Json::object();
}

Json WorkerWorld::condition(const std::string& type, const std::string& name) const {
  for (const auto& one : status(name).value("conditions", Json::array()))
    if (one.at("type") == type) return one;
  return Json::object();
}

std::string WorkerWorld::phase(const std::string& name) const { return status(name).value("phase", ""); }

void WorkerWorld::restart() { operator_.reset(); }

void WorkerWorld::lose_store() {
  std::vector<Json> manifests;
  for (const auto& [id, object] : objects)
    if (object.at("kind") == kind_) manifests.push_back(manifest(kind_, object["metadata"]["name"], object["spec"]));
  for (const auto& one : manifests) apply(one);
  restart();
}

Result<Action> WorkerWorld::look(const std::string& name) {
  if (!operator_) operator_ = std::make_unique<Operator>(*this);
  return operator_->reconciler->reconcile({kind_, "default", or_usual(name)}, {});
}

std::optional<Action> WorkerWorld::try_look(const std::string& name) {
  try {
    const auto action = look(name);
    return action ? std::optional(*action) : std::nullopt;
  } catch (const Killed&) {
    ++kills;
    if (kill_loses_store)
      lose_store();
    else
      restart();
    return std::nullopt;
  }
}

void WorkerWorld::wait_after(const std::optional<Action>& action) {
  clock.advance(action && action->requeue_after ? std::max(*action->requeue_after, Millis{1}) : Millis{1000});
}

bool WorkerWorld::run(const std::string& name, int limit) {
  for (int i = 0; i < limit; ++i) {
    const auto action = try_look(name);
    if (action && !action->requeue_after) return true;
    wait_after(action);
  }
  return false;
}

bool WorkerWorld::run_until(const std::function<bool()>& holds, const std::string& name, int limit) {
  for (int i = 0; i < limit && !holds(); ++i) {
    const auto action = try_look(name);
    if (!holds()) wait_after(action);
  }
  return holds();
}

int WorkerWorld::workers() {
  std::ptrdiff_t count = 0;
  for (const auto* engine : engines())
    count += std::ranges::count_if(engine->containers, [](const auto& one) { return is_worker(one.second); });
  return static_cast<int>(count);
}

void WorkerWorld::prune(const std::string& step, Pruned how) {
  before_call = [this, step, how](int) {
    if (pruned > 0) return;
    const auto is_meant = [&](const auto& one) {
      return one.second.state == ContainerState::Exited &&
             one.second.spec.name.find("-" + step + "-1") != std::string::npos;
    };
    for (auto* engine : engines()) {
      if (how == Pruned::Whole) {
        pruned += static_cast<int>(std::erase_if(engine->containers, is_meant));
        continue;
      }
      for (auto& one : engine->containers) {
        if (!is_meant(one)) continue;
        one.second.state = ContainerState::Dead;
        ++pruned;
      }
    }
  };
}

Result<std::string> WorkerEngine::create_container(const ContainerSpec& spec, const Limits&) {
  if (auto e = enter(); !e) return tl::unexpected(e.error());
  if (find(spec.name)) return fail(ErrorKind::Conflict, "name {} is taken", spec.name);
  if (auto allowed = creating(spec); !allowed) return tl::unexpected(allowed.error());
  Container container;
  container.id = world_.next_id();
  container.spec = spec;
  container.restart_policy = spec.restart_policy;
  const std::string id = container.id;
  state_.containers.emplace(id, std::move(container));
  world_.called_after();
  return id;
}

Result<void> WorkerEngine::start_container(const std::string& name, const Limits&) {
  auto found = enter(name);
  if (!found) return tl::unexpected(found.error());
  Container& container = **found;
  if (container.state == ContainerState::Running) return {};
  if (container.state == ContainerState::Dead)
    return fail(ErrorKind::Conflict, "container is marked for removal and cannot be started");
  if (auto allowed = starting(container); !allowed) return allowed;
  container.state = ContainerState::Running;
  container.started_at = world_.clock.now();
  container.looks_left = 2;
  started(container);
  world_.called_after();
  return {};
}

Result<void> WorkerEngine::stop_container(const std::string& name, std::chrono::seconds, const Limits&) {
  auto container = enter(name);
  if (!container) return tl::unexpected(container.error());
  stopping(**container);
  (*container)->state = ContainerState::Exited;
  world_.called_after();
  return {};
}

Result<void> WorkerEngine::kill_container(const std::string& name, const std::string&, const Limits& limits) {
  return stop_container(name, {}, limits);
}

Result<void> WorkerEngine::remove_container(const std::string& name, bool, const Limits&) {
  if (auto e = enter(); !e) return e;
  if (const Container* container = find(name)) {
    removing(*container);
    state_.containers.erase(std::string(container->id));
  }
  world_.called_after();
  return {};
}

Result<ContainerInfo> WorkerEngine::inspect_container(const std::string& name, const Limits&) {
  auto found = enter(name);
  if (!found) return tl::unexpected(found.error());
  Container& container = **found;
  if (container.state == ContainerState::Running && is_worker(container) && --container.looks_left <= 0)
    complete(container);
  ContainerInfo info;
  info.id = container.id;
  info.name = container.spec.name;
  info.state = container.state;
  info.exit_code = container.exit_code;
  info.labels = container.spec.labels;
  info.restart_policy = container.restart_policy;
  info.auto_remove = container.auto_remove;
  info.started_at = container.started_at;
  info.finished_at = container.finished_at;
  if (container.state == ContainerState::Running)
    for (const auto& port : container.spec.ports)
      info.published_ports[std::to_string(port.container) + "/tcp"] = port.host;
  return info;
}

Result<std::vector<ContainerSummary>> WorkerEngine::list_containers(const Labels& labels, const Limits&) {
  if (auto e = enter(); !e) return tl::unexpected(e.error());
  std::vector<ContainerSummary> all;
  for (const auto& [id, container] : state_.containers) {
    const bool fits = std::ranges::all_of(
        labels, [&](const auto& pair) { return value_of(container.spec.labels, pair.first) == pair.second; });
    if (!fits) continue;
    ContainerSummary one{id, container.spec.name, container.spec.image, container.state, container.spec.labels, {}};
    for (const auto& mount : container.spec.mounts) {
      const bool volume = mount.type == MountSpec::Type::Volume;
      one.mounts.push_back({volume ? "volume" : "bind", volume ? mount.source : "",
                            volume ? mountpoint(mount.source) : mount.source, mount.target, mount.read_only});
    }
    all.push_back(std::move(one));
  }
  return all;
}

Result<int> WorkerEngine::wait_container(const std::string& name, const Limits&) {
  auto found = enter(name);
  if (!found) return tl::unexpected(found.error());
  Container& container = **found;
  const bool patient = container.looks_left <= 2;  // whoever waits does not wait for those that take longer
  if (patient && container.state == ContainerState::Running && is_worker(container)) complete(container);
  return container.exit_code;
}

Result<std::vector<LogLine>> WorkerEngine::logs(const std::string& name, const LogOptions&, const Limits&) {
  const auto container = enter(name);
  if (!container) return tl::unexpected(container.error());
  if ((*container)->state == ContainerState::Dead)
    return fail(ErrorKind::Conflict, "can not get logs from container which is dead or marked for removal");
  std::vector<LogLine> lines;
  for (const auto& line : (*container)->log) lines.push_back({world_.clock.now(), false, line});
  return lines;
}

Result<void> WorkerEngine::upload(const std::string& name, const std::string&, std::span<const ArchiveFile> files,
                                  const Limits&) {
  auto container = enter(name);
  if (!container) return tl::unexpected(container.error());
  for (const auto& file : files) (*container)->files[file.path] = file.content;
  world_.called_after();
  return {};
}

Result<void> WorkerEngine::enter() {
  if (auto done = world_.called(); !done) return done;
  if (!state_.reachable) return fail(ErrorKind::Unavailable, "connection refused");
  return {};
}

Result<Container*> WorkerEngine::enter(const std::string& container) {
  if (auto e = enter(); !e) return tl::unexpected(e.error());
  if (Container* found = find(container)) return found;
  return fail(ErrorKind::NotFound, "no container {}", container);
}

Container* WorkerEngine::find(const std::string& name) {
  for (auto& [id, container] : state_.containers)
    if (id == name || container.spec.name == name) return &container;
  return nullptr;
}

void WorkerEngine::end(Container& worker, bool ok, const std::string& reason, const std::string& data) {
  worker.state = ContainerState::Exited;
  worker.exit_code = ok ? 0 : 1;
  worker.finished_at = world_.clock.now();
  worker.log.push_back(mover::to_json(mover::Line(mover::WorkerResult{ok, reason, reason + ".", "", data})));
}

std::pair<Container*, EngineState*> WorkerEngine::peer_of(const Container& mover) {
  static const std::map<std::string, std::string> kOther{
      {"send", "receive"}, {"receive", "send"}, {"source", "target"}, {"target", "source"}};
  const std::string step = step_of(mover);
  const auto dash = step.rfind('-') + 1;
  const std::string other = step.substr(0, dash) + kOther.at(step.substr(dash));
  const auto fits = [&](const Container& one) {
    return one.state == ContainerState::Running && step_of(one) == other &&
           std::ranges::all_of(std::array{label::kName, label::kItem, label::kAttempt}, [&](const auto& key) {
             return value_of(one.spec.labels, key) == value_of(mover.spec.labels, key);
           });
  };
  for (auto* engine : world_.engines())
    for (auto& [id, one] : engine->containers)
      if (fits(one)) return {&one, engine};
  return {nullptr, nullptr};
}

void WorkerEngine::no_peer(Container& mover) {
  constexpr int kPatience = 6;
  if (++mover.waits > kPatience) end(mover, false, "ConnectionLost");
}

}  // namespace roadstead::testing
