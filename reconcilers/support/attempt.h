#pragma once

// One attempt of a step's worker, looked at once: made, adopted, renewed, waited for. What the end means is the step's
// own matter.

#include <functional>
#include <optional>
#include <string>
#include <variant>

#include "reconcilers/support/hosts.h"
#include "reconcilers/support/worker.h"

namespace roadstead::reconcilers {

/// What a step remembers of its workers; stored with the status, so that the next operator goes on from it.
struct Attempt {
  int number = 1;
  bool started = false;  ///< Its workers were made: one that is missing has vanished.
};

/// No end yet: it runs, or waits for a free place, or is begun anew. `again` 0: the attempt must be stored, then it is
/// looked at again at once.
struct Underway {
  std::string message;
  Millis again{1'000};
  std::optional<mover::Progress> progress;
};

/// What a call to a host's engine gave: nothing is known of the workers.
struct EngineError {
  Error error;
  const HostHandle* host = nullptr;
};

/// A worker that a step needs.
struct AttemptJob {
  const HostHandle* host = nullptr;
  WorkerId id;                               ///< Its attempt is set from the Attempt.
  std::function<Result<WorkerSpec>()> make;  ///< Name and labels are set from the id.
  Millis wait{0};  ///< How long its end is waited for here; for what takes a moment, and does not queue for a place.
};

/// The worker's end, successful or not; or why there is none. One that vanished, was interrupted or is remembered by
/// the engine alone (a lost store) changes `attempt`, which counts as no failure.
std::variant<WorkerSeen, Underway, EngineError> look_at_worker(const AttemptJob& job, Attempt& attempt,
                                                               const Limits& limits);

/// Why nothing is made on a host now.
std::string full_host(const HostHandle& host, int workers);

/// What removes the worker when it is called, once its result is stored. One that cannot be removed then is logged; it
/// is found by its labels when its owner ends.
std::function<void()> removal_of(const HostHandle& host, const WorkerId& id, const Limits& limits);

/// The last line that is none of ours: what the program said before it died. Empty where there is none.
std::string last_words(const WorkerSeen& seen);
/// How a worker without a result ended, as a sentence's predicate: "ended with exit code 2: no such file".
std::string end_without_result(const WorkerSeen& seen);

}  // namespace roadstead::reconcilers
