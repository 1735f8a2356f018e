// copy: one snapshot that a place lacks, out of a live volume or out of another repository.

#include <algorithm>

#include "operator/base/quantity.h"
#include "reconcilers/backup/volume_copy_job.h"
#include "reconcilers/backup/volume_forget.h"
#include "reconcilers/backup/volume_hosts.h"
#include "reconcilers/backup/volume_list.h"
#include "reconcilers/backup/volume_progress.h"
#include "reconcilers/backup/volume_snapshots.h"
#include "reconcilers/backup/volume_steps.h"
#include "reconcilers/backup/volume_worker.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::backup {
namespace {

using Json = nlohmann::json;

constexpr Millis kSpaceFirst{30'000}, kSpaceLongest{300'000};

// In a step's memory.
constexpr const char* kAsked = "asked";              // the attempt before which the repository was asked
constexpr const char* kSourceAsked = "sourceAsked";  // the same of the one that is read
constexpr const char* kNoSpace = "noSpace";          // how often the disk was full

/// A running worker of another object that has this directory writable, and of which `hinders` holds: it is waited for.
/// The mover would only say `Busy`.
std::optional<Outcome> waits_for_worker(const CopyJob& job, const HostHandle& host, const std::string& directory,
                                        bool (*hinders)(const Labels& labels)) {
  auto workers = host.engine->list_containers({{std::string(label::kInstallation), job.run.context.installation},
                                               {std::string(label::kRole), std::string(kWorkerRole)}},
                                              job.run.limits);
  if (!workers) return from_error(workers.error(), host, host.host.metadata.name == job.plan.from());
  for (const auto& worker : *workers) {
    const auto owner = owner_of(worker.labels, job.run.context.installation);
    if (worker.state != ContainerState::Running || !owner || *owner == key_of(job.run.backup)) continue;
    const bool writes = std::ranges::any_of(
        worker.mounts, [&](const MountPoint& mount) { return !mount.read_only && mount.source == directory; });
    if (writes && hinders(worker.labels))
      return Working{fmt::format("Waits for {} {}/{}, which works on the same repository directory of host {}.",
                                 owner->kind, owner->ns, owner->name, host.host.metadata.name),
                     kBusyPause,
                     {}};
  }
  return std::nullopt;
}

/// Two do not write into one directory; who reads a repository goes along with everybody but those who forget.
std::optional<Outcome> waits_for_another(const CopyJob& job) {
  const auto everybody = [](const Labels&) { return true; };
  const auto who_forgets = [](const Labels& labels) { return value_of(labels, label::kStep) == kForgetStep; };
  if (auto outcome = waits_for_worker(job, job.to, job.directory, everybody)) return outcome;
  if (!job.plan.copies_repository()) return std::nullopt;
  return waits_for_worker(job, job.from, job.source_directory, who_forgets);
}

Outcome copied(const CopyJob& job, const mover::WorkerResult& result) {
  const auto data = mover::parse_copy_data(result.data);
  if (!data || !data->snapshot) return Retry{"WorkerFailed", "the copy ended without saying what its snapshot is", {}};
  Run& run = job.run;
  take_snapshot(run.backup.status, *job.ref.place, *data->snapshot);
  run.context.metrics.counter(metric::kBytesMoved, {job.from.host.metadata.name, job.to.host.metadata.name})
      .add(static_cast<double>(data->bytes_sent));
  if (data->previous && !job.plan.copies_repository())
    if (const auto shrink = shrink_of(*data->snapshot, *data->previous, job.plan.suspicious_shrink_percent);
        !shrink.empty())
      tell(run.context.api, run.backup, true, "SourceShrank",
           fmt::format("Volume {} holds {}; look whether something was lost before old snapshots go",
                       job.ref.place->volume, shrink));
  return Done{copy_result(*data),
              fmt::format("{} copied to host {}: {} of {} had to be sent.", job.ref.place->volume,
                          job.to.host.metadata.name, human_bytes(data->bytes_sent), human_bytes(data->bytes_total))};
}

Outcome no_space(const CopyJob& job, const mover::CopyData& data, const std::string& message) {
  Json memory = job.run.memory(job.ref);
  const int times = memory.value(kNoSpace, 0);
  memory[kNoSpace] = times + 1;
  job.run.remember(job.ref, memory);
  next_attempt(job.run, job.ref);
  Millis pause = kSpaceFirst;
  for (int i = 0; i < times && pause < kSpaceLongest; ++i) pause *= 2;
  const std::string numbers = data.needed_bytes > 0
                                  ? fmt::format(": {} are still to be written, {} are free",
                                                human_bytes(data.needed_bytes), human_bytes(data.free_bytes))
                                  : ": " + message;
  return Blocked{
      "NoSpace",
      fmt::format("the disk of the repository on host {} is full{}; make room there, or shorten spec.retention "
                  "of the policies that keep backups on it (`roadstead describe host {}`); what was written "
                  "stays, and it goes on by itself",
                  job.to.host.metadata.name, numbers, job.to.host.metadata.name),
      std::min(pause, kSpaceLongest)};
}

/// A copy that ended without its snapshot. `told` is of the end that knows the cause, `at` its host.
Outcome not_copied(const CopyJob& job, const WorkerSeen& told, const WorkerSeen& receiver, const HostHandle& at) {
  if (!told.result)
    return Retry{
        "WorkerFailed", fmt::format("a mover on host {} {}", at.host.metadata.name, end_without_result(told)), {}};
  const mover::WorkerResult& result = *told.result;
  const auto parsed = mover::parse_copy_data(receiver.result ? receiver.result->data : result.data);
  const mover::CopyData data = parsed ? *parsed : mover::CopyData{};
  if (result.reason == "NoSpace") return no_space(job, data, result.message);
  // A lost connection that carried something is no failure of ours: the next attempt goes on behind what is there.
  if (result.reason == "ConnectionLost" && data.bytes_sent > 0) {
    next_attempt(job.run, job.ref);
    return Working{"The connection was lost; goes on behind what has arrived.", Millis{2'000}, {}};
  }
  return from_failure(job.run, job.ref, result, at);
}

Outcome underway(const CopyJob& job, const Underway& state) {
  Working working{state.message, state.again, {}};
  if (state.progress) working.progress = progress_after(job.run.backup.status, job.ref, *state.progress);
  return working;
}

Outcome copy_here(const CopyJob& job) {
  const WorkerId id = worker_id(job.run, job.plan, job.ref, "copy");
  Attempt attempt = attempt_of(job.run, job.ref, id.step);
  auto end = look_at_worker({&job.to, id, [&] { return job.both(); }, Millis{0}}, attempt, job.run.limits);
  remember_attempt(job.run, job.ref, attempt, id, job.to);
  if (const auto* state = std::get_if<Underway>(&end)) return underway(job, *state);
  if (const auto* error = std::get_if<EngineError>(&end)) return from_error(error->error, job.to, false);
  const auto& seen = std::get<WorkerSeen>(end);
  remove_after_write(job.run, job.to, id, attempt.number);
  if (seen.result && seen.result->ok) return copied(job, *seen.result);
  return not_copied(job, seen, seen, job.to);
}

Outcome copy_between(const CopyJob& job, bool source_serves) {
  constexpr const char* kPair = "copy";
  const PairId id{worker_id(job.run, job.plan, job.ref, kPair), kPair, job.run.context.installation_secret};
  const PairJob pair{{&job.from, "copy-send", [&](const mover::Link& link) { return job.sender(link); }},
                     {&job.to, "copy-receive", [&](const mover::Link& link) { return job.receiver(link); }},
                     source_serves};
  Attempt attempt = attempt_of(job.run, job.ref, kPair);
  auto look = look_at_pair(id, pair, attempt, job.run.limits);
  remember_attempt(job.run, job.ref, attempt, id.worker, job.to);
  if (attempt.started) job.run.entry(job.ref).worker = worker_name(worker_of(id, pair.receiver, attempt.number));
  if (const auto* state = std::get_if<Underway>(&look)) return underway(job, *state);
  if (const auto* error = std::get_if<EngineError>(&look))
    return from_error(error->error, *error->host, error->host == &job.from);
  if (const auto* error = std::get_if<Error>(&look)) return from_lookup(*error);
  const auto& end = std::get<PairEnd>(look);
  for (const auto* side : {&pair.sender, &pair.receiver})
    remove_after_write(job.run, *side->host, worker_of(id, *side, attempt.number), attempt.number);
  if (end.receiver.result && end.receiver.result->ok) return copied(job, *end.receiver.result);
  const WorkerSeen& told = telling(end);
  return not_copied(job, told, end.receiver, &told == &end.sender ? job.from : job.to);
}

/// A question that is asked once before each attempt but the first, which the look came before. `key`: of its answer's
/// attempt, in the step's memory.
bool is_to_be_asked(const CopyJob& job, const char* key) {
  const auto attempt = job.run.entry(job.ref).attempt;
  return attempt > 1 && job.run.memory(job.ref).value(key, std::int64_t{0}) != attempt;
}
void remember_asked(const CopyJob& job, const char* key) {
  Json memory = job.run.memory(job.ref);
  memory[key] = job.run.entry(job.ref).attempt;
  job.run.remember(job.ref, memory);
}

/// A worker that vanished may have done it all. Nothing: it is not there.
std::optional<Outcome> ask_repository(const CopyJob& job) {
  Run& run = job.run;
  if (!is_to_be_asked(job, kAsked)) return std::nullopt;
  bool directory = true;
  auto listed = list_place(run, job.plan, job.ref, job.to, kList, directory);
  if (auto* outcome = std::get_if<Outcome>(&listed)) return std::move(*outcome);
  remove_list(run, job.plan, job.ref, job.to, kList, run.entry(job.ref).attempt);
  remember_asked(job, kAsked);
  const auto* found = snapshot_with(std::get<mover::SnapshotsData>(listed), job.ref.missing->id);
  if (found == nullptr) return std::nullopt;
  take_snapshot(run.backup.status, *job.ref.place, *found);
  mover::CopyData data;
  data.bytes_total = found->data_bytes;
  data.files_total = found->files;
  return Done{copy_result(data),
              fmt::format("The snapshot of {} is there on host {}.", job.ref.place->volume, job.to.host.metadata.name)};
}

/// Retention may have forgotten a snapshot at its source since the look. Nothing: it is there to be copied.
std::optional<Outcome> ask_source(const CopyJob& job) {
  if (!job.plan.copies_repository() || !is_to_be_asked(job, kSourceAsked)) return std::nullopt;
  bool directory = true;
  auto listed = list_place(job.run, job.plan, job.ref, job.from, kListSource, directory);
  if (auto* outcome = std::get_if<Outcome>(&listed)) return std::move(*outcome);
  remove_list(job.run, job.plan, job.ref, job.from, kListSource, job.run.entry(job.ref).attempt);
  remember_asked(job, kSourceAsked);
  // Without the directory nobody knows: its disk may not be mounted.
  if (!directory || snapshot_with(std::get<mover::SnapshotsData>(listed), job.ref.missing->id) != nullptr)
    return std::nullopt;
  return Done{copy_result({}), fmt::format("Snapshot {} is not kept on host {} any more and needs no copy.",
                                           job.ref.missing->id, job.from.host.metadata.name)};
}

/// Docker makes a volume that a container names and that is not there: an empty backup would come of it.
std::optional<Outcome> source_is_gone(const CopyJob& job) {
  if (job.plan.copies_repository()) return std::nullopt;
  const auto found = job.from.engine->inspect_volume(job.ref.place->volume, job.run.limits);
  if (!found && found.error().kind == ErrorKind::NotFound)
    return Retry{
        "SourceVolumeMissing",
        fmt::format("volume {} is not there on host {} any more", job.ref.place->volume, job.from.host.metadata.name),
        "create it, or take it out of the policy"};
  if (!found) return from_error(found.error(), job.from, true);
  return std::nullopt;
}

}  // namespace

Outcome copy(Run& run, const Plan& plan, const StepRef& ref) {
  auto found = ends_of(run, plan, *ref.place);
  if (auto* problem = std::get_if<Outcome>(&found)) return std::move(*problem);
  const auto& ends = std::get<Ends>(found);
  CopyJob job{run, plan, ref, ends.from, ends.to, {}, {}};
  (void)run.context.metrics.counter(metric::kBytesMoved, {ends.from.host.metadata.name, ends.to.host.metadata.name});
  auto path = repository_path({&ends.to, ref.place->source_host, ref.place->volume}, run.limits);
  if (!path) return from_error(path.error(), ends.to, false);
  job.directory = std::move(*path);
  if (plan.copies_repository()) {
    path = repository_path({&ends.from, ref.place->source_host, ref.place->volume}, run.limits);
    if (!path) return from_error(path.error(), ends.from, true);
    job.source_directory = std::move(*path);
  }
  const Serving serving = serving_side(ends.from.host, ends.to.host, Keeper::Target);
  if (serving == Serving::Nobody) return *judge_destination(ends.from, ends.to);
  if (!attempt_of(run, ref, "copy").started) {
    if (auto outcome = ask_repository(job)) return *outcome;
    if (auto outcome = ask_source(job)) return *outcome;
    if (auto outcome = source_is_gone(job)) return *outcome;
    if (auto outcome = waits_for_another(job)) return *outcome;
  }
  if (serving == Serving::Local) return copy_here(job);
  return copy_between(job, serving == Serving::Source);
}

}  // namespace roadstead::reconcilers::backup
