#pragma once

// The two movers of one transfer as a step of a restore sees them.

#include "reconcilers/restore_request/run.h"
#include "reconcilers/support/pair.h"

namespace roadstead::reconcilers::restore {

/// Both have ended; or what the step has to answer until then. That the receiver has what it wanted is enough.
std::variant<PairEnd, Outcome> run_pair(Run& run, Frame& frame, const PairJob& job);

/// Removes both after the status is stored.
void remove_pair_after_write(Run& run, const Frame& frame, const PairJob& job, int attempt);

}  // namespace roadstead::reconcilers::restore
