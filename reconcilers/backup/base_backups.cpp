#include "reconcilers/backup/base_backups.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "operator/base/hash.h"
#include "reconcilers/backup/reconciler.h"
#include "reconcilers/support/backup_names.h"
#include "reconcilers/support/barman.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/typed_client.h"
#include "reconcilers/support/worker.h"

namespace roadstead::reconcilers::backup {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kStep = "backup";
constexpr auto kCancelGrace = 30s;
// barman waits so long for the last WAL; production is nudged meanwhile, so it takes seconds.
constexpr int kWalWaitSeconds = 600;

/// Why a server cannot make a base backup now; empty: it can.
std::string hindrance(const crds::BarmanServer& server) {
  if (server.metadata.deletion_timestamp) return fmt::format("BarmanServer {} is being deleted", server.metadata.name);
  for (const char* type : {"StandingContainer", "Postgresql", "Streaming"}) {
    const auto* condition = crds::find_condition(server.status.conditions, type);
    if (condition == nullptr) return fmt::format("BarmanServer {} is not set up yet", server.metadata.name);
    if (condition->status != crds::ConditionStatus::True)
      return fmt::format("BarmanServer {}: {}", server.metadata.name, condition->message);
  }
  return {};
}

}  // namespace

std::string annotation_of(const crds::Backup& object, std::string_view name) {
  const auto found = object.metadata.annotations.find(std::string(name));
  return found == object.metadata.annotations.end() ? std::string() : found->second;
}

bool claim(crds::Backup& object) {
  bool changed = crds::add_finalizer(object.metadata, kBackupFinalizer);
  if (object.spec.policy_ref)
    changed |= object.metadata.labels.insert({std::string(crds::kPolicyLabel), object.spec.policy_ref->name}).second;
  return changed;
}

Result<Millis> BaseBackups::look(crds::Backup& object, const Limits& limits) {
  Observed seen;
  std::optional<Place> place = find_place(object, seen);
  if (place) observe(object, *place, seen, limits);
  // From here to the worker's start no other Backup may decide to start as well.
  std::unique_lock starting(starting_, std::defer_lock);
  Decision decision = decide(object, seen, context_.clock.now());
  if (decision.act == Act::Start) {
    starting.lock();
    observe_others(object, *place, seen, limits);
    if (seen.not_ready.empty())
      if (auto ready = context_.images.ensure(place->access.host, place->server.spec.image, limits); !ready)
        seen.not_ready = ready.error().message;
    decision = decide(object, seen, context_.clock.now());
  }
  if (claims(seen, decision) && claim(object))
    if (auto written = update(context_.api, object); !written) return tl::unexpected(written.error());

  const int attempt = decision.attempt > 0 ? decision.attempt : std::max(1, seen.worker.attempt);
  const std::string worker =
      seen.made_from_catalogue || !place ? std::string() : worker_name(worker_id(object, place->server, attempt));
  const std::string host = place ? place->server.spec.host_ref.name : std::string();
  object.status = status_after(object, seen, decision, host, worker, context_.clock.now());
  if (auto written = update_status(context_.api, object); !written) return tl::unexpected(written.error());
  if (auto done = act(object, place, decision, limits); !done) return tl::unexpected(done.error());
  return decision.again;
}

Result<void> BaseBackups::clear(const crds::Backup& object, const Limits& limits) {
  Observed seen;
  auto place = find_place(object, seen);
  if (!place) {
    if (seen.unresolved && is_retryable(seen.unresolved->kind)) return tl::unexpected(*seen.unresolved);
    return {};
  }
  Engine& engine = *place->access.host.engine;
  auto highest = highest_attempt(engine, worker_id(object, place->server, 1), limits);
  if (!highest) return tl::unexpected(highest.error());
  // SIGTERM first: barman then takes its own half-made backup for failed.
  Limits patient = limits;
  patient.idle = kCancelGrace + 15s;
  if (*highest > 0)
    if (auto removed = remove_worker(engine, worker_id(object, place->server, *highest), kCancelGrace, patient);
        !removed)
      return removed;
  return remove_workers_of(engine, context_.installation, key_of(object), {}, limits);
}

// ---- looking ----------------------------------------------------------------------------------------------------

Result<std::string> BaseBackups::server_name(const crds::Backup& object) {
  if (const std::string name = annotation_of(object, kCatalogServerAnnotation); !name.empty()) return name;
  if (object.status.barman) return object.status.barman->server;
  if (object.spec.source && object.spec.source->barman) return object.spec.source->barman->server_ref.name;
  if (!object.spec.policy_ref) return fail(ErrorKind::Invalid, "spec names neither a policy nor a source");
  auto policy = get<crds::BackupPolicy>(context_.api, object.metadata.ns, object.spec.policy_ref->name);
  if (!policy) return within("spec.policyRef " + object.spec.policy_ref->name, policy.error());
  if (!policy->spec.source.barman)
    return fail(ErrorKind::Invalid, "BackupPolicy {} has no source that can be backed up", policy->metadata.name);
  return policy->spec.source.barman->server_ref.name;
}

std::optional<BaseBackups::Place> BaseBackups::find_place(const crds::Backup& object, Observed& seen) {
  seen.made_from_catalogue = !annotation_of(object, kCatalogIdAnnotation).empty();
  auto name = server_name(object);
  if (!name) {
    seen.unresolved = name.error();
    return std::nullopt;
  }
  auto server = get<crds::BarmanServer>(context_.api, object.metadata.ns, *name);
  if (!server) {
    seen.unresolved = Error{server.error().kind, fmt::format("BarmanServer {}: {}", *name, server.error().message)};
    return std::nullopt;
  }
  seen.server = *name;
  auto access = barman_access(context_, *server);
  if (!access) {
    seen.unresolved = access.error();
    return std::nullopt;
  }
  seen.container = access->container;
  return Place{std::move(*server), std::move(*access)};
}

void BaseBackups::observe(const crds::Backup& object, const Place& place, Observed& seen, const Limits& limits) {
  seen.not_ready = hindrance(place.server);
  if (auto done = observe_run(object, place, seen, limits); !done) seen.unreachable = done.error();
}

Result<void> BaseBackups::observe_run(const crds::Backup& object, const Place& place, Observed& seen,
                                      const Limits& limits) {
  Engine& engine = *place.access.host.engine;
  auto highest = highest_attempt(engine, worker_id(object, place.server, 1), limits);
  if (!highest) return tl::unexpected(highest.error());
  seen.highest_attempt = *highest;
  const int attempt = std::max({1, static_cast<int>(object.status.attempt), *highest});
  auto worker = observe_worker(engine, worker_id(object, place.server, attempt), limits);
  if (!worker) return tl::unexpected(worker.error());
  seen.worker = std::move(*worker);
  seen.worker.attempt = attempt;
  Barman barman = place.access.barman(limits);
  if (seen.worker.state == WorkerState::Running) {
    if (auto rows = barman.base_backup_progress(); rows && !rows->empty()) seen.progress = rows->front();
    return {};
  }
  if (auto read = read_catalogue(object, barman, seen); !read) {
    // Before barman is set up there is no catalogue and nothing of ours in it.
    if (!seen.not_ready.empty() && object.status.attempt == 0) return {};
    return read;
  }
  return observe_others(object, place, seen, limits);
}

Result<void> BaseBackups::read_catalogue(const crds::Backup& object, Barman& barman, Observed& seen) {
  auto listed = barman.list_backups();
  if (!listed) return tl::unexpected(listed.error());
  const std::string id = annotation_of(object, kCatalogIdAnnotation);
  bool unfinished = false;
  for (const ListedBackup& one : *listed) {
    const auto name = parse_barman_backup_name(one.backup.name);
    const bool ours = id.empty() ? name && name->ns == object.metadata.ns && name->backup == object.metadata.name
                                 : one.backup.id == id;
    const bool open = one.backup.status == "STARTED" || one.backup.status == "EMPTY";
    unfinished = unfinished || open;
    if (!ours) {
      if (open) seen.waits_for = fmt::format("base backup {} that is being made", one.backup.id);
      continue;
    }
    seen.entries.insert(seen.entries.begin(), one.backup);  // the list is newest first
    if (name) seen.highest_attempt = std::max(seen.highest_attempt, name->attempt);
    if (one.backup.status != "DONE" && one.backup.status != "FAILED") continue;
    auto details = barman.show_backup(one.backup.id);
    if (!details) return tl::unexpected(details.error());
    seen.entries.front() = details->backup;
    if (one.backup.status == "DONE") seen.details = std::move(*details);
  }
  if (!unfinished) return {};
  auto held = barman.backup_lock_held();
  if (!held) return tl::unexpected(held.error());
  seen.backup_lock_held = *held;
  if (!*held) seen.waits_for.clear();  // what is unfinished is dead
  return {};
}

/// One base backup of a server at a time, and a host has room for so many workers only.
Result<void> BaseBackups::observe_others(const crds::Backup& object, const Place& place, Observed& seen,
                                         const Limits& limits) {
  auto workers = place.access.host.engine->list_containers({{std::string(label::kInstallation), context_.installation},
                                                            {std::string(label::kRole), std::string(kWorkerRole)}},
                                                           limits);
  if (!workers) return tl::unexpected(workers.error());
  int running = 0;
  for (const ContainerSummary& worker : *workers) {
    if (worker.state != ContainerState::Running) continue;
    ++running;
    const auto owner = owner_of(worker.labels, context_.installation);
    if (!owner || owner == key_of(object)) continue;
    const bool backs_up = value_of(worker.labels, label::kStep) == kStep &&
                          value_of(worker.labels, label::kItem) == seen.server && owner->ns == object.metadata.ns;
    const bool deletes = *owner == key_of(place.server) && value_of(worker.labels, label::kStep) == "delete";
    if (backs_up) seen.waits_for = fmt::format("Backup {}, which this server makes now", owner->name);
    if (deletes) seen.waits_for = "the deletion of an unfinished base backup";
  }
  if (seen.waits_for.empty() && running >= kWorkersPerHost)
    seen.waits_for = fmt::format("a free place on host {}: {} workers run there, which is the limit",
                                 place.server.spec.host_ref.name, running);
  return {};
}

WorkerId BaseBackups::worker_id(const crds::Backup& object, const crds::BarmanServer& server, int attempt) const {
  return {.installation = context_.installation,
          .owner = key_of(object),
          .item = server.metadata.name,
          .step = std::string(kStep),
          .attempt = attempt,
          .spec_hash = sha256_hex("base backup of " + server.metadata.name).substr(0, 16)};
}

// ---- acting -----------------------------------------------------------------------------------------------------

Result<void> BaseBackups::act(const crds::Backup& object, const std::optional<Place>& place, const Decision& decision,
                              const Limits& limits) {
  switch (decision.act) {
    case Act::Start:
      return start(object, *place, decision.attempt, limits);
    case Act::AwaitWal: {
      // Helps it on; barman's own minute would do the same, and may be doing it right now.
      Barman barman = place->access.barman(limits);
      (void)barman.nudge().and_then([&] { return barman.archive_wal(); });
      return {};
    }
    case Act::FailAttempt:
      tell(context_.api, object, true, decision.reason, decision.message);
      return remove_worker(*place->access.host.engine, worker_id(object, place->server, decision.attempt), 0s, limits);
    case Act::None:
    case Act::Wait:
    case Act::Follow:
    case Act::Fail:
    case Act::Complete:
      return {};
  }
  return {};
}

Result<void> BaseBackups::start(const crds::Backup& object, const Place& place, int attempt, const Limits& limits) {
  WorkerSpec spec;
  spec.id = worker_id(object, place.server, attempt);
  const std::string name = barman_backup_name(object.metadata.ns, object.metadata.name, attempt);
  spec.container =
      barman_worker_container(place.server, place.access.setup,
                              {"barman", "-f", "json", "backup", "--wait", "--wait-timeout",
                               std::to_string(kWalWaitSeconds), "--name", name, place.server.metadata.name});
  spec.files = barman_files(place.access.setup);
  auto made = ensure_worker(*place.access.host.engine, spec, limits);
  if (!made) return tl::unexpected(made.error());
  tell(context_.api, object, false, "BackupStarted",
       fmt::format("Attempt {} runs in container {} on host {}", attempt, worker_name(spec.id),
                   place.server.spec.host_ref.name));
  return {};
}

}  // namespace roadstead::reconcilers::backup
