#pragma once

// The repositories asked which snapshot an item is restored from.

#include "reconcilers/restore_request/run.h"
#include "reconcilers/restore_request/snapshot.h"

namespace roadstead::reconcilers::restore {

/// The one that is chosen, or why there is none; or what the step has to answer while that is not known. The first host
/// that holds a fitting one counts; hosts that do not answer are passed over as long as another one holds it. What was
/// found is remembered in the step until forget_snapshot_look().
using SnapshotLook = std::variant<ChosenSnapshot, Outcome>;
SnapshotLook look_for_snapshot(Run& run, Frame& frame);
void forget_snapshot_look(Frame& frame);

/// True: this snapshot is where it is said to be.
std::variant<bool, Outcome> is_there(Run& run, Frame& frame, const crds::SnapshotPin& pin);

/// The hosts that may be asked for an item's snapshot: the one it is pinned to, else all of them.
std::vector<std::string> keepers_of(Run& run, const crds::RestoreItem& item);

}  // namespace roadstead::reconcilers::restore
