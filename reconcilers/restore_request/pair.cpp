#include "reconcilers/restore_request/pair.h"

namespace roadstead::reconcilers::restore {
namespace {

constexpr const char* kPair = "pair";  // The word of the two in a step's memory.

}  // namespace

std::variant<PairEnd, Outcome> run_pair(Run& run, Frame& frame, const PairJob& job) {
  Attempt attempt = attempt_of(frame.entry(), kPair);
  const PairId id{run.worker_id(frame.ref().item, {}, attempt.number), std::string(frame.ref().step),
                  run.context.installation_secret};
  auto look = look_at_pair(id, job, attempt, run.limits);
  remember_attempt(frame.entry(), kPair, attempt, worker_name(worker_of(id, job.receiver, attempt.number)),
                   job.receiver.host->host.metadata.name);
  if (auto* end = std::get_if<PairEnd>(&look)) return std::move(*end);
  if (const auto* underway = std::get_if<Underway>(&look)) return from_underway(*underway);
  if (const auto* lost = std::get_if<EngineError>(&look))
    return from_error(lost->error, *lost->host, lost->host == job.sender.host);
  return from_lookup(std::get<Error>(look));
}

void remove_pair_after_write(Run& run, const Frame& frame, const PairJob& job, int attempt) {
  for (const auto* side : {&job.sender, &job.receiver}) {
    WorkerJob worker;
    worker.host = side->host;
    worker.step = side->step;
    remove_after_write(run, frame, worker, attempt);
  }
}

}  // namespace roadstead::reconcilers::restore
