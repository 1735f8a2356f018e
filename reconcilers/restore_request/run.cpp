#include "reconcilers/restore_request/run.h"

#include "operator/base/hash.h"
#include "reconcilers/support/mover_worker.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::restore {
namespace {

using Json = nlohmann::json;

constexpr Millis kShortWait{5'000};
constexpr Millis kBusyPause{5'000};  // another mover has a lock

}  // namespace

Run::Run(Context& context_in, crds::RestoreRequest& request_in, Limits limits_in)
    : context(context_in),
      request(request_in),
      limits(std::move(limits_in)),
      key{std::string(crds::Kind<crds::RestoreRequest>::kind), request_in.metadata.ns, request_in.metadata.name} {}

Result<HostHandle> Run::target() {
  if (!target_) {
    auto handle = context.hosts.get(request.spec.target.host_ref.name);
    if (!handle) return within("spec.target.hostRef " + request.spec.target.host_ref.name, handle.error());
    target_ = std::move(*handle);
  }
  return *target_;
}

Result<ItemSource*> Run::source_of(const crds::RestoreItem& item) {
  if (!item.from.barman) return fail(ErrorKind::Invalid, "item {}: spec.items.from.barman is missing", item.name);
  const std::string& name = item.from.barman->server_ref.name;
  const auto found = sources_.find(name);
  if (found != sources_.end()) return &found->second;
  auto server = get<crds::BarmanServer>(context.api, request.metadata.ns, name);
  if (!server) return within("item " + item.name, server.error());
  auto access = barman_access(context, *server);
  if (!access) return within("BarmanServer " + name, access.error());
  return &sources_.emplace(name, ItemSource{std::move(*server), std::move(*access)}).first->second;
}

Result<const HostHandle*> Run::keeper(const std::string& host) {
  const auto found = keepers_.find(host);
  if (found != keepers_.end()) return &found->second;
  auto handle = context.hosts.get(host);
  if (!handle) return within("host " + host, handle.error());
  return &keepers_.emplace(host, std::move(*handle)).first->second;
}

std::string Run::worker_hash(const std::string& item) const {
  std::string material = spec_hash(request);
  if (const auto* pinned = pinned_of(request.status, item)) {
    material += "|" + pinned->backup_id + "|" + pinned->target_name;
    if (const auto& snapshot = pinned->snapshot)
      material += fmt::format("|{}|{}|{}|{}", snapshot->host, snapshot->source_host, snapshot->volume, snapshot->id);
    if (pinned->strategy == crds::RestoreStrategy::InPlace) material += "|InPlace";
  }
  return sha256_hex(material).substr(0, 16);
}

WorkerId Run::worker_id(const std::string& item, std::string step, int attempt) const {
  return {.installation = context.installation,
          .owner = key,
          .item = item,
          .step = std::move(step),
          .attempt = attempt,
          .spec_hash = worker_hash(item)};
}

Frame::Frame(Run& run, StepRef ref, const crds::RestoreItem* item) : run_(run), ref_(std::move(ref)), item_(item) {}

void Frame::remember_done(const std::string& what) {
  Json known = memory();
  known[what] = true;
  remember(known);
}

void next_attempt(Frame& frame, int at_least) { reconcilers::next_attempt(frame.entry(), at_least); }

namespace {

/// What a look at the worker of `id` has changed is remembered.
void note_attempt(Frame& frame, const Attempt& attempt, const WorkerId& id, const HostHandle& host) {
  remember_attempt(frame.entry(), id.step, attempt, worker_name(id), host.host.metadata.name);
}

}  // namespace

RepositoryEnd run_repository(Run& run, Frame& frame, const std::string& step, const RepositoryPlace& place,
                             const mover::Job& job) {
  Attempt attempt = attempt_of(frame.entry(), step);
  const WorkerId id = run.worker_id(frame.ref().item, step, attempt.number);
  auto look = look_at_repository(run.context, place, id, job, kShortWait, attempt, run.limits);
  note_attempt(frame, attempt, id, *place.host);
  if (auto* result = std::get_if<mover::WorkerResult>(&look)) return std::move(*result);
  if (std::holds_alternative<NothingKept>(look)) return NothingKept{};
  if (const auto* underway = std::get_if<Underway>(&look)) return from_underway(*underway);
  return from_error(std::get<EngineError>(look).error, *place.host, true);
}

WorkerEnd run_worker(Run& run, Frame& frame, const WorkerJob& job) {
  Attempt attempt = attempt_of(frame.entry(), job.step);
  const int before = attempt.number;
  const WorkerId id = run.worker_id(frame.ref().item, job.step, before);
  auto look = look_at_worker({job.host, id, [&] { return job.make(before); }, job.wait}, attempt, run.limits);
  note_attempt(frame, attempt, id, *job.host);
  if (auto* seen = std::get_if<WorkerSeen>(&look)) return std::move(*seen);
  if (const auto* underway = std::get_if<Underway>(&look)) return from_underway(*underway);
  return from_error(std::get<EngineError>(look).error, *job.host, job.is_source);
}

Outcome from_failure(Run& run, Frame& frame, const WorkerSeen& seen, const WorkerJob& job) {
  remove_after_write(run, frame, job, seen.attempt);
  if (!seen.result) return worker_failed(frame.entry().worker, *job.host, seen);
  const mover::WorkerResult& result = *seen.result;
  if (result.reason != "NoSpace" && result.reason != "Busy") return Retry{result.reason, result.message, result.next};
  next_attempt(frame);
  if (result.reason == "Busy")
    return Working{fmt::format("Waits on host {}: {}.", job.host->host.metadata.name, result.message), kBusyPause, {}};
  return Blocked{"NoSpace",
                 sentence(fmt::format("a disk of host {} is full: {}", job.host->host.metadata.name, result.message),
                          "make room there; what was written stays, and it goes on by itself"),
                 kBlockedRetry};
}

void remove_after_write(Run& run, const Frame& frame, const WorkerJob& job, int attempt) {
  run.after_write.push_back(removal_of(*job.host, run.worker_id(frame.ref().item, job.step, attempt), run.limits));
}

void mount_parent(ContainerSpec& container, const std::string& parent, const mover::Job& job) {
  container.mounts.push_back(
      {MountSpec::Type::Bind, parent, std::string(kParent), std::holds_alternative<mover::Inspect>(job)});
}

bool is_plain(const VolumeInfo& volume) { return volume.driver == "local" && volume.options.empty(); }

MountSpec marks_mount(bool read_only) {
  return {MountSpec::Type::Volume, std::string(mover::kMarksVolume), fmt::format("{}/{}", kParent, mover::kOwnName),
          read_only};
}

Result<void> mount_volume(const Run& run, const HostHandle& target, const std::string& volume, const mover::Job& job,
                          ContainerSpec& container) {
  auto found = target.engine->inspect_volume(volume, run.limits);
  if (!found) return tl::unexpected(found.error());
  if (is_plain(*found)) {
    mount_parent(container, parent_of(found->mountpoint), job);
    return {};
  }
  const bool only_looks = std::holds_alternative<mover::Inspect>(job);
  container.mounts.push_back(
      {MountSpec::Type::Volume, volume, fmt::format("{}/{}", kParent, mover::kDataName), only_looks});
  if (only_looks) {  // which makes no volume
    auto marks = target.engine->inspect_volume(std::string(mover::kMarksVolume), run.limits);
    if (!marks && marks.error().kind == ErrorKind::NotFound) return {};
    if (!marks) return tl::unexpected(marks.error());
  }
  container.mounts.push_back(marks_mount(only_looks));
  return {};
}

namespace {

using Mount = std::function<Result<void>(const HostHandle&, ContainerSpec&)>;

/// `mount` is only asked where the worker has to be made.
std::optional<Outcome> run_mover_in(Run& run, Frame& frame, const std::string& step, const Mount& mount,
                                    const mover::Job& job, MoverAnswer& answer) {
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  WorkerJob worker;
  worker.host = &*target;
  worker.step = step;
  worker.wait = kShortWait;
  worker.make = [&](int) -> Result<WorkerSpec> {
    auto spec = mover_spec(run.context, *target, job, run.limits);
    if (!spec) return spec;
    spec->container.network_mode = "none";
    if (auto mounted = mount(*target, spec->container); !mounted) return tl::unexpected(mounted.error());
    return spec;
  };
  const auto end = run_worker(run, frame, worker);
  if (const auto* outcome = std::get_if<Outcome>(&end)) return *outcome;
  const auto& seen = std::get<WorkerSeen>(end);
  if (!seen.result || !seen.result->ok) return from_failure(run, frame, seen, worker);
  answer = {seen.result->data, seen.finished_at};
  remove_after_write(run, frame, worker, seen.attempt);
  return std::nullopt;
}

}  // namespace

std::optional<Outcome> run_mover(Run& run, Frame& frame, const std::string& step, const std::string& volume,
                                 const mover::Job& job, MoverAnswer& answer) {
  const auto mount = [&](const HostHandle& target, ContainerSpec& container) {
    return mount_volume(run, target, volume, job, container);
  };
  return run_mover_in(run, frame, step, mount, job, answer);
}

std::optional<Outcome> run_mover_at(Run& run, Frame& frame, const std::string& step, const std::string& parent,
                                    const mover::Job& job, MoverAnswer& answer) {
  const auto mount = [&](const HostHandle&, ContainerSpec& container) -> Result<void> {
    mount_parent(container, parent, job);
    return {};
  };
  return run_mover_in(run, frame, step, mount, job, answer);
}

mover::Target mover_target(const crds::RestoreRequest& request, const std::string& item) {
  return {std::string(kParent), mover::request_name(request.metadata.ns, request.metadata.name, item)};
}

std::string parent_of(const std::string& mountpoint) { return mountpoint.substr(0, mountpoint.rfind('/')); }

}  // namespace roadstead::reconcilers::restore
