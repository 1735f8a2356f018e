#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "operator/runtime/reconciler.h"
#include "reconcilers/support/context.h"

namespace roadstead::reconcilers {

/// Makes Backup objects when they are due, and tells how the policy fares. Deleting a policy deletes neither its
/// Backups nor their data. `context` outlives it.
std::unique_ptr<Reconciler> make_backup_policy_reconciler(Context& context);

/// The BackupPolicies that a change of `object` concerns: a BackupPolicy itself, the policy of a Backup.
std::vector<ObjectKey> backup_policy_wakes(const nlohmann::json& object);

}  // namespace roadstead::reconcilers
