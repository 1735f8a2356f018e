#include "reconcilers/barman_server/reconciler.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>

#include "operator/base/log.h"
#include "reconcilers/barman_server/catalogue.h"
#include "reconcilers/barman_server/decide.h"
#include "reconcilers/support/backup_names.h"
#include "reconcilers/support/barman.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/pace.h"
#include "reconcilers/support/typed_client.h"
#include "reconcilers/support/worker.h"

namespace roadstead::reconcilers {
namespace {

using namespace std::chrono_literals;
using barman_server::Act;
using barman_server::Observed;

constexpr Millis kInterval = 15s;
constexpr Millis kAfterAct = 1s;
constexpr Millis kRetry = 5s;
constexpr Millis kCheckInterval = 60s;
constexpr Millis kCheckIntervalFailing = 15s;
constexpr Millis kListInterval = 60s;
constexpr Millis kListIntervalBusy = 10s;
constexpr Millis kKickInterval = 20s;  // from barman's minute to a slot in use, with time to spare
constexpr Millis kLogSpan = 90s;       // barman tries again every minute
constexpr auto kStopGrace = 15s;
constexpr std::string_view kDeleteStep = "delete";

/// What is only remembered to keep the pace: an operator that starts anew asks everything at once.
struct Memory {
  Time checked_at{}, listed_at{}, kicked_at{};
  bool all_passed = false;
  bool streamed = true;            ///< At the last look; what comes after an interruption is looked at at once.
  bool listed = false;             ///< The catalogue was read: what status says of it is of this operator's time.
  bool busy = false;               ///< A base backup was unfinished when the catalogue was last read.
  std::optional<Error> act_error;  ///< Why the last act failed.
  std::string barman_version;
  std::string interruption;  ///< Of the WAL since the newest base backup, by its name; empty: none.
};

using Standing = barman_server::ContainerState;

Standing state_of(const ContainerInfo& info, const std::string& installation, const ObjectKey& key,
                  const std::string& spec_hash) {
  if (owner_of(info.labels, installation) != key || value_of(info.labels, label::kRole) != kStandingRole)
    return Standing::Foreign;
  if (value_of(info.labels, label::kSpecHash) != spec_hash) return Standing::Stale;
  switch (info.state) {
    case roadstead::ContainerState::Created:
    case roadstead::ContainerState::Removing:
    case roadstead::ContainerState::Dead:
      return Standing::Broken;
    case roadstead::ContainerState::Paused:
    case roadstead::ContainerState::Exited:
      return Standing::Stopped;
    case roadstead::ContainerState::Restarting:
      return Standing::Restarting;
    case roadstead::ContainerState::Running:
      return Standing::Running;
  }
  return Standing::Broken;
}

class BarmanServerReconciler final : public Reconciler {
 public:
  explicit BarmanServerReconciler(Context& context) : context_(context) {}

  Result<Action> reconcile(const ObjectKey& key, std::stop_token stop) override {
    auto server = get<crds::BarmanServer>(context_.api, key.ns, key.name);
    if (!server) return server.error().kind == ErrorKind::NotFound ? forget(key) : tl::unexpected(server.error());
    if (const auto wait = pace_.wait(key, server->metadata.resource_version, context_.clock.now()))
      return Action::requeue(*wait);
    const Limits limits{.stop = stop, .connect = 5s, .idle = 20s};
    if (server->metadata.deletion_timestamp) return finalize(*server, limits);
    // Before the first side effect: from now on there may be a slot to drop.
    if (crds::add_finalizer(server->metadata, kBarmanServerFinalizer))
      if (auto written = update(context_.api, *server); !written) return tl::unexpected(written.error());
    return look_and_act(*server, limits);
  }

 private:
  Result<Action> look_and_act(crds::BarmanServer& server, const Limits& limits) {
    const ObjectKey key = key_of(server);
    Memory memory = recall(key);
    auto objects = list<crds::Backup>(context_.api, key.ns);
    if (!objects) return tl::unexpected(objects.error());

    Observed seen;
    auto access = barman_access(context_, server);
    if (access)
      observe(server, *access, *objects, memory, seen, limits);
    else
      seen.unusable = access.error();
    const Act act = barman_server::decide(server, seen, context_.clock.now());

    const crds::BarmanServerStatus before = server.status;
    server.status = barman_server::status_after(server, seen, context_.clock.now());
    if (auto written = update_status(context_.api, server); !written) return tl::unexpected(written.error());
    tell_changes(server, before);
    measure(server, before);
    if (barman_server::is_settled(act, seen)) memory.act_error.reset();

    // What is about to come back is looked at more often.
    Millis next = seen.host_error || !memory.streamed ? kRetry : kInterval;
    if (act != Act::None) next = perform(act, server, *access, seen, memory, limits);
    if (access && seen.listed && *seen.listed)
      if (tend_catalogue(server, *access, *objects, limits)) memory.busy = true;
    if (memory.listed) make_own_backup(server, *objects, memory);
    remember(key, std::move(memory));
    pace_.set(key, server.metadata.resource_version, context_.clock.now(), next);
    return Action::requeue(next);
  }

  // ---- looking ----------------------------------------------------------------------------------------------------

  void observe(const crds::BarmanServer& server, const BarmanAccess& access, const std::vector<crds::Backup>& objects,
               Memory& memory, Observed& seen, const Limits& limits) {
    seen.container_name = access.container;
    seen.spec_hash = standing_spec_hash(context_.installation_secret, server, access.setup);
    seen.act_error = memory.act_error;
    if (auto done = observe_container(server, access, seen, limits); !done) {
      seen.host_error = done.error();
      return;
    }
    if (seen.container.state != Standing::Running) return;
    Barman barman = access.barman(limits);
    if (auto cron = barman.last_cron()) seen.last_cron = *cron;
    if (memory.barman_version.empty())
      if (auto version = barman.version()) memory.barman_version = *version;
    seen.barman_version = memory.barman_version;
    observe_production(access, memory, seen, barman, limits);
    observe_catalogue(server, objects, memory, seen, barman);
  }

  Result<void> observe_container(const crds::BarmanServer& server, const BarmanAccess& access, Observed& seen,
                                 const Limits& limits) {
    auto info = access.host.engine->inspect_container(access.container, limits);
    if (!info) {
      if (info.error().kind == ErrorKind::NotFound) return {};
      return tl::unexpected(info.error());
    }
    seen.container = {
        state_of(*info, context_.installation, key_of(server), seen.spec_hash), info->id, info->started_at, {}};
    if (seen.container.state == Standing::Restarting)
      if (auto lines = access.host.engine->logs(info->id, {.tail = 1, .since = std::nullopt}, limits);
          lines && !lines->empty())
        seen.container.last_words = lines->back().text;
    return {};
  }

  void observe_production(const BarmanAccess& access, Memory& memory, Observed& seen, Barman& barman,
                          const Limits& limits) {
    const Time now = context_.clock.now();
    seen.production = barman.production();
    if (!*seen.production) return;
    const ProductionState& production = **seen.production;
    if (production.version_number < barman_server::kOldestPostgres || production.in_recovery) return;
    seen.receiver_kicked = !has_passed(memory.kicked_at, kKickInterval, now);
    const bool streams = production.slot && production.slot->active;
    if (streams && !memory.streamed) memory.listed_at = Time{};  // is there a gap?
    memory.streamed = streams;
    if (!streams) {
      seen.streaming = barman.test_streaming();
      const auto log = receiver_log(access, memory, limits);
      seen.wal_removed = barman_server::says_wal_removed(log);
      seen.volume_full = barman_server::says_volume_full(log);
      memory.checked_at = Time{};  // as soon as it streams again
      return;
    }
    const Millis interval = memory.all_passed ? kCheckInterval : kCheckIntervalFailing;
    if (!has_passed(memory.checked_at, interval, now)) return;
    seen.checks = barman.check();
    memory.checked_at = context_.clock.now();
    memory.all_passed = *seen.checks && std::all_of((**seen.checks).begin(), (**seen.checks).end(),
                                                    [](const auto& check) { return check.passed; });
  }

  /// The receiver's own words, which barman passes on to the container's log; those of before its last start are old.
  std::vector<LogLine> receiver_log(const BarmanAccess& access, const Memory& memory, const Limits& limits) {
    const Time now = context_.clock.now();
    const Time since = has_passed(memory.kicked_at, kLogSpan, now) ? now - kLogSpan : memory.kicked_at;
    auto lines = access.host.engine->logs(access.container, {.tail = 300, .since = since}, limits);
    return lines ? std::move(*lines) : std::vector<LogLine>();
  }

  void observe_catalogue(const crds::BarmanServer& server, const std::vector<crds::Backup>& objects, Memory& memory,
                         Observed& seen, Barman& barman) {
    const Time now = context_.clock.now();
    const Millis interval = memory.busy ? kListIntervalBusy : kListInterval;
    if (!has_passed(memory.listed_at, interval, now) && !is_behind(server, objects)) return;
    seen.listed = barman.list_backups();
    if (!*seen.listed) return;
    memory.listed_at = context_.clock.now();
    memory.listed = true;
    const bool lock_held = !others_are_stuck(server, objects, seen, barman);
    const auto& listed = **seen.listed;
    for (const std::string& id : barman_server::unknown_details(server.status.backups, listed))
      if (auto details = barman.show_backup(id)) seen.details.push_back(std::move(*details));
    const auto merged = barman_server::merge_catalogue(server.status.backups, listed, seen.details);
    seen.foreign_failures = barman_server::leftovers(server, merged, objects, lock_held).foreign;
    memory.busy = barman_server::is_busy(merged, seen.foreign_failures);
    observe_archive(merged, memory, seen, barman);
    seen.own_failure = barman_server::own_failure(server, merged, objects, memory.interruption);
  }

  /// True if base backups of others are unfinished and nobody works on them. The list is read once more after the lock
  /// was found free: what is unfinished in both was not about to be finished.
  bool others_are_stuck(const crds::BarmanServer& server, const std::vector<crds::Backup>& objects, Observed& seen,
                        Barman& barman) {
    const auto foreign = [&](bool lock_held) {
      const auto merged = barman_server::merge_catalogue(server.status.backups, **seen.listed, {});
      return barman_server::leftovers(server, merged, objects, lock_held).foreign.size();
    };
    if (foreign(false) == foreign(true)) return false;
    const auto held = barman.backup_lock_held();
    if (!held || *held) return false;
    auto again = barman.list_backups();
    if (!again) return false;
    seen.listed = std::move(again);
    return true;
  }

  /// A Backup has ended that the status does not show yet.
  static bool is_behind(const crds::BarmanServer& server, const std::vector<crds::Backup>& objects) {
    return std::any_of(objects.begin(), objects.end(), [&](const crds::Backup& object) {
      if (!object.status.barman || object.status.barman->server != server.metadata.name) return false;
      if (!crds::is_true(object.status.conditions, "Complete")) return false;
      const auto& shown = server.status.backups;
      return std::none_of(shown.begin(), shown.end(), [&](const auto& backup) {
        return backup.id == object.status.barman->backup_id && backup.status == "DONE";
      });
    });
  }

  void observe_archive(const std::vector<crds::CatalogBackup>& catalogue, Memory& memory, Observed& seen,
                       Barman& barman) {
    std::vector<crds::CatalogBackup> good;
    std::copy_if(catalogue.begin(), catalogue.end(), std::back_inserter(good),
                 [](const auto& backup) { return backup.status == "DONE" && !backup.begin_wal.empty(); });
    memory.interruption.clear();
    if (good.empty()) return;
    const std::uint64_t segment_bytes =
        seen.production && *seen.production ? (**seen.production).segment_bytes : kDefaultWalSegmentBytes;
    const std::string far_end =
        "FFFFFFFF" + std::string("FFFFFFFF") + fmt::format("{:08X}", (std::uint64_t{1} << 32) / segment_bytes - 1);
    auto present = barman.wal_segments(good.back().begin_wal, far_end, segment_bytes);
    if (!present) return;
    seen.archive = barman_server::archive_seen(good, *present, segment_bytes);
    memory.interruption = barman_server::interruption(*seen.archive);
  }

  // ---- acting -----------------------------------------------------------------------------------------------------

  Millis perform(Act act, const crds::BarmanServer& server, const BarmanAccess& access, const Observed& seen,
                 Memory& memory, const Limits& limits) {
    log_info("barman server",
             {{"server", server.metadata.ns + "/" + server.metadata.name}, {"act", std::string(to_string(act))}});
    auto done = carry_out(act, server, access, seen, memory, limits);
    memory.act_error = done ? std::nullopt : std::optional<Error>(done.error());
    if (!done) {
      tell(context_.api, server, true, std::string(to_string(act)) + "Failed", done.error().message);
      return kRetry;
    }
    return kAfterAct;
  }

  Result<void> carry_out(Act act, const crds::BarmanServer& server, const BarmanAccess& access, const Observed& seen,
                         Memory& memory, const Limits& limits) {
    Engine& engine = *access.host.engine;
    Barman barman = access.barman(limits);
    switch (act) {
      case Act::None:
        return {};
      case Act::MakeContainer:
        return make_container(server, access, seen.spec_hash, limits);
      case Act::RemakeContainer:
        return stop_and_remove(engine, access.container, limits).and_then([&] {
          return make_container(server, access, seen.spec_hash, limits);
        });
      case Act::StartContainer:
        (void)engine.unpause_container(access.container, limits);
        return engine.start_container(access.container, limits);
      case Act::RestartContainer:
        tell(context_.api, server, true, "ReceiverOrphaned",
             "A WAL receiver without its barman held the slot; the standing container is restarted");
        return engine.stop_container(access.container, kStopGrace, patient(limits)).and_then([&] {
          return engine.start_container(access.container, limits);
        });
      case Act::CreateSlot:
        memory.kicked_at = context_.clock.now();
        return barman.create_slot().and_then([&] {
          tell(context_.api, server, false, "SlotCreated",
               fmt::format("Made replication slot {} on production", access.setup.slot));
          return barman.cron();
        });
      case Act::StartReceiver:
        memory.kicked_at = context_.clock.now();
        return barman.cron();
      case Act::ResetReceiver:
        memory.kicked_at = context_.clock.now();
        tell(context_.api, server, true, "WalRemoved",
             "Production no longer has the WAL that barman needs next: WAL is received anew behind the gap, and a new "
             "base backup is needed");
        return barman.reset_receiver();
      case Act::ArchiveFirst:
        memory.checked_at = Time{};
        return barman.switch_wal().and_then([&] { return barman.nudge(); }).and_then([&] {
          return barman.archive_wal();
        });
    }
    return {};
  }

  static Limits patient(Limits limits) {
    limits.idle = 60s;
    return limits;
  }

  Result<void> stop_and_remove(Engine& engine, const std::string& name, const Limits& limits) {
    // In order, so that the receiver ends by itself and its last position is synced.
    auto stopped = engine.stop_container(name, kStopGrace, patient(limits));
    if (!stopped && stopped.error().kind != ErrorKind::NotFound)
      log_warning("stop standing container", {{"container", name}, {"error", stopped.error().message}});
    return engine.remove_container(name, true, limits);
  }

  Result<void> make_container(const crds::BarmanServer& server, const BarmanAccess& access,
                              const std::string& spec_hash, const Limits& limits) {
    Engine& engine = *access.host.engine;
    if (auto ready = context_.images.ensure(access.host, server.spec.image, limits); !ready) return ready;
    for (const std::string& volume : {server.spec.volumes.data, server.spec.volumes.recover})
      if (auto claimed = claim_volume(engine, server, volume, limits); !claimed) return claimed;
    const ContainerSpec spec = standing_container(context_.installation, server, access.setup, spec_hash);
    auto id = engine.create_container(spec, limits);
    if (!id) return tl::unexpected(id.error());
    if (auto uploaded = engine.upload(*id, "/", barman_files(access.setup), limits); !uploaded) return uploaded;
    return engine.start_container(*id, limits);
  }

  /// A volume without our labels is somebody's existing archive, to be taken over; one with another owner's is not.
  Result<void> claim_volume(Engine& engine, const crds::BarmanServer& server, const std::string& volume,
                            const Limits& limits) {
    auto info = engine.inspect_volume(volume, limits);
    if (info) {
      const bool labelled = !value_of(info->labels, label::kInstallation).empty();
      const auto owner = owner_of(info->labels, context_.installation);
      if (labelled && owner != key_of(server))
        return fail(ErrorKind::Conflict, "volume {} belongs to {} of installation {}; choose another in spec.volumes",
                    volume, value_of(info->labels, label::kNamespace) + "/" + value_of(info->labels, label::kName),
                    value_of(info->labels, label::kInstallation));
      return {};
    }
    if (info.error().kind != ErrorKind::NotFound) return tl::unexpected(info.error());
    return engine.create_volume(volume, owner_labels(context_.installation, key_of(server)), limits)
        .map([](const VolumeInfo&) {});
  }

  // ---- catalogue and Backup objects -------------------------------------------------------------------------------

  /// True if something is under way that should be looked at again soon.
  bool tend_catalogue(const crds::BarmanServer& server, const BarmanAccess& access,
                      const std::vector<crds::Backup>& objects, const Limits& limits) {
    const barman_server::ObjectChanges changes = barman_server::object_changes(server, server.status.backups, objects);
    for (const crds::Backup& object : changes.create)
      if (auto created = context_.api.create(crds::to_json(object), {}); created)
        tell(context_.api, server, false, "BackupFound",
             fmt::format("Backup {} stands for {} in barman's catalogue", object.metadata.name,
                         object.metadata.annotations.at(std::string(kCatalogIdAnnotation))));
    for (const std::string& name : changes.remove)
      if (auto removed =
              context_.api.remove({std::string(crds::Kind<crds::Backup>::kind), server.metadata.ns, name}, {});
          removed)
        tell(context_.api, server, false, "BackupGone",
             fmt::format("Backup {} is no longer in barman's catalogue", name));
    return delete_leftovers(server, access, objects, limits);
  }

  void make_own_backup(const crds::BarmanServer& server, const std::vector<crds::Backup>& objects,
                       const Memory& memory) {
    if (!crds::is_true(server.status.conditions, "Streaming") ||
        !crds::is_true(server.status.conditions, "WalArchiving"))
      return;
    const auto own =
        barman_server::own_backup(server, server.status.backups, objects, memory.interruption, context_.clock.now());
    if (!own) return;
    if (auto created = context_.api.create(crds::to_json(*own), {}); created)
      tell(context_.api, server, false, "BackupRequested", fmt::format("Made Backup {}", own->metadata.name));
  }

  /// One at a time, and only while nobody holds barman's lock: what barman works on now may be alive. True: look again
  /// soon.
  bool delete_leftovers(const crds::BarmanServer& server, const BarmanAccess& access,
                        const std::vector<crds::Backup>& objects, const Limits& limits) {
    if (sweep_deletions(server, access, limits)) return true;
    const auto found = barman_server::leftovers(server, server.status.backups, objects, false);
    if (found.ours.empty()) return false;
    const auto held = access.barman(limits).backup_lock_held();
    if (!held || *held) return true;
    WorkerSpec spec;
    spec.id = delete_worker(server, found.ours.front());
    spec.container = barman_worker_container(
        server, access.setup, {"barman", "-f", "json", "delete", server.metadata.name, found.ours.front()});
    spec.files = barman_files(access.setup);
    if (auto made = ensure_worker(*access.host.engine, spec, limits); !made)
      tell(context_.api, server, true, "LeftoverNotDeleted", made.error().message);
    return true;
  }

  /// Takes down how deletions ended and removes their workers; true if there was one.
  bool sweep_deletions(const crds::BarmanServer& server, const BarmanAccess& access, const Limits& limits) {
    Engine& engine = *access.host.engine;
    Labels labels = owner_labels(context_.installation, key_of(server));
    labels[std::string(label::kRole)] = kWorkerRole;
    labels[std::string(label::kStep)] = kDeleteStep;
    const auto workers = engine.list_containers(labels, limits);
    if (!workers) return true;
    for (const ContainerSummary& container : *workers) {
      const std::string backup = value_of(container.labels, label::kItem);
      const auto worker = observe_worker(engine, delete_worker(server, backup), limits);
      if (!worker || worker->state == WorkerState::Running) continue;
      const bool ok = worker->state == WorkerState::Exited && worker->exit_code == 0;
      if (worker->state != WorkerState::Absent)  // else nobody knows, but the catalogue, which is read again
        tell(context_.api, server, !ok, ok ? "LeftoverDeleted" : "LeftoverNotDeleted",
             fmt::format("{} the unfinished base backup {}{}", ok ? "Deleted" : "Could not delete", backup,
                         ok || worker->tail.empty() ? "" : ": " + worker->tail.back().text));
      (void)remove_worker(engine, delete_worker(server, backup), 0s, limits);
    }
    return !workers->empty();
  }

  [[nodiscard]] WorkerId delete_worker(const crds::BarmanServer& server, const std::string& id) const {
    return {.installation = context_.installation,
            .owner = key_of(server),
            .item = id,
            .step = std::string(kDeleteStep),
            .attempt = 1,
            .spec_hash = id};
  }

  // ---- deletion ---------------------------------------------------------------------------------------------------

  Result<Action> finalize(crds::BarmanServer& server, const Limits& limits) {
    const ObjectKey key = key_of(server);
    if (!crds::has_finalizer(server.metadata, kBarmanServerFinalizer)) return forget(key);
    const auto annotation = server.metadata.annotations.find(std::string(kAbandonSlotAnnotation));
    const bool abandon = annotation != server.metadata.annotations.end() && annotation->second == "true";
    bool may_stream = true;
    auto gone = abandon ? abandon_slot(server, limits) : drop_slot(server, may_stream, limits);
    if (!gone) return wait_for_slot(server, gone.error(), may_stream);
    if (!*gone) {
      pace_.set(key, server.metadata.resource_version, context_.clock.now(), kAfterAct);
      return Action::requeue(kAfterAct);
    }
    crds::remove_finalizer(server.metadata, kBarmanServerFinalizer);
    if (auto written = update(context_.api, server); !written && written.error().kind != ErrorKind::NotFound)
      return tl::unexpected(written.error());
    return forget(key);
  }

  /// The containers go where they can be reached; nothing is waited for.
  Result<bool> abandon_slot(const crds::BarmanServer& server, const Limits& limits) {
    if (auto host = context_.hosts.get(server.spec.host_ref.name)) {
      (void)stop_and_remove(*host->engine, standing_container_name(context_.installation, server), limits);
      (void)remove_workers_of(*host->engine, context_.installation, key_of(server), {}, limits);
    }
    tell(context_.api, server, true, "SlotAbandoned",
         fmt::format("Slot {} was left on production, which keeps WAL for it", server.spec.source.slot_name));
    return true;
  }

  /// True once the slot is gone and the containers are removed; false while the worker still runs. `may_stream` becomes
  /// false once the standing container is stopped.
  Result<bool> drop_slot(const crds::BarmanServer& server, bool& may_stream, const Limits& limits) {
    auto access = barman_access(context_, server);
    if (!access) return tl::unexpected(access.error());
    Engine& engine = *access->host.engine;
    // A slot in use cannot be dropped.
    if (auto stopped = engine.stop_container(access->container, kStopGrace, patient(limits));
        !stopped && stopped.error().kind != ErrorKind::NotFound)
      return tl::unexpected(stopped.error());
    may_stream = false;
    WorkerSpec spec;
    spec.id = {.installation = context_.installation,
               .owner = key_of(server),
               .item = {},
               .step = "drop-slot",
               .attempt = 1,
               .spec_hash = standing_spec_hash(context_.installation_secret, server, access->setup)};
    spec.container = barman_worker_container(server, access->setup, drop_slot_command(access->setup));
    spec.files = barman_files(access->setup);
    auto worker = ensure_worker(engine, spec, limits);
    if (!worker) return tl::unexpected(worker.error());
    if (worker->state != WorkerState::Exited) return false;
    std::string words;
    for (const LogLine& line : worker->tail) words += line.text;
    if (auto removed = remove_worker(engine, spec.id, 0s, limits); !removed) return tl::unexpected(removed.error());
    const bool dropped = worker->exit_code == 0 || words.find("does not exist") != std::string::npos;
    if (!dropped) return fail(ErrorKind::Unavailable, "drop slot {}: {:.400}", access->setup.slot, words);
    tell(context_.api, server, false, "SlotDropped",
         fmt::format("Dropped replication slot {} on production; the backups in volume {} stay", access->setup.slot,
                     server.spec.volumes.data));
    if (auto removed = engine.remove_container(access->container, true, limits); !removed)
      return tl::unexpected(removed.error());
    if (auto removed = remove_workers_of(engine, context_.installation, key_of(server), {}, limits); !removed)
      return tl::unexpected(removed.error());
    return true;
  }

  Result<Action> wait_for_slot(crds::BarmanServer& server, const Error& error, bool may_stream) {
    const std::string message = barman_server::slot_not_dropped(
        server, standing_container_name(context_.installation, server), error, may_stream, kAbandonSlotAnnotation);
    crds::set_condition(server.status.conditions,
                        {"SlotDropped", crds::ConditionStatus::False, "SlotNotDropped", message, std::nullopt,
                         server.metadata.generation},
                        context_.clock.now());
    crds::set_condition(
        server.status.conditions,
        {"Ready", crds::ConditionStatus::False, "Deleting", message, std::nullopt, server.metadata.generation},
        context_.clock.now());
    if (auto written = update_status(context_.api, server); !written) return tl::unexpected(written.error());
    pace_.set(key_of(server), server.metadata.resource_version, context_.clock.now(), kInterval);
    return Action::requeue(kInterval);
  }

  Result<Action> forget(const ObjectKey& key) {
    context_.metrics.remove_series({{"namespace", key.ns}, {"server", key.name}});
    pace_.forget(key);
    std::lock_guard lock(mutex_);
    memories_.erase(key);
    return Action::await_change();
  }

  // ---- telling ----------------------------------------------------------------------------------------------------

  void tell_changes(const crds::BarmanServer& server, const crds::BarmanServerStatus& before) {
    for (const char* type : {"Ready", "Postgresql", "Streaming", "WalGap", "CronLate", "BackupsHealthy"}) {
      const auto* was = crds::find_condition(before.conditions, type);
      const auto* is = crds::find_condition(server.status.conditions, type);
      if (is == nullptr || is->status == crds::ConditionStatus::Unknown || is->reason == "Starting") continue;
      if (was != nullptr && was->status == is->status && was->reason == is->reason) continue;
      const std::string_view name = type;
      const bool bad_when_true = name == "WalGap" || name == "CronLate";
      const bool bad = (is->status == crds::ConditionStatus::True) == bad_when_true;
      if (!bad && was == nullptr) continue;  // what was never bad is no news
      tell(context_.api, server, bad, is->reason, is->message);
    }
  }

  void measure(const crds::BarmanServer& server, const crds::BarmanServerStatus& before) {
    const crds::BarmanServerStatus& status = server.status;
    const LabelValues labels{server.metadata.ns, server.metadata.name};
    const auto number = [&](const GaugeDefinition& definition, std::optional<std::int64_t> value) {
      context_.metrics.gauge(definition, labels).set(static_cast<double>(value.value_or(0)));
    };
    const auto time = [&](const GaugeDefinition& definition, std::optional<Time> value) {
      context_.metrics.gauge(definition, labels).set(value.value_or(Time{}));
    };
    time(metric::kBaseBackupLastSuccess, status.last_backup ? status.last_backup->end_time : std::nullopt);
    time(metric::kBarmanLastMinute, status.last_cron ? status.last_cron->finished_at : std::nullopt);
    const auto objectives = server.spec.objectives.value_or(crds::BarmanObjectives{});
    number(metric::kBaseBackupMaxAge, objectives.max_base_backup_age_seconds);
    number(metric::kWalMaxLag, objectives.max_wal_lag_bytes);
    number(metric::kBaseBackups, std::count_if(status.backups.begin(), status.backups.end(),
                                               [](const auto& backup) { return backup.status == "DONE"; }));
    context_.metrics.gauge(metric::kWalSinceBaseBackup, labels)
        .set(barman_server::shown(status.wal_since_base_backup_bytes));
    context_.metrics.gauge(metric::kWalLag, labels).set(barman_server::shown(status.wal_lag_bytes));
    number(metric::kArchiveSize, status.archive_bytes);
    const std::string_view state = barman_server::slot_state(status);
    for (const std::string_view one : {"active", "inactive", "missing", "lost", "unknown"})
      context_.metrics.gauge(metric::kSlotState, {labels[0], labels[1], std::string(one)}).set(one == state ? 1 : 0);
    for (const std::string& check : barman_server::checks_gone(before.checks, status.checks))
      context_.metrics.remove_series({{"namespace", labels[0]}, {"server", labels[1]}, {"check", check}});
    for (const crds::BarmanCheck& check : status.checks)
      context_.metrics.gauge(metric::kBarmanCheck, {labels[0], labels[1], check.name}).set(check.passed ? 1 : 0);
  }

  Memory recall(const ObjectKey& key) {
    std::lock_guard lock(mutex_);
    return memories_[key];
  }
  void remember(const ObjectKey& key, Memory memory) {
    std::lock_guard lock(mutex_);
    memories_[key] = std::move(memory);
  }

  Context& context_;
  Pace pace_;
  std::mutex mutex_;  // guards memories_
  std::map<ObjectKey, Memory> memories_;
};

}  // namespace

std::unique_ptr<Reconciler> make_barman_server_reconciler(Context& context) {
  return std::make_unique<BarmanServerReconciler>(context);
}

std::vector<ObjectKey> barman_server_wakes(const nlohmann::json& object) {
  const std::string kind = object.value("kind", "");
  const std::string server_kind(crds::Kind<crds::BarmanServer>::kind);
  if (kind == server_kind) {
    const auto& metadata = object.at("metadata");
    return {{server_kind, metadata.value("namespace", ""), metadata.value("name", "")}};
  }
  if (kind != crds::Kind<crds::Backup>::kind) return {};
  auto backup = crds::from_json<crds::Backup>(object);
  if (!backup) return {};
  std::string server;
  if (backup->status.barman)
    server = backup->status.barman->server;
  else if (backup->spec.source && backup->spec.source->barman)
    server = backup->spec.source->barman->server_ref.name;
  if (server.empty()) return {};
  return {{server_kind, backup->metadata.ns, server}};
}

}  // namespace roadstead::reconcilers
