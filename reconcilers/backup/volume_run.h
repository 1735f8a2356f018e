#pragma once

// One look at a backup of volumes: who is where, and one function per kind of step.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "crds/restore_request.h"
#include "reconcilers/backup/volumes.h"
#include "reconcilers/support/context.h"
#include "reconcilers/support/pair.h"
#include "reconcilers/support/repository.h"

namespace roadstead::reconcilers::backup {

/// What one call of `reconcile` works with. Lives as long as that call.
struct Run {
  Context& context;
  crds::Backup& backup;
  const Limits limits;
  /// Done once the status is stored: workers whose result it now holds are removed.
  std::vector<std::function<void()>> after_write{};

  [[nodiscard]] Time now() const { return context.clock.now(); }
  crds::Step& entry(const StepRef& ref) { return begin(backup.status, ref, now()); }

  /// What the step's running entry remembers between looks.
  nlohmann::json memory(const StepRef& ref);
  void remember(const StepRef& ref, const nlohmann::json& memory);
};

/// Looks at the step, does what is next, and says how that went; it may be asked again at any time, by another operator
/// too.
Outcome perform(Run& run, const StepRef& ref);

/// The step of the workers that forget().
inline constexpr std::string_view kForgetStep = "forget";

/// The workers of this Backup on every host that it uses are gone afterwards, but those of `keep_step`; what ran is
/// ended.
Result<void> remove_workers(Run& run, std::string_view keep_step = {});

/// The restore names the Backup, or pins one of its snapshots.
bool is_used_by(const crds::Backup& backup, const crds::RestoreRequest& request);

/// Forgets the snapshots of status.snapshots. Done: they are gone, or the hosts that had them are. Marks are passed
/// over for its own snapshot only: for one that it copied, the Backup that made it speaks. Its workers stay until
/// remove_workers().
Outcome forget(Run& run);

}  // namespace roadstead::reconcilers::backup
