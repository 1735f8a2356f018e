#include "reconcilers/backup/volume_list.h"

#include <algorithm>

#include "reconcilers/backup/volume_worker.h"

namespace roadstead::reconcilers::backup {

Listed list_place(Run& run, const Plan& plan, const StepRef& ref, const HostHandle& host, const std::string& word,
                  bool& directory) {
  const WorkerId id = worker_id(run, plan, ref, word);
  const RepositoryPlace place{&host, ref.place->source_host, ref.place->volume};
  Attempt attempt = attempt_of(run, ref, word);
  auto look = look_at_repository(run.context, place, id, list_snapshots(), kBriefly, attempt, run.limits);
  remember_attempt(run, ref, attempt, id, host);
  if (std::holds_alternative<NothingKept>(look)) {
    directory = false;
    return mover::SnapshotsData{};
  }
  if (const auto* underway = std::get_if<Underway>(&look))
    return Outcome(Working{underway->message, underway->again, {}});
  if (const auto* error = std::get_if<EngineError>(&look))
    return from_error(error->error, host, host.host.metadata.name == plan.from());
  const auto& result = std::get<mover::WorkerResult>(look);
  auto data = result.ok ? mover::parse_snapshots_data(result.data) : mover::SnapshotsData{};
  if (!result.ok || !data) remove_after_write(run, host, id, attempt.number);
  if (!result.ok) return from_failure(run, ref, result, host);
  if (!data) return Outcome(Retry{"WorkerFailed", "the list of snapshots cannot be read: " + data.error().message, {}});
  directory = true;
  return std::move(*data);
}

void remove_list(Run& run, const Plan& plan, const StepRef& ref, const HostHandle& host, const std::string& word,
                 std::int64_t attempt) {
  remove_after_write(run, host, worker_id(run, plan, ref, word), static_cast<int>(attempt));
}

const mover::SnapshotSeen* snapshot_with(const mover::SnapshotsData& data, const std::string& id) {
  const auto found = std::ranges::find(data.snapshots, id, &mover::SnapshotSeen::id);
  return found == data.snapshots.end() ? nullptr : &*found;
}

}  // namespace roadstead::reconcilers::backup
