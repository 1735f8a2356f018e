#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "operator/runtime/reconciler.h"
#include "reconcilers/support/context.h"

namespace roadstead::reconcilers {

/// Watches one Docker Engine: reachable or not, versions, free space, volumes, restores that were left unfinished.
/// Touches nothing on the host but a worker of its own that measures the disk. `context` outlives it.
std::unique_ptr<Reconciler> make_host_reconciler(Context& context);

/// The Hosts that a change of `object` concerns: a Host itself, the one whose volumes a BackupPolicy backs up.
std::vector<ObjectKey> host_wakes(const nlohmann::json& object);

}  // namespace roadstead::reconcilers
