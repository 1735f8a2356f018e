#include "reconcilers/support/worker.h"

#include <algorithm>
#include <charconv>

#include "operator/base/text.h"
#include "reconcilers/support/labels.h"

namespace roadstead::reconcilers {
namespace {

// Container names are limited by what fits a host name in some tools; 120 is readable and safe everywhere.
constexpr std::size_t kNameLimit = 120;

std::string dotted(const WorkerId& id) {
  std::string out;
  for (const std::string* part : {&id.owner.ns, &id.owner.name, &id.item})
    if (!part->empty()) out += (out.empty() ? "" : ".") + *part;
  return out;
}

bool is_ours(const Labels& labels, const WorkerId& id) {
  const Labels wanted = worker_labels(id);
  return std::all_of(wanted.begin(), wanted.end(),
                     [&](const auto& pair) { return value_of(labels, pair.first) == pair.second; });
}

/// Another installation's (or a person's) container of our name is never touched.
bool is_of_this_installation(const Labels& labels, const WorkerId& id) {
  return value_of(labels, label::kInstallation) == id.installation;
}

WorkerState state_of(const ContainerInfo& info, const WorkerId& id) {
  if (!is_ours(info.labels, id)) return WorkerState::Stale;
  switch (info.state) {
    case ContainerState::Created:
      return WorkerState::Stale;
    case ContainerState::Running:
    case ContainerState::Paused:
    case ContainerState::Restarting:
      return WorkerState::Running;
    case ContainerState::Removing:
    case ContainerState::Dead:
      return WorkerState::Absent;
    case ContainerState::Exited:
      return WorkerState::Exited;
  }
  return WorkerState::Absent;
}

void read_lines(WorkerSeen& seen) {
  for (const LogLine& line : seen.tail) {
    if (line.error_stream) continue;
    auto parsed = mover::parse_line(line.text);
    if (!parsed) continue;
    if (auto* progress = std::get_if<mover::Progress>(&*parsed)) seen.progress = std::move(*progress);
    if (auto* result = std::get_if<mover::WorkerResult>(&*parsed)) seen.result = std::move(*result);
  }
}

Result<void> create_and_start(Engine& engine, const WorkerSpec& spec, const Limits& limits) {
  ContainerSpec container = spec.container;
  container.name = worker_name(spec.id);
  container.labels.merge(worker_labels(spec.id));
  container.restart_policy = "no";
  auto created = engine.create_container(container, limits);
  if (!created) return tl::unexpected(created.error());
  if (!spec.files.empty())
    if (auto done = engine.upload(*created, "/", spec.files, limits); !done) return done;
  return engine.start_container(*created, limits);
}

}  // namespace

bool exited_by_signal(int exit_code) {
  constexpr int kInterrupt = 130, kKill = 137, kTerminate = 143, kEngineRestarted = 255;
  return exit_code == kInterrupt || exit_code == kKill || exit_code == kTerminate || exit_code == kEngineRestarted;
}

std::string worker_name(const WorkerId& id) {
  const std::string tail = fmt::format("-{}-{}", id.step, id.attempt);
  const std::string head = fmt::format("roadstead-{}-{}-{}", id.installation, lower(id.owner.kind), dotted(id));
  return shortened(head, kNameLimit - tail.size()) + tail;
}

Labels worker_labels(const WorkerId& id) {
  Labels labels = owner_labels(id.installation, id.owner);
  labels[std::string(label::kRole)] = kWorkerRole;
  labels[std::string(label::kItem)] = id.item;
  labels[std::string(label::kStep)] = id.step;
  labels[std::string(label::kAttempt)] = std::to_string(id.attempt);
  labels[std::string(label::kSpecHash)] = id.spec_hash;
  return labels;
}

Result<WorkerSeen> observe_worker(Engine& engine, const WorkerId& id, const Limits& limits, int tail_lines) {
  const std::string name = worker_name(id);
  auto info = engine.inspect_container(name, limits);
  if (!info) {
    if (info.error().kind == ErrorKind::NotFound) return WorkerSeen{};
    return tl::unexpected(info.error());
  }
  WorkerSeen seen;
  seen.state = state_of(*info, id);
  seen.id = info->id;
  seen.attempt = id.attempt;
  seen.exit_code = info->exit_code;
  seen.oom_killed = info->oom_killed;
  seen.error = info->error;
  seen.started_at = info->started_at;
  seen.finished_at = info->finished_at;
  if (seen.state != WorkerState::Running && seen.state != WorkerState::Exited) return seen;
  auto lines = engine.logs(info->id, {.tail = tail_lines, .since = std::nullopt}, limits);
  // Removed between the two calls, or being removed: Absent, like any other vanished worker.
  if (!lines && lines.error().kind == ErrorKind::NotFound) return WorkerSeen{};
  if (!lines && lines.error().kind == ErrorKind::Conflict) return WorkerSeen{.id = info->id};
  if (!lines) return tl::unexpected(lines.error());
  seen.tail = std::move(*lines);
  read_lines(seen);
  seen.interrupted =
      seen.state == WorkerState::Exited && !seen.oom_killed &&
      (seen.result ? !seen.result->ok && seen.result->reason == "Cancelled" : exited_by_signal(seen.exit_code));
  return seen;
}

Result<WorkerSeen> ensure_worker(Engine& engine, const WorkerSpec& spec, const Limits& limits) {
  auto seen = observe_worker(engine, spec.id, limits);
  if (!seen || seen->state == WorkerState::Running || seen->state == WorkerState::Exited) return seen;
  if (!seen->id.empty()) {  // what is stale, or half removed, still has the name
    auto info = engine.inspect_container(seen->id, limits);
    if (info && !is_of_this_installation(info->labels, spec.id))
      return fail(ErrorKind::Conflict,
                  "a container named {} exists that is not of installation {}; rename or remove it",
                  worker_name(spec.id), spec.id.installation);
    if (auto removed = engine.remove_container(seen->id, true, limits); !removed)
      return tl::unexpected(removed.error());
  }
  if (auto made = create_and_start(engine, spec, limits); !made) return tl::unexpected(made.error());
  return observe_worker(engine, spec.id, limits);
}

Result<void> remove_worker(Engine& engine, const WorkerId& id, std::chrono::seconds grace, const Limits& limits) {
  const std::string name = worker_name(id);
  auto info = engine.inspect_container(name, limits);
  if (!info) {
    if (info.error().kind == ErrorKind::NotFound) return {};
    return tl::unexpected(info.error());
  }
  if (!is_of_this_installation(info->labels, id)) return {};
  if (info->state == ContainerState::Running && grace.count() > 0)
    if (auto stopped = engine.stop_container(info->id, grace, limits);
        !stopped && stopped.error().kind != ErrorKind::NotFound)
      return stopped;
  return engine.remove_container(info->id, true, limits);
}

Result<void> remove_workers_of(Engine& engine, const std::string& installation, const ObjectKey& owner,
                               const std::string& keep_step, const Limits& limits) {
  Labels labels = owner_labels(installation, owner);
  labels[std::string(label::kRole)] = kWorkerRole;
  auto all = engine.list_containers(labels, limits);
  if (!all) return tl::unexpected(all.error());
  for (const ContainerSummary& container : *all) {
    if (!keep_step.empty() && value_of(container.labels, label::kStep) == keep_step) continue;
    if (auto removed = engine.remove_container(container.id, true, limits); !removed) return removed;
  }
  return {};
}

Result<int> highest_attempt(Engine& engine, const WorkerId& id, const Limits& limits) {
  Labels labels = worker_labels(id);
  labels.erase(std::string(label::kAttempt));
  labels.erase(std::string(label::kSpecHash));
  auto all = engine.list_containers(labels, limits);
  if (!all) return tl::unexpected(all.error());
  int highest = 0;
  for (const ContainerSummary& container : *all) {
    const std::string text = value_of(container.labels, label::kAttempt);
    int attempt = 0;
    std::from_chars(text.data(), text.data() + text.size(), attempt);
    highest = std::max(highest, attempt);
  }
  return highest;
}

Result<int> running_workers(Engine& engine, const std::string& installation, const Limits& limits) {
  auto all = engine.list_containers(
      {{std::string(label::kInstallation), installation}, {std::string(label::kRole), std::string(kWorkerRole)}},
      limits);
  if (!all) return tl::unexpected(all.error());
  return static_cast<int>(std::count_if(all->begin(), all->end(),
                                        [](const ContainerSummary& c) { return c.state == ContainerState::Running; }));
}

}  // namespace roadstead::reconcilers
