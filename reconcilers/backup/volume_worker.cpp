#include "reconcilers/backup/volume_worker.h"

#include "operator/base/hash.h"
#include "reconcilers/support/steps.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::backup {
namespace {

/// Hosts have no underscore in their names, so that no two places make the same word.
std::string item_of(const Plan& plan, const StepRef& ref) {
  if (!ref.place) return {};
  std::string item = ref.place->volume;
  if (plan.copies_repository()) item = ref.place->source_host + "_" + item;
  if (plan.copies_repository() && ref.missing) item += "_" + sha256_hex(ref.missing->id).substr(0, 10);
  return item + "_at_" + ref.place->host;
}

}  // namespace

WorkerId worker_id(const Run& run, const Plan& plan, const StepRef& ref, std::string word) {
  nlohmann::json facts{ref.name, plan.from()};
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
  return reconcilers::attempt_of(run.entry(ref), word);
}

void next_attempt(Run& run, const StepRef& ref) { reconcilers::next_attempt(run.entry(ref)); }

void remember_attempt(Run& run, const StepRef& ref, const Attempt& attempt, const WorkerId& id,
                      const HostHandle& host) {
  WorkerId made = id;
  made.attempt = attempt.number;
  reconcilers::remember_attempt(run.entry(ref), id.step, attempt, worker_name(made), host.host.metadata.name);
}

void remove_after_write(Run& run, const HostHandle& host, WorkerId id, int attempt) {
  id.attempt = attempt;
  run.after_write.push_back(removal_of(host, id, run.limits));
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
