#include "reconcilers/backup/volume_run.h"

#include <algorithm>
#include <map>
#include <set>

#include "operator/base/hash.h"
#include "operator/base/log.h"
#include "operator/base/quantity.h"
#include "reconcilers/support/hooks.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::backup {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kSource = "/source";
constexpr const char *kList = "look", *kListSource = "look-source";  // workers' words
constexpr Millis kBriefly{5'000};    // how long the end of what takes a moment is waited for
constexpr Millis kBusyPause{5'000};  // somebody else uses the directory
constexpr Millis kSpaceFirst{30'000}, kSpaceLongest{300'000};

// In a step's memory.
constexpr const char* kStarted = "started";          // worker's word → the attempt whose worker was made
constexpr const char* kAsked = "asked";              // the attempt before which the repository was asked
constexpr const char* kSourceAsked = "sourceAsked";  // the same of the one that is read
constexpr const char* kBegun = "begun";              // a hook
constexpr const char* kNoSpace = "noSpace";          // how often the disk was full

// ---- workers -------------------------------------------------------------------------------------------------------

/// Hosts have no underscore in their names, so that no two places make the same word.
std::string item_of(const Plan& plan, const StepRef& ref) {
  if (!ref.place) return {};
  std::string item = ref.place->volume;
  if (plan.copies_repository()) item = ref.place->source_host + "_" + item;
  if (plan.copies_repository() && ref.missing) item += "_" + sha256_hex(ref.missing->id).substr(0, 10);
  return item + "_at_" + ref.place->host;
}

/// Everything that a worker's job follows from: what was made for something else is never adopted.
WorkerId worker_id(const Run& run, const Plan& plan, const StepRef& ref, std::string word) {
  Json facts{ref.name, plan.from()};
  if (ref.place) facts.push_back({ref.place->source_host, ref.place->volume, ref.place->host, ref.place->exclude});
  if (ref.missing) facts.push_back(ref.missing->id);
  return {.installation = run.context.installation,
          .owner = key_of(run.backup),
          .item = item_of(plan, ref),
          .step = std::move(word),
          .attempt = 1,
          .spec_hash = sha256_hex(facts.dump()).substr(0, 16)};
}

Attempt attempt_of(Run& run, const StepRef& ref, const std::string& word) {
  const int number = static_cast<int>(run.entry(ref).attempt);
  const Json started = run.memory(ref).value(kStarted, Json::object());
  return {number, started.value(word, 0) == number};
}

/// What is remembered of workers of an attempt that is over means nothing to the next.
void next_attempt(Run& run, const StepRef& ref, int number) {
  crds::Step& entry = run.entry(ref);
  entry.attempt = number;
  entry.worker.clear();
  Json memory = run.memory(ref);
  memory.erase(kStarted);
  run.remember(ref, memory);
}

void next_attempt(Run& run, const StepRef& ref) {
  next_attempt(run, ref, static_cast<int>(run.entry(ref).attempt) + 1);
}

void keep(Run& run, const StepRef& ref, const Attempt& attempt, const WorkerId& id, const HostHandle& host) {
  crds::Step& entry = run.entry(ref);
  if (attempt.number != entry.attempt) return next_attempt(run, ref, attempt.number);
  if (!attempt.started) return;
  WorkerId made = id;
  made.attempt = attempt.number;
  entry.worker = worker_name(made);
  entry.host = host.host.metadata.name;
  Json memory = run.memory(ref);
  memory[kStarted][id.step] = attempt.number;
  run.remember(ref, memory);
}

void remove_after_write(Run& run, const HostHandle& host, WorkerId id, int attempt) {
  id.attempt = attempt;
  run.after_write.push_back([engine = host.engine, id, limits = run.limits] {
    // One that stays is found by its labels when the Backup ends.
    if (auto removed = remove_worker(*engine, id, std::chrono::seconds(0), limits); !removed)
      log_warning("a worker is left for later", {{"worker", worker_name(id)}, {"why", removed.error().message}});
  });
}

Result<WorkerSpec> mover_spec(Run& run, const HostHandle& host, const mover::Job& job) {
  return run.context.images.ensure_mover(host, run.limits).map([&](const std::string& image) {
    return WorkerSpec{{}, mover_container(image), job_files(job)};
  });
}

/// A worker that failed, as what it means for its step.
Outcome from_failure(Run& run, const StepRef& ref, const mover::WorkerResult& result, const HostHandle& host) {
  if (result.reason == "Busy") {
    next_attempt(run, ref);
    return Working{
        fmt::format("Waits: another backup, a restore or the upkeep uses the repository directory on host {}.",
                    host.host.metadata.name),
        kBusyPause,
        {}};
  }
  return Retry{result.reason, fmt::format("host {}: {}", host.host.metadata.name, result.message), result.next};
}

// ---- plan ----------------------------------------------------------------------------------------------------------

Outcome waits(std::string reason, std::string message) {
  return Blocked{std::move(reason), std::move(message), kBlockedRetry};
}

/// Source, destinations and transfer, of the policy or of the Backup itself.
Result<Plan> wanted(Run& run) {
  const auto& spec = run.backup.spec;
  if (!spec.policy_ref) {
    if (!spec.source) return fail(ErrorKind::Invalid, "spec names neither a policy nor a source");
    Plan plan;
    plan.source = *spec.source;
    plan.destinations = spec.destinations;
    plan.transfer = spec.transfer;
    return plan;
  }
  auto policy = get<crds::BackupPolicy>(run.context.api, run.backup.metadata.ns, spec.policy_ref->name);
  if (!policy) return within("spec.policyRef " + spec.policy_ref->name, policy.error());
  Plan plan;
  plan.source = std::move(policy->spec.source);
  plan.destinations = std::move(policy->spec.destinations);
  plan.transfer = policy->spec.transfer;
  if (policy->spec.retention) plan.suspicious_shrink_percent = policy->spec.retention->suspicious_shrink_percent;
  return plan;
}

void add_place(Plan& plan, Place place) {
  const auto same = std::ranges::find_if(plan.places, [&](const Place& known) {
    return known.source_host == place.source_host && known.volume == place.volume && known.host == place.host;
  });
  if (same == plan.places.end())
    plan.places.push_back(std::move(place));
  else
    same->policies.insert(same->policies.end(), place.policies.begin(), place.policies.end());
}

/// The places of the volumes that the named policies back up. Nothing: done.
std::optional<Outcome> add_copied_places(Run& run, Plan& plan) {
  for (const auto& ref : plan.source.repository->policy_refs) {
    auto policy = get<crds::BackupPolicy>(run.context.api, run.backup.metadata.ns, ref.name);
    if (!policy)
      return from_lookup(Error{policy.error().kind,
                               fmt::format("source.repository.policyRefs {}: {}", ref.name, policy.error().message)});
    const auto& source = policy->spec.source;
    if (source.volumes.empty() || !source.host_ref)
      return waits(
          "PolicyUnsuitable",
          fmt::format("BackupPolicy {} backs up no volumes; name the policies whose snapshots are to be copied",
                      ref.name));
    for (const auto& volume : source.volumes)
      for (const auto& destination : plan.destinations)
        add_place(plan, {source.host_ref->name, volume.name, destination.host_ref.name, {}, {ref.name}});
  }
  return std::nullopt;
}

/// What stands against it and does not go away by itself. Nothing: the host can be used.
std::optional<Outcome> judge_destination(const HostHandle& from, const HostHandle& to) {
  const std::string& name = to.host.metadata.name;
  if (!to.host.spec.repository)
    return waits("NoRepository",
                 fmt::format("host {} keeps no backups; name a volume for them in its spec.repository.volume", name));
  if (serving_side(from.host, to.host, Keeper::Target) == Serving::Nobody)
    return waits("NoDataPath",
                 fmt::format("neither host {} nor host {} has spec.data.ports; set it (e.g. ports: \"10022-10031\") on "
                             "the one that the other can reach",
                             from.host.metadata.name, name));
  return std::nullopt;
}

std::optional<Outcome> judge_source(Run& run, const Plan& plan, const HostHandle& from) {
  const std::string& name = from.host.metadata.name;
  if (plan.copies_repository()) {
    if (from.host.spec.repository) return std::nullopt;
    return waits("NoRepository", fmt::format("host {} keeps no backups that could be copied", name));
  }
  for (const auto& volume : plan.source.volumes) {
    const auto found = from.engine->inspect_volume(volume.name, run.limits);
    if (!found && found.error().kind == ErrorKind::NotFound)
      return waits(
          "SourceVolumeMissing",
          fmt::format("volume {} is not there on host {}; create it, or take it out of the policy", volume.name, name));
    if (!found) return from_error(found.error(), from, true);
  }
  return std::nullopt;
}

/// Once, at the beginning: waits until everything that is named is there.
Outcome make_plan(Run& run) {
  auto plan = wanted(run);
  if (!plan) return from_lookup(plan.error());
  if (!plan->source.host_ref) return waits("ReferenceUnusable", "the source names no host");
  auto from = run.context.hosts.get(plan->from());
  if (!from)
    return from_lookup(
        Error{from.error().kind, fmt::format("source.hostRef {}: {}", plan->from(), from.error().message)});
  if (auto problem = judge_source(run, *plan, *from)) return *problem;
  for (const auto& destination : plan->destinations) {
    auto to = run.context.hosts.get(destination.host_ref.name);
    if (!to)
      return from_lookup(
          Error{to.error().kind, fmt::format("destination {}: {}", destination.host_ref.name, to.error().message)});
    if (auto problem = judge_destination(*from, *to)) return *problem;
  }
  if (plan->copies_repository()) {
    if (auto problem = add_copied_places(run, *plan)) return *problem;
  } else {
    for (const auto& volume : plan->source.volumes)
      for (const auto& destination : plan->destinations)
        add_place(*plan, {plan->from(), volume.name, destination.host_ref.name, volume.exclude, {}});
  }
  const auto places = plan->places.size();
  return Done{to_text(*plan), places == 1 ? std::string("Looks at one repository directory.")
                                          : fmt::format("Looks at {} repository directories.", places)};
}

// ---- look ----------------------------------------------------------------------------------------------------------

using Listed = std::variant<mover::SnapshotsData, Outcome>;

/// What a host keeps of the place's volume; no directory is no snapshots, and tells so in `directory`. The worker stays
/// where it succeeded, so that its answer can be read again: see remove_list().
Listed list(Run& run, const Plan& plan, const StepRef& ref, const HostHandle& host, const std::string& word,
            bool& directory) {
  const WorkerId id = worker_id(run, plan, ref, word);
  const RepositoryPlace place{&host, ref.place->source_host, ref.place->volume};
  Attempt attempt = attempt_of(run, ref, word);
  auto look = look_at_repository(run.context, place, id, list_snapshots(), kBriefly, attempt, run.limits);
  keep(run, ref, attempt, id, host);
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

/// What list() read needs no worker any more.
void remove_list(Run& run, const Plan& plan, const StepRef& ref, const HostHandle& host, const std::string& word,
                 std::int64_t attempt) {
  remove_after_write(run, host, worker_id(run, plan, ref, word), static_cast<int>(attempt));
}

const mover::SnapshotSeen* find(const mover::SnapshotsData& data, const std::string& id) {
  const auto found = std::ranges::find(data.snapshots, id, &mover::SnapshotSeen::id);
  return found == data.snapshots.end() ? nullptr : &*found;
}

std::string own_snapshot(const Run& run) {
  return mover::snapshot_id(run.backup.metadata.ns, run.backup.metadata.name);
}

/// The one snapshot that this Backup makes.
Lookup look_for_own(Run& run, const Place& place, const mover::SnapshotsData& kept) {
  Lookup lookup;
  if (const auto* own = find(kept, own_snapshot(run))) {
    take_snapshot(run.backup.status, place, *own);
    return lookup;
  }
  Missing missing{own_snapshot(run), {}, {}};
  if (!kept.snapshots.empty()) missing.bytes = static_cast<std::int64_t>(kept.snapshots.back().data_bytes);
  lookup.missing.push_back(std::move(missing));
  return lookup;
}

/// It is of one of the policies whose snapshots are copied, in this installation.
bool is_wanted(const Run& run, const Place& place, const mover::SnapshotSeen& seen) {
  const auto origin = mover::parse_origin(seen.origin);
  return origin && origin->installation == run.context.installation && origin->ns == run.backup.metadata.ns &&
         std::ranges::find(place.policies, origin->policy) != place.policies.end();
}

/// Snapshots of the named policies of this installation that the destination lacks, oldest first. `source`: nothing
/// where the source has no directory.
Lookup look_for_copies(const Run& run, const Place& place, const std::optional<mover::SnapshotsData>& source,
                       const mover::SnapshotsData& kept) {
  Lookup lookup;
  if (!source) {
    lookup.source_gone =
        std::ranges::any_of(kept.snapshots, [&](const auto& seen) { return is_wanted(run, place, seen); });
    return lookup;
  }
  // Whose one is that cannot be read only its name tells: the namespace.
  for (const std::string& id : source->unreadable)
    if (id.starts_with(run.backup.metadata.ns + ".") && find(kept, id) == nullptr) lookup.unreadable.push_back(id);
  for (const auto& seen : source->snapshots) {
    if (!is_wanted(run, place, seen) || find(kept, seen.id) != nullptr) continue;
    if (lookup.missing.size() >= kMostCopies)
      ++lookup.left_out;
    else
      lookup.missing.push_back({seen.id, seen.origin, static_cast<std::int64_t>(seen.data_bytes)});
  }
  return lookup;
}

/// The handles of a place's two ends.
struct Ends {
  HostHandle from, to;
};
std::variant<Ends, Outcome> ends_of(Run& run, const Plan& plan, const Place& place) {
  auto from = run.context.hosts.get(plan.from());
  if (!from) return from_lookup(from.error());
  auto to = run.context.hosts.get(place.host);
  if (!to) return from_lookup(to.error());
  return Ends{std::move(*from), std::move(*to)};
}

Outcome look(Run& run, const Plan& plan, const StepRef& ref) {
  auto found = ends_of(run, plan, *ref.place);
  if (auto* problem = std::get_if<Outcome>(&found)) return std::move(*problem);
  const auto& ends = std::get<Ends>(found);
  bool directory = true, source_directory = true;
  std::optional<mover::SnapshotsData> source;
  if (plan.copies_repository()) {
    auto listed = list(run, plan, ref, ends.from, kListSource, source_directory);
    if (auto* outcome = std::get_if<Outcome>(&listed)) return std::move(*outcome);
    if (source_directory) source = std::get<mover::SnapshotsData>(std::move(listed));
  }
  const auto attempt = run.entry(ref).attempt;
  auto listed = list(run, plan, ref, ends.to, kList, directory);
  auto* outcome = std::get_if<Outcome>(&listed);
  // While the one is waited for, the other's answer is kept, or both would be asked anew each time.
  const bool is_over = outcome == nullptr || run.entry(ref).attempt != attempt;
  if (plan.copies_repository() && is_over) remove_list(run, plan, ref, ends.from, kListSource, attempt);
  if (outcome != nullptr) return std::move(*outcome);
  remove_list(run, plan, ref, ends.to, kList, run.entry(ref).attempt);
  const auto& kept = std::get<mover::SnapshotsData>(listed);
  Lookup lookup =
      plan.copies_repository() ? look_for_copies(run, *ref.place, source, kept) : look_for_own(run, *ref.place, kept);
  lookup.directory = directory;
  const auto count = lookup.missing.size() + static_cast<std::size_t>(lookup.left_out);
  return Done{to_text(lookup), fmt::format("{} on host {}.",
                                           count == 0   ? std::string("Everything is there already")
                                           : count == 1 ? std::string("One snapshot is missing")
                                                        : fmt::format("{} snapshots are missing", count),
                                           ref.place->host)};
}

// ---- directory -----------------------------------------------------------------------------------------------------

/// An engine refuses a bind whose source is missing, so a mover that sees the whole repository makes it first.
Outcome make_directory(Run& run, const Plan& plan, const StepRef& ref) {
  auto to = run.context.hosts.get(ref.place->host);
  if (!to) return from_lookup(to.error());
  if (!to->host.spec.repository)
    return waits("NoRepository", fmt::format("host {} keeps no backups any more", ref.place->host));
  const WorkerId id = worker_id(run, plan, ref, "directory");
  const auto make = [&]() -> Result<WorkerSpec> {
    const mover::MakeDirectory job{
        .path = fmt::format("{}/{}", kRepositoryMount,
                            mover::repository_directory(ref.place->source_host, ref.place->volume))};
    auto spec = mover_spec(run, *to, job);
    if (!spec) return spec;
    spec->container.network_mode = "none";
    spec->container.mounts.push_back(
        {MountSpec::Type::Volume, to->host.spec.repository->volume, std::string(kRepositoryMount), false});
    return spec;
  };
  Attempt attempt = attempt_of(run, ref, id.step);
  auto end = look_at_worker({&*to, id, make, kBriefly}, attempt, run.limits);
  keep(run, ref, attempt, id, *to);
  if (const auto* underway = std::get_if<Underway>(&end)) return from_underway(*underway);
  if (const auto* error = std::get_if<EngineError>(&end)) return from_error(error->error, *to, false);
  remove_after_write(run, *to, id, attempt.number);
  const auto& seen = std::get<WorkerSeen>(end);
  if (!seen.result)
    return Retry{
        "WorkerFailed",
        fmt::format("worker {} on host {} {}", run.entry(ref).worker, ref.place->host, end_without_result(seen)),
        {}};
  if (!seen.result->ok) return from_failure(run, ref, *seen.result, *to);
  return Done{"{}", fmt::format("The repository directory is there on host {}.", ref.place->host)};
}

// ---- copy ----------------------------------------------------------------------------------------------------------

mover::Compression compression_of(crds::Compression compression) {
  switch (compression) {
    case crds::Compression::None:
      return mover::Compression::None;
    case crds::Compression::Zstd:
      return mover::Compression::Zstd;
    case crds::Compression::Auto:
      break;
  }
  return mover::Compression::Auto;
}

/// Everything that a copy's movers are made from.
struct CopyJob {
  Run& run;
  const Plan& plan;
  const StepRef& ref;
  const HostHandle& from;
  const HostHandle& to;
  std::string directory;         ///< On the destination.
  std::string source_directory;  ///< Where a repository is copied: on the host that is read.

  [[nodiscard]] mover::Copy base(mover::Role role, const std::optional<mover::Link>& link) const {
    const crds::Transfer transfer = plan.transfer.value_or(crds::Transfer{});
    mover::Copy copy;
    copy.role = role;
    copy.link = link;
    if (copy.link) copy.link->connections = static_cast<int>(transfer.connections);
    copy.compression = compression_of(transfer.compression);
    copy.bandwidth_limit = static_cast<std::uint64_t>(transfer.bandwidth_limit);
    return copy;
  }

  [[nodiscard]] mover::Source source() const {
    mover::Source source;
    source.path = std::string(kSource);
    if (plan.copies_repository()) {
      source.snapshot = ref.missing->id;
    } else {
      source.exclude = ref.place->exclude;
      source.live = true;
    }
    return source;
  }

  [[nodiscard]] mover::Snapshot sink() const {
    mover::Snapshot snapshot;
    snapshot.path = std::string(kRepositoryMount);
    snapshot.id = ref.missing->id;
    if (plan.copies_repository()) {
      snapshot.origin = ref.missing->origin;
      return snapshot;
    }
    const auto& backup = run.backup;
    snapshot.origin =
        mover::to_json(mover::Origin{run.context.installation, backup.metadata.ns, backup.metadata.name,
                                     backup.spec.policy_ref ? backup.spec.policy_ref->name : std::string(),
                                     ref.place->source_host, ref.place->volume, backup.spec.scheduled_time});
    return snapshot;
  }

  void mount_source(ContainerSpec& container) const {
    if (plan.copies_repository())
      container.mounts.push_back({MountSpec::Type::Bind, source_directory, std::string(kSource), true});
    else
      container.mounts.push_back({MountSpec::Type::Volume, ref.place->volume, std::string(kSource), true});
  }
  void mount_sink(ContainerSpec& container) const { container.mounts.push_back(repository_mount(directory, false)); }

  [[nodiscard]] Result<WorkerSpec> sender(const mover::Link& link) const {
    mover::Copy copy = base(mover::Role::Send, link);
    copy.source = source();
    auto spec = mover_spec(run, from, copy);
    if (spec) mount_source(spec->container);
    return spec;
  }
  [[nodiscard]] Result<WorkerSpec> receiver(const mover::Link& link) const {
    mover::Copy copy = base(mover::Role::Receive, link);
    copy.snapshot = sink();
    auto spec = mover_spec(run, to, copy);
    if (spec) mount_sink(spec->container);
    return spec;
  }
  [[nodiscard]] Result<WorkerSpec> both() const {
    mover::Copy copy = base(mover::Role::Both, std::nullopt);
    copy.source = source();
    copy.snapshot = sink();
    auto spec = mover_spec(run, to, copy);
    if (!spec) return spec;
    spec->container.network_mode = "none";
    mount_source(spec->container);
    mount_sink(spec->container);
    return spec;
  }
};

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
  keep(job.run, job.ref, attempt, id, job.to);
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
  keep(job.run, job.ref, attempt, id.worker, job.to);
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
  auto listed = list(run, job.plan, job.ref, job.to, kList, directory);
  if (auto* outcome = std::get_if<Outcome>(&listed)) return std::move(*outcome);
  remove_list(run, job.plan, job.ref, job.to, kList, run.entry(job.ref).attempt);
  remember_asked(job, kAsked);
  const auto* found = find(std::get<mover::SnapshotsData>(listed), job.ref.missing->id);
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
  auto listed = list(job.run, job.plan, job.ref, job.from, kListSource, directory);
  if (auto* outcome = std::get_if<Outcome>(&listed)) return std::move(*outcome);
  remove_list(job.run, job.plan, job.ref, job.from, kListSource, job.run.entry(job.ref).attempt);
  remember_asked(job, kSourceAsked);
  // Without the directory nobody knows: its disk may not be mounted.
  if (!directory || find(std::get<mover::SnapshotsData>(listed), job.ref.missing->id) != nullptr) return std::nullopt;
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

// ---- hooks ---------------------------------------------------------------------------------------------------------

/// That it is begun is stored first: one whose end is unknown is then known to have been begun, and run again.
Outcome hook(Run& run, const Plan& plan, const StepRef& ref) {
  auto host = run.context.hosts.get(plan.from());
  if (!host) return from_lookup(host.error());
  Json memory = run.memory(ref);
  if (!memory.value(kBegun, false)) {
    memory[kBegun] = true;
    run.remember(ref, memory);
    run.entry(ref).host = plan.from();
    return Working{fmt::format("Hook {} runs.", ref.name), Millis{0}, {}};
  }
  return run_hook(run.context, *ref.hook, *host, run.limits);
}

}  // namespace

Json Run::memory(const StepRef& ref) {
  Json memory = Json::parse(entry(ref).result, nullptr, false);
  return memory.is_object() ? memory : Json::object();
}

void Run::remember(const StepRef& ref, const Json& memory) {
  entry(ref).result = memory.empty() ? std::string() : memory.dump();
}

Outcome perform(Run& run, const StepRef& ref) {
  (void)run.entry(ref);
  if (ref.kind == StepKind::Plan) return make_plan(run);
  const auto plan = plan_of(run.backup.status);
  if (!plan) return Failed{"PlanUnreadable", "the plan in status.steps cannot be read", "delete this Backup"};
  switch (ref.kind) {
    case StepKind::Plan:
      break;
    case StepKind::Look:
      return look(run, *plan, ref);
    case StepKind::Directory:
      return make_directory(run, *plan, ref);
    case StepKind::Copy:
      return copy(run, *plan, ref);
    case StepKind::Before:
    case StepKind::After:
      return hook(run, *plan, ref);
  }
  return make_plan(run);
}

Result<void> remove_workers(Run& run, std::string_view keep_step) {
  const auto plan = plan_of(run.backup.status);
  std::set<std::string> names;
  for (const auto& snapshot : run.backup.status.snapshots) names.insert(snapshot.host);
  if (plan) {
    names.insert(plan->from());
    for (const auto& destination : plan->destinations) names.insert(destination.host_ref.name);
  }
  for (const auto& name : names) {
    auto host = run.context.hosts.get(name);
    if (!host && host.error().kind == ErrorKind::NotFound) continue;
    if (!host) return tl::unexpected(host.error());
    auto removed = remove_workers_of(*host->engine, run.context.installation, key_of(run.backup),
                                     std::string(keep_step), run.limits);
    if (!removed) return within("host " + name, removed.error());
  }
  return {};
}

bool is_used_by(const crds::Backup& backup, const crds::RestoreRequest& request) {
  const auto& snapshots = backup.status.snapshots;
  // Its own is recognized wherever it is: a lost store may have left no word of it in the status.
  const auto own = mover::snapshot_id(backup.metadata.ns, backup.metadata.name);
  const auto is_pinned = [&](const crds::PinnedSource& pinned) {
    if (!pinned.snapshot) return false;
    return pinned.snapshot->id == own || std::ranges::any_of(snapshots, [&](const crds::BackupSnapshot& one) {
             return *pinned.snapshot == crds::SnapshotPin{one.host, one.source_host, one.volume, one.id};
           });
  };
  const auto names_it = [&](const crds::RestoreItem& item) {
    return item.from.backup_ref && item.from.backup_ref->name == backup.metadata.name;
  };
  return std::ranges::any_of(request.status.pinned, is_pinned) || std::ranges::any_of(request.spec.items, names_it);
}

Outcome forget(Run& run) {
  // By host, directory, and whether it is the Backup's own snapshot.
  std::map<std::tuple<std::string, std::string, std::string, bool>, std::vector<std::string>> ids;
  for (const auto& one : run.backup.status.snapshots)
    ids[{one.host, one.source_host, one.volume, one.id == own_snapshot(run)}].push_back(one.id);
  // What was made just before the end is in no status.
  const auto plan = plan_of(run.backup.status);
  if (plan && !plan->copies_repository() && !crds::is_finished(run.backup.status))
    for (const auto& place : plan->places)
      if (auto& known = ids[{place.host, place.source_host, place.volume, true}]; known.empty())
        known.push_back(own_snapshot(run));
  for (auto& [where, gone] : ids) {
    const auto& [name, source_host, volume, own] = where;
    auto host = run.context.hosts.get(name);
    if (!host && host.error().kind == ErrorKind::NotFound) continue;
    if (!host) return from_lookup(host.error());
    const WorkerId id{.installation = run.context.installation,
                      .owner = key_of(run.backup),
                      .item = fmt::format("{}_{}_at_{}{}", source_host, volume, name, own ? "" : "_copied"),
                      .step = std::string(kForgetStep),
                      .attempt = 1,
                      .spec_hash = sha256_hex(Json(gone).dump()).substr(0, 16)};
    Attempt attempt;
    auto look =
        look_at_repository(run.context, {&*host, source_host, volume}, id,
                           own ? forget_even_kept(gone) : forget_snapshots(gone), kBriefly, attempt, run.limits);
    if (std::holds_alternative<NothingKept>(look)) continue;
    if (const auto* state = std::get_if<Underway>(&look)) return from_underway(*state);
    if (const auto* error = std::get_if<EngineError>(&look)) return from_error(error->error, *host, false);
    const auto& result = std::get<mover::WorkerResult>(look);
    if (result.ok) continue;  // it stays until all are done, or it would be made again while others are waited for
    remove_after_write(run, *host, id, attempt.number);
    return Blocked{
        result.reason,
        sentence(fmt::format("the snapshots on host {} are not forgotten yet: {}", name, result.message), result.next),
        kBlockedRetry};
  }
  return Done{};
}

}  // namespace roadstead::reconcilers::backup
