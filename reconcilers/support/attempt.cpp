#include "reconcilers/support/attempt.h"

#include <algorithm>

#include "operator/base/log.h"

namespace roadstead::reconcilers {
namespace {

constexpr Millis kFullHostPause{5'000};

/// Waits a moment for a worker that ends soon; its end is then seen in this look already.
Result<WorkerSeen> wait_briefly(const AttemptJob& job, const WorkerId& id, WorkerSeen seen, const Limits& limits) {
  if (job.wait == Millis{0} || seen.state != WorkerState::Running) return seen;
  Limits patient = limits;
  patient.idle = job.wait;
  (void)job.host->engine->wait_container(seen.id, patient);
  return observe_worker(*job.host->engine, id, limits);
}

}  // namespace

std::variant<WorkerSeen, Underway, EngineError> look_at_worker(const AttemptJob& job, Attempt& attempt,
                                                               const Limits& limits) {
  Engine& engine = *job.host->engine;
  WorkerId id = job.id;
  id.attempt = attempt.number;
  const auto error = [&](const Error& why) { return EngineError{why, job.host}; };
  auto seen = observe_worker(engine, id, limits);
  if (!seen) return error(seen.error());

  if (seen->state == WorkerState::Absent) {
    auto highest = highest_attempt(engine, id, limits);
    if (!highest) return error(highest.error());
    if (attempt.started) {
      // It ran and is gone: what it did shows when the step, which may be run twice, is run again.
      if (auto removed = remove_worker(engine, id, std::chrono::seconds(0), limits); !removed)
        return error(removed.error());
      attempt = {std::max(attempt.number, *highest) + 1, false};
      return Underway{fmt::format("Worker {} has vanished; its step is run again.", worker_name(id)), Millis{0}, {}};
    }
    if (*highest > attempt.number) {  // made before the store was lost
      attempt.number = *highest;
      return Underway{fmt::format("Goes on with attempt {}.", *highest), Millis{0}, {}};
    }
  }
  if (seen->state == WorkerState::Absent || seen->state == WorkerState::Stale) {
    // What takes a moment does not queue behind what takes hours: applications may be down meanwhile.
    if (job.wait == Millis{0}) {
      auto count = running_workers(engine, id.installation, limits);
      if (!count) return error(count.error());
      if (*count >= kWorkersPerHost) return Underway{full_host(*job.host, *count), kFullHostPause, {}};
    }
    auto spec = job.make();
    if (!spec) return error(spec.error());
    spec->id = id;
    seen = ensure_worker(engine, *spec, limits);
    if (!seen) return error(seen.error());
  }
  attempt.started = true;
  seen = wait_briefly(job, id, std::move(*seen), limits);
  if (!seen) return error(seen.error());
  if (seen->interrupted) {
    if (auto removed = remove_worker(engine, id, std::chrono::seconds(0), limits); !removed)
      return error(removed.error());
    attempt = {attempt.number + 1, false};
    return Underway{fmt::format("Worker {} was interrupted; its step is run again.", worker_name(id)), Millis{0}, {}};
  }
  if (seen->state == WorkerState::Exited) return std::move(*seen);
  return Underway{fmt::format("{} on host {}.", id.step, job.host->host.metadata.name), Millis{1'000}, seen->progress};
}

std::string full_host(const HostHandle& host, int workers) {
  return fmt::format("Waits: {} workers run on host {} already.", workers, host.host.metadata.name);
}

std::function<void()> removal_of(const HostHandle& host, const WorkerId& id, const Limits& limits) {
  return [engine = host.engine, id, limits] {
    if (auto removed = remove_worker(*engine, id, std::chrono::seconds(0), limits); !removed)
      log_warning("a worker is left for later", {{"worker", worker_name(id)}, {"why", removed.error().message}});
  };
}

std::string last_words(const WorkerSeen& seen) {
  constexpr std::size_t kLongest = 300;
  for (auto line = seen.tail.rbegin(); line != seen.tail.rend(); ++line)
    if (!line->text.empty() && !mover::parse_line(line->text)) return line->text.substr(0, kLongest);
  return {};
}

std::string end_without_result(const WorkerSeen& seen) {
  const std::string why =
      seen.oom_killed ? "was killed for using too much memory" : fmt::format("ended with exit code {}", seen.exit_code);
  const std::string words = seen.error.empty() ? last_words(seen) : seen.error;
  return words.empty() ? why : why + ": " + words;
}

}  // namespace roadstead::reconcilers
