// mark: from here on, what is going on stands beside the volume. The volume is made if it is not there.

#include <algorithm>

#include "reconcilers/restore_request/mark.h"
#include "reconcilers/restore_request/steps.h"
#include "reconcilers/support/labels.h"

namespace roadstead::reconcilers::restore {

Outcome write_mark(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  const Labels labels{{std::string(label::kInstallation), run.context.installation}};
  auto volume = target->engine->create_volume(item.to.volume, labels, run.limits);
  if (!volume) return from_error(volume.error(), *target, false);

  const Mark mark = mark_of(run.request, item, run.context.installation, MarkState::Preparing);
  MoverAnswer answer;
  const mover::Mark job{mover_target(run.request, item.name), to_json(mark)};
  if (auto outcome = run_mover(run, frame, "mark", item.to.volume, job, answer)) return *outcome;
  auto& marks = run.request.status.marks;
  std::erase_if(marks, [&](const crds::MarkSummary& one) { return one.item == item.name; });
  marks.push_back({item.name, item.to.volume, "Preparing", std::nullopt, std::nullopt});
  return Done{"{}", fmt::format("Marked beside volume {}.", item.to.volume)};
}

}  // namespace roadstead::reconcilers::restore
