#pragma once

// The two movers of one transfer, as one attempt: both are made, both end, a retry makes both anew.

#include "reconcilers/restore_request/run.h"

namespace roadstead::reconcilers::restore {

struct PairEnd {
  WorkerSeen sender, receiver;
};

/// The end that knows the cause: a peer that only saw the connection break knows it not.
const WorkerSeen& telling(const PairEnd& end);

/// One end of it: which host, and its container and job once the link is known.
struct PairSide {
  const HostHandle* host = nullptr;
  std::string step;  ///< "copy-send"
  std::function<Result<WorkerSpec>(const mover::Link& link)> make;
};

struct PairJob {
  PairSide sender;    ///< On the source host.
  PairSide receiver;  ///< On the target host.
  bool source_serves = true;
};

/// Both have ended; or what the step has to answer until then. That the receiver has what it wanted is enough.
std::variant<PairEnd, Outcome> run_pair(Run& run, Frame& frame, const PairJob& job);

/// Removes both after the status is stored.
void remove_pair_after_write(Run& run, const Frame& frame, const PairJob& job, int attempt);

}  // namespace roadstead::reconcilers::restore
