#pragma once

// The two movers of one transfer, as one attempt: both are made, both end, a retry makes both anew.

#include "crds/host.h"
#include "reconcilers/support/attempt.h"

namespace roadstead::reconcilers {

struct PairEnd {
  WorkerSeen sender, receiver;
};

/// The end that knows the cause: a peer that only saw the connection break knows it not.
const WorkerSeen& telling(const PairEnd& end);

/// One end of it: which host, and its container and job once the link is known.
struct PairSide {
  const HostHandle* host = nullptr;
  std::string step;  ///< The worker's own word, "copy-send".
  std::function<Result<WorkerSpec>(const mover::Link& link)> make;
};

struct PairJob {
  PairSide sender;    ///< On the source host.
  PairSide receiver;  ///< On the target host.
  bool source_serves = true;
};

/// Whose transfer it is.
struct PairId {
  WorkerId worker;     ///< Step and attempt are set for each end.
  std::string step;    ///< "copy"
  std::string secret;  ///< The installation's, see transfer_key().
};
/// The worker of one end at this attempt.
WorkerId worker_of(const PairId& id, const PairSide& side, int attempt);

/// Both have ended, or the receiver has what it wanted; or why there is no end. `Error`: a host's data ports cannot be
/// read. A mover that vanished or was interrupted changes `attempt`, which counts as no failure.
std::variant<PairEnd, Underway, EngineError, Error> look_at_pair(const PairId& id, const PairJob& job, Attempt& attempt,
                                                                 const Limits& limits);

// ---- who serves
// ------------------------------------------------------------------------------------------------------

enum class Serving { Local, Source, Target, Nobody };
/// Which of the two keeps the backup.
enum class Keeper { Source, Target };
/// The host with data ports; both: the one that keeps the backup.
Serving serving_side(const crds::Host& source, const crds::Host& target, Keeper keeper = Keeper::Source);

}  // namespace roadstead::reconcilers
