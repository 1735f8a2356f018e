// finish: the settings with which the staged database recovers to its point and no further, and harms nobody else.

#include "reconcilers/restore_request/finish.h"

#include "reconcilers/restore_request/steps.h"

namespace roadstead::reconcilers::restore {

std::string recovery_settings(const crds::PinnedSource& pinned, bool on_the_sources_host) {
  // Without a way to more WAL an incomplete copy refuses to start instead of starting wrong.
  std::string text = "restore_command = 'false'\n";
  // The segments hold records beyond the point: it has to be named again. What was frozen without a name ends at its
  // minimum recovery ending location, which is where `immediate` stops.
  if (pinned.target == crds::TargetKind::Name)
    text += "recovery_target_name = '" + pinned.target_name + "'\n";
  else
    text += "recovery_target = 'immediate'\n";
  text += "recovery_target_action = 'promote'\n";
  if (on_the_sources_host) return text;
  return text +
         "archive_mode = off\n"
         "primary_conninfo = ''\n"
         "primary_slot_name = ''\n"
         "synchronous_standby_names = ''\n";
}

std::variant<std::vector<mover::FinishFile>, Outcome> recovery_files(Run& run, const crds::RestoreItem& item) {
  const auto* pinned = pinned_of(run.request.status, item.name);
  if (pinned == nullptr) return Failed{"Internal", "item " + item.name + " is not pinned", "apply a new request"};
  auto source = run.source_of(item);
  if (!source) return from_lookup(source.error());
  const bool own_host = (*source)->server.spec.source.host_ref.name == run.request.spec.target.host_ref.name;

  return std::vector<mover::FinishFile>{
      {.path = "recovery.signal", .mode = mover::WriteMode::Replace, .content = {}, .permissions = 0600},
      {.path = "postgresql.auto.conf",
       .mode = mover::WriteMode::ManagedBlock,
       .content = recovery_settings(*pinned, own_host),
       .permissions = 0600}};
}

Outcome finish_tree(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  auto files = recovery_files(run, item);
  if (auto* outcome = std::get_if<Outcome>(&files)) return std::move(*outcome);
  const mover::Finish job{mover_target(run.request, item.name), std::get<std::vector<mover::FinishFile>>(files)};
  MoverAnswer answer;
  if (auto outcome = run_mover(run, frame, "finish", item.to.volume, job, answer)) return *outcome;
  return Done{"{}", "The staged copy is ready to be exchanged."};
}

}  // namespace roadstead::reconcilers::restore
