#pragma once

// Containers on the target: found, stopped, started.

#include "reconcilers/restore_request/ledger.h"
#include "reconcilers/restore_request/run.h"

namespace roadstead::reconcilers::restore {

/// Every container but our workers; what has to be stopped is looked at closely (restart policy, --rm).
Result<std::vector<Application>> find_applications(const Run& run, const HostHandle& target);

/// The container that is this entry's now; nothing: there is none any more.
Result<std::optional<Application>> find_again(const Run& run, const HostHandle& target, const crds::LedgerEntry& entry);

/// Nothing that mounts a target volume, or is asked to be stopped, runs any more. Before the first stop the ledger
/// stands in the status and, with both inodes, beside each volume. Nothing returned: it is so now.
std::optional<Outcome> quiesce(Run& run, Frame& frame, const HostHandle& target);

/// Stops one container in order: paused ones go on first, so that they can end cleanly.
Result<void> stop_one(const Run& run, const HostHandle& target, const Application& application);

}  // namespace roadstead::reconcilers::restore
