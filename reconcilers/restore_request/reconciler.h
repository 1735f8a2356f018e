#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "operator/runtime/reconciler.h"
#include "reconcilers/support/context.h"

namespace roadstead::reconcilers {

/// Restores what a RestoreRequest says: from barman to a volume of another host. Everything it must know after a kill
/// is in the status, in the workers' labels and in the marks beside the volumes. `context` outlives it.
std::unique_ptr<Reconciler> make_restore_request_reconciler(Context& context);

/// The RestoreRequests that a change of `object` concerns: a RestoreRequest itself. Those that wait for another one,
/// for a Host or for a BarmanServer look again by themselves.
std::vector<ObjectKey> restore_request_wakes(const nlohmann::json& object);

}  // namespace roadstead::reconcilers
