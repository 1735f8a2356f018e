#pragma once

// What happens next, decided from the spec and the status alone: no I/O, no clock, no log.
//   per item:  probe, pin, mark                                     (probe and pin of all items come first)
//              prepare, replay (databases), then copy, finish (databases) or, in place, compare
//   then:      stop, exchange (per item), overwrite (per item in place), start, check, receipt
//   way out:   putback (per exchanged item, while others are not), restart, receipt
//   afterwards, while the old data is kept: discard; or rollback-probe, rollback-stop, rollback (per item),
//              rollback-start, rollback-receipt
//
// Exchanges come before what is overwritten: until then there is a way back, and from then on none, so it is gone on
// with until it is whole.
// probe comes before pin, so that a request that is blocked for days restores the "latest" of the day it goes on.

#include <optional>
#include <vector>

#include "operator/base/clock.h"
#include "reconcilers/restore_request/record.h"

namespace roadstead::reconcilers::restore {

/// The steps from here to the end: the way forward, or the way out once an end is decided.
std::vector<StepRef> path_of(const crds::RestoreRequest& request);
/// The first of them that has not succeeded; nothing: all is done.
std::optional<StepRef> current_step(const crds::RestoreRequest& request);
/// The first step of a path that has not succeeded; nothing: all is done.
std::optional<StepRef> first_open(const crds::RestoreRequest& request, const std::vector<StepRef>& path);

/// True while spec.suspend holds this step back: it has not begun, and nobody is left stopped by it.
bool is_held(const crds::RestoreRequest& request, const StepRef& ref);

/// The printed summary.
crds::RestorePhase phase_of(const crds::RestoreRequest& request);

// ---- after the end ------------------------------------------------------------------------------------------------

/// What is to be done for a request that has ended.
enum class Aftermath { Nothing, Keep, Discard, RollBack };
Aftermath aftermath_of(const crds::RestoreRequest& request, Time now);
std::vector<StepRef> aftermath_path(const crds::RestoreRequest& request, Aftermath what);

}  // namespace roadstead::reconcilers::restore
