// before, after: the commands and requests that a policy wants around its copies.

#include "reconcilers/backup/volume_steps.h"
#include "reconcilers/support/hooks.h"

namespace roadstead::reconcilers::backup {
namespace {

constexpr const char* kBegun = "begun";  // In a step's memory.

}  // namespace

/// That it is begun is stored first: one whose end is unknown is then known to have been begun, and run again.
Outcome hook(Run& run, const Plan& plan, const StepRef& ref) {
  auto host = run.context.hosts.get(plan.from());
  if (!host) return from_lookup(host.error());
  nlohmann::json memory = run.memory(ref);
  if (!memory.value(kBegun, false)) {
    memory[kBegun] = true;
    run.remember(ref, memory);
    run.entry(ref).host = plan.from();
    return Working{fmt::format("Hook {} runs.", ref.name), Millis{0}, {}};
  }
  return run_hook(run.context, *ref.hook, *host, run.limits);
}

}  // namespace roadstead::reconcilers::backup
