// compare and overwrite: a volume whose data is not exchanged is made like the source where it is. Compared while its
// applications run, so that the time without them is short; then overwritten, which can only be gone on with.

#include "operator/base/rfc3339.h"
#include "reconcilers/restore_request/applications.h"
#include "reconcilers/restore_request/copy.h"
#include "reconcilers/restore_request/finish.h"
#include "reconcilers/restore_request/mark.h"
#include "reconcilers/restore_request/steps.h"

namespace roadstead::reconcilers::restore {
namespace {

/// Without it a database does not start: away before anything is changed, and the last thing that is put there.
constexpr const char* kKeystone = "global/pg_control";

/// What everybody who finds the volume has to know, before it becomes true.
std::optional<Outcome> write_down(Run& run, Frame& frame, MarkState state, std::string_view what) {
  if (frame.remembers(std::string(what))) return std::nullopt;
  const crds::RestoreItem& item = frame.item();
  MoverAnswer answer;
  const Mark mark = mark_of(run.request, item, run.context.installation, state);
  const mover::Mark job{mover_target(run.request, item.name), to_json(mark)};
  if (auto outcome = run_mover(run, frame, fmt::format("mark-{}", what), item.to.volume, job, answer)) return outcome;
  nlohmann::json memory = frame.memory();
  memory[std::string(what)] = true;
  if (answer.finished_at) memory["finishedAt"] = format_rfc3339_millis(*answer.finished_at);  // by the host's own clock
  frame.remember(memory);
  for (auto& summary : run.request.status.marks)
    if (summary.item == item.name) summary.phase = word_of(state);
  return Working{fmt::format("Wrote down that volume {} is {}.", item.to.volume, what), Millis{0}, {}};
}

std::variant<mover::InPlace, Outcome> sink_of(Run& run, const crds::RestoreItem& item) {
  mover::InPlace sink{.volume = mover_target(run.request, item.name)};
  if (!item.from.barman) return sink;
  sink.keystone = kKeystone;
  auto files = recovery_files(run, item);
  if (auto* outcome = std::get_if<Outcome>(&files)) return std::move(*outcome);
  sink.files = std::move(std::get<std::vector<mover::FinishFile>>(files));
  return sink;
}

}  // namespace

Outcome compare(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  mover::InPlace sink{.volume = mover_target(run.request, item.name)};
  sink.compare_only = true;
  auto end = copy_to(run, frame, sink);
  if (auto* outcome = std::get_if<Outcome>(&end)) return std::move(*outcome);
  const auto& data = std::get<mover::CopyData>(end);
  return Done{mover::to_json(data), fmt::format("Compared volume {}: {} of {} bytes are right already.", item.to.volume,
                                                data.bytes_same + data.bytes_verified, data.bytes_total)};
}

Outcome overwrite(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  // Somebody may have started something since.
  if (auto outcome = quiesce(run, frame, *target)) return *outcome;
  if (auto outcome = write_down(run, frame, MarkState::Overwriting, kOverwriting)) return *outcome;

  nlohmann::json memory = frame.memory();
  if (!memory.contains("copied")) {
    auto sink = sink_of(run, item);
    if (auto* outcome = std::get_if<Outcome>(&sink)) return std::move(*outcome);
    auto end = copy_to(run, frame, std::get<mover::InPlace>(sink));
    if (auto* outcome = std::get_if<Outcome>(&end)) return std::move(*outcome);
    memory = frame.memory();
    memory["copied"] = nlohmann::json::parse(mover::to_json(std::get<mover::CopyData>(end)));
    frame.remember(memory);
    // The directory stays; that its mark names a new one says that it holds the new data.
    for (auto& summary : run.request.status.marks)
      if (summary.item == item.name) summary.new_inode = summary.old_inode;
    return Working{fmt::format("Volume {} holds the new data.", item.to.volume), Millis{0}, {}};
  }
  // Before anything is started: whoever finds the mark later must not overwrite what the application has written since.
  if (auto outcome = write_down(run, frame, MarkState::Overwritten, kOverwritten)) return *outcome;
  nlohmann::json result = memory["copied"];
  result["finishedAt"] = frame.memory().value("finishedAt", format_rfc3339_millis(run.now()));
  return Done{result.dump(), fmt::format("Volume {} holds the new data.", item.to.volume)};
}

}  // namespace roadstead::reconcilers::restore
