#pragma once

// What the outcome of a step makes of the status of a restore: entry, item, conditions.

#include <optional>
#include <string>

#include "reconcilers/restore_request/record.h"
#include "reconcilers/support/outcome.h"

namespace roadstead::reconcilers::restore {

/// Failures of one step that are borne; the last of them is for good.
inline constexpr int kFailureLimit = 3;

/// The Running entry of a step, made if there is none.
crds::Step& begin(crds::RestoreRequestStatus& status, const StepRef& ref, Time now);

/// Decides the end. Entries that ran are closed; the reason stays in the condition Complete until the end is reached.
void decide_end(crds::RestoreRequestStatus& status, const std::string& result, const std::string& reason,
                const std::string& message, std::int64_t generation, Time now);

/// Puts what a step gave into the status: entry, item, conditions. Returns when to look again; nothing: at once.
std::optional<Millis> take(crds::RestoreRequest& request, const StepRef& ref, const Outcome& outcome, Time now);

/// How long after its nth failure a step is tried again.
Millis backoff(int failures);

/// Progress of the same step never goes backwards, over attempts too.
crds::Progress merged(const crds::Progress& before, crds::Progress now);

}  // namespace roadstead::reconcilers::restore
