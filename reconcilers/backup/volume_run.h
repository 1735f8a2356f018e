#pragma once

// One look at a backup of volumes: what it works with, and one way into its steps.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "reconcilers/backup/volume_take.h"
#include "reconcilers/support/context.h"
#include "reconcilers/support/pair.h"
#include "reconcilers/support/repository.h"
#include "reconcilers/support/steps.h"

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
  /// The id of the snapshot that this Backup makes.
  [[nodiscard]] std::string own_snapshot() const;

  /// What the step's running entry remembers between looks.
  nlohmann::json memory(const StepRef& ref) { return memory_of(entry(ref)); }
  void remember(const StepRef& ref, const nlohmann::json& memory) { reconcilers::remember(entry(ref), memory); }
};

/// Looks at the step, does what is next, and says how that went; it may be asked again at any time, by another operator
/// too.
Outcome perform(Run& run, const StepRef& ref);

}  // namespace roadstead::reconcilers::backup
