#include "reconcilers/backup/volume_worker.h"

#include "operator/base/hash.h"
#include "operator/base/log.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::backup {
namespace {

using Json = nlohmann::json;

constexpr const char* kStarted = "started";  // In a step's memory: worker's word → the attempt whose worker was made.

/// Hosts have no underscore in their names, so that no two places make the same word.
std::string item_of(const Plan& plan, const StepRef& ref) {
  if (!ref.place) return {};
  std::string item = ref.place->volume;
  if (plan.copies_repository()) item = ref.place->source_host + "_" + item;
  if (plan.copies_repository() && ref.missing) item += "_" + sha256_hex(ref.missing->id).substr(0, 10);
  return item + "_at_" + ref.place->host;
}

/// What is remembered of workers of an attempt that is over means nothing to the next.
void next_attempt(Run& run, const StepRef& ref, int number) {
  crds::Step& entry = run.entry(ref);
  entry.attempt = number;
  entry.worker.clear();
  Json memory = run.memory(ref);
  memory.erase(kStarted);
  run.remember(ref, memory);
}

}  // namespace

WorkerId worker_id(const Run& run, const Plan& plan, const StepRef& ref, std::string word) {
  Json facts{ref.name, plan.from()};
  if (ref.place) facts.push_back({ref.place->source_host, ref.place->volume, ref.place->host, ref.place->exclude});
  if (ref.missing) facts.push_back(ref.missing->id);
  return {.installation = run.context.installation,
          .owner = key_of(run.backup),
          .item = item_of(plan, ref),
          .step = std::move(word),
          .attempt = 1,
          .spec_hash = sha256_hex(facts.dump()).substr(0, 16)};
}

Attempt attempt_of(Run& run, const StepRef& ref, const std::string& word) {
  const int number = static_cast<int>(run.entry(ref).attempt);
  const Json started = run.memory(ref).value(kStarted, Json::object());
  return {number, started.value(word, 0) == number};
}

void next_attempt(Run& run, const StepRef& ref) {
  next_attempt(run, ref, static_cast<int>(run.entry(ref).attempt) + 1);
}

void remember_attempt(Run& run, const StepRef& ref, const Attempt& attempt, const WorkerId& id,
                      const HostHandle& host) {
  crds::Step& entry = run.entry(ref);
  if (attempt.number != entry.attempt) return next_attempt(run, ref, attempt.number);
  if (!attempt.started) return;
  WorkerId made = id;
  made.attempt = attempt.number;
  entry.worker = worker_name(made);
  entry.host = host.host.metadata.name;
  Json memory = run.memory(ref);
  memory[kStarted][id.step] = attempt.number;
  run.remember(ref, memory);
}

void remove_after_write(Run& run, const HostHandle& host, WorkerId id, int attempt) {
  id.attempt = attempt;
  run.after_write.push_back([engine = host.engine, id, limits = run.limits] {
    // One that stays is found by its labels when the Backup ends.
    if (auto removed = remove_worker(*engine, id, std::chrono::seconds(0), limits); !removed)
      log_warning("a worker is left for later", {{"worker", worker_name(id)}, {"why", removed.error().message}});
  });
}

Result<WorkerSpec> mover_spec(Run& run, const HostHandle& host, const mover::Job& job) {
  return run.context.images.ensure_mover(host, run.limits).map([&](const std::string& image) {
    return WorkerSpec{{}, mover_container(image), job_files(job)};
  });
}

Outcome from_failure(Run& run, const StepRef& ref, const mover::WorkerResult& result, const HostHandle& host) {
  if (result.reason == "Busy") {
    next_attempt(run, ref);
    return Working{
        fmt::format("Waits: another backup, a restore or the upkeep uses the repository directory on host {}.",
                    host.host.metadata.name),
        kBusyPause,
        {}};
  }
  return Retry{result.reason, fmt::format("host {}: {}", host.host.metadata.name, result.message), result.next};
}

}  // namespace roadstead::reconcilers::backup
