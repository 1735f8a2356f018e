#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "operator/runtime/reconciler.h"
#include "reconcilers/support/context.h"

namespace roadstead::reconcilers {

/// Makes one base backup (a worker runs barman, barman's catalogue tells what became of it), or snapshots of volumes
/// (pairs of movers, the repositories tell). Done once, it never changes. Deleting the object while it runs ends the
/// run; deleting it later deletes data only with deletionPolicy Delete, and never a base backup. `context` outlives it.
std::unique_ptr<Reconciler> make_backup_reconciler(Context& context);

/// The Backups that a change of `object` concerns: a Backup itself.
std::vector<ObjectKey> backup_wakes(const nlohmann::json& object);

/// Keeps a Backup until its worker is gone.
inline constexpr std::string_view kBackupFinalizer = "roadstead.dev/backup";

}  // namespace roadstead::reconcilers
