// mark: from here on, what is going on stands beside the volume. The volume is made if it is not there.

#include <algorithm>

#include "reconcilers/restore_request/mark.h"
#include "reconcilers/restore_request/steps.h"

namespace roadstead::reconcilers::restore {

Outcome write_mark(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  // Made by its name alone, as an application's own `volumes:` would: one that is there already stays what it is.
  auto volume = target->engine->inspect_volume(item.to.volume, run.limits);
  if (!volume && volume.error().kind == ErrorKind::NotFound)
    volume = target->engine->create_volume(item.to.volume, {}, run.limits);
  if (!volume) return from_error(volume.error(), *target, false);

  // What an earlier request of this name kept is nobody's any more, and would be taken for a staged tree.
  if (result_flag(run.request.status, name_of({item.name, step::kProbe}), "leftover") && !frame.remembers("cleared")) {
    MoverAnswer cleared;
    const mover::Discard job{mover_target(run.request, item.name), 0};
    if (auto outcome = run_mover(run, frame, "clear", item.to.volume, job, cleared)) return *outcome;
    frame.remember_done("cleared");
    return Working{"Threw away what an earlier request of this name kept.", Millis{0}, {}};
  }

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
