#pragma once

// The workers of a step of a backup of volumes: how they are named, which attempt is looked at, what is remembered of
// it between looks, and what the failure of one means. What a worker does is the step's own matter.

#include <string>

#include "reconcilers/backup/volume_run.h"

namespace roadstead::reconcilers::backup {

/// How long the end of what takes a moment is waited for within one look.
inline constexpr Millis kBriefly{5'000};
/// When to look again where somebody else uses the directory.
inline constexpr Millis kBusyPause{5'000};

/// Everything that a worker's job follows from: what was made for something else is never adopted. `word` tells the
/// workers of one step apart. Its attempt is set by whoever looks.
WorkerId worker_id(const Run& run, const Plan& plan, const StepRef& ref, std::string word);

/// The attempt that the step is at, for its worker of this word.
Attempt attempt_of(Run& run, const StepRef& ref, const std::string& word);
/// What a look has changed of it goes into the step's entry and memory.
void remember_attempt(Run& run, const StepRef& ref, const Attempt& attempt, const WorkerId& id, const HostHandle& host);
/// The next attempt begins, which counts as no failure: what is remembered of workers of the one before means nothing
/// to it.
void next_attempt(Run& run, const StepRef& ref);

/// Has this worker removed once the status is stored.
void remove_after_write(Run& run, const HostHandle& host, WorkerId id, int attempt);

/// A worker that failed, as what it means for its step: `Busy` is waited out, everything else is a failed attempt.
Outcome from_failure(Run& run, const StepRef& ref, const mover::WorkerResult& result, const HostHandle& host);

}  // namespace roadstead::reconcilers::backup
