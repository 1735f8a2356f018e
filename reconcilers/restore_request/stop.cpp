// stop: what was running is written down, in the status and beside the volumes; only then is the first one stopped.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reconcilers/restore_request/applications.h"
#include "reconcilers/restore_request/mark.h"
#include "reconcilers/restore_request/steps.h"

namespace roadstead::reconcilers::restore {
namespace {

using Json = nlohmann::json;

crds::MarkSummary& summary_of(crds::RestoreRequestStatus& status, const crds::RestoreItem& item) {
  const auto found = std::ranges::find(status.marks, item.name, &crds::MarkSummary::item);
  if (found != status.marks.end()) return *found;
  status.marks.push_back({item.name, item.to.volume, "Preparing", std::nullopt, std::nullopt});
  return status.marks.back();
}

/// The inode of `_data` as it is before the exchange, and of the tree that takes its place.
std::optional<Outcome> learn_inodes(Run& run, Frame& frame, const crds::RestoreItem& item) {
  auto& summary = summary_of(run.request.status, item);
  if (const auto inode = result_number(run.request.status, name_of({item.name, step::kCopy}), "treeInode"))
    summary.new_inode = static_cast<std::int64_t>(*inode);
  if (summary.old_inode.value_or(0) != 0) return std::nullopt;
  MoverAnswer answer;
  const mover::Inspect job{.parent = std::string(kParent), .sizes = false, .source = std::nullopt};
  if (auto outcome = run_mover(run, frame, "inspect-" + item.name, item.to.volume, job, answer)) return outcome;
  const auto data = mover::parse_inspect_data(answer.data);
  if (!data || !data->volume || data->volume->inode == 0)
    return Retry{"WorkerFailed", "inspect told no inode of volume " + item.to.volume, {}};
  summary_of(run.request.status, item).old_inode = static_cast<std::int64_t>(data->volume->inode);
  return Working{"Wrote down the volume's inode.", Millis{0}, {}};
}

/// The mark says Stopping, or what else holds from then on, with this ledger.
std::optional<Outcome> mark_stopping(Run& run, Frame& frame, const crds::RestoreItem& item) {
  const std::size_t version = run.request.status.ledger.size() + 1;
  const auto stop = rolling_back(run.request.status) ? step::kRollbackStop : step::kStop;
  if (result_number(run.request.status, std::string(stop), item.name.c_str()) == version) return std::nullopt;
  Json memory = frame.memory();
  if (memory.contains("marked") && memory["marked"].value(item.name, std::size_t{0}) == version) return std::nullopt;
  MoverAnswer answer;
  const MarkState state = state_of(run.request, item);
  const Mark mark = mark_of(run.request, item, run.context.installation, state);
  const mover::Mark job{mover_target(run.request, item.name), to_json(mark)};
  if (auto outcome = run_mover(run, frame, fmt::format("mark-{}-{}", item.name, version), item.to.volume, job, answer))
    return outcome;
  memory = frame.memory();
  memory["marked"][item.name] = version;
  frame.remember(memory);
  summary_of(run.request.status, item).phase = word_of(state);
  return Working{"Wrote down what runs.", Millis{0}, {}};
}

void note_stopped(crds::RestoreRequestStatus& status, const Application& application, Time now) {
  for (auto& entry : status.ledger)
    if (is_same(entry, application)) {
      entry.id = application.id;
      entry.stopped_at = now;
      entry.started_at.reset();
    }
  if (!status.stopped_at) status.stopped_at = now;
}

}  // namespace

Result<void> stop_one(const Run& run, const HostHandle& target, const Application& application) {
  Engine& engine = *target.engine;
  const auto& stop = run.request.spec.applications.stop;
  // An engine that restarts now must not start it on half a restore.
  if (auto done = engine.set_restart_policy(application.id, "no", 0, run.limits); !done) return done;
  if (application.paused)
    if (auto done = engine.unpause_container(application.id, run.limits);
        !done && done.error().kind != ErrorKind::Conflict)
      return done;
  const std::chrono::seconds grace(stop.mode == crds::StopMode::Kill ? 0 : stop.grace_seconds);
  Limits patient = run.limits;
  patient.idle = grace + std::chrono::seconds(30);
  return engine.stop_container(application.id, grace, patient);
}

std::optional<Outcome> quiesce(Run& run, Frame& frame, const HostHandle& target) {
  auto all = find_applications(run, target);
  if (!all) return from_error(all.error(), target, false);
  const auto stops = to_stop(run.request, *all);
  for (const auto& one : stops)
    if (one.auto_remove)
      return Blocked{"AutoRemove",
                     fmt::format("container {} on {} was started with --rm: it would vanish when stopped; stop it",
                                 one.name, target.host.metadata.name),
                     kHostRetry};
  if (extend_ledger(run.request.status.ledger, stops)) return Working{"Wrote down what runs.", Millis{0}, {}};
  for (const auto& item : run.request.spec.items) {
    if (auto outcome = learn_inodes(run, frame, item)) return outcome;
    if (auto outcome = mark_stopping(run, frame, item)) return outcome;
  }
  if (stops.empty()) return std::nullopt;
  for (const auto& one : stops) {
    auto stopped = stop_one(run, target, one);
    if (!stopped && stopped.error().kind != ErrorKind::NotFound) return from_error(stopped.error(), target, false);
    note_stopped(run.request.status, one, run.now());
  }
  return Working{fmt::format("Stopped {} containers.", stops.size()), Millis{0}, {}};  // and looks whether it is so
}

Outcome stop_applications(Run& run, Frame& frame) {
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  // What ran before the restore is not what runs now.
  if (frame.ref().step == step::kRollbackStop && !frame.remembers("begun")) {
    if (!frame.remembers("recalled")) run.request.status.ledger.clear();
    frame.remember_done("begun");
    return Working{"The data from before the restore is brought back.", Millis{0}, {}};
  }
  if (auto outcome = quiesce(run, frame, *target)) return *outcome;
  if (!run.request.status.stopped_at) run.request.status.stopped_at = run.now();
  // The exchange looks again, and writes a mark only for what came in between.
  return Done{frame.memory().value("marked", Json::object()).dump(),
              run.request.status.ledger.empty() ? "Nothing had to be stopped."
                                                : "Everything that uses the volumes is stopped."};
}

}  // namespace roadstead::reconcilers::restore
