#include "reconcilers/backup_policy/keeper.h"

#include <algorithm>

#include "crds/restore_request.h"
#include "operator/base/hash.h"
#include "operator/base/log.h"
#include "operator/base/quantity.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/repository.h"
#include "reconcilers/support/restores.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::backup_policy {
namespace {

using namespace std::chrono_literals;

/// Names that a status tells.
constexpr std::size_t kMostNamed = 100;
/// Runs that left nothing, as a record of what went wrong.
constexpr std::size_t kSpentKept = 20;
constexpr Millis kSoon{100};

std::string item_of(const Place& place) { return fmt::format("{}.{}.{}", place.host, place.source_host, place.volume); }

crds::RepositoryStatus& entry_of(crds::BackupPolicyStatus& status, const Place& place) {
  for (crds::RepositoryStatus& entry : status.repositories)
    if (entry.host == place.host && entry.source_host == place.source_host && entry.volume == place.volume)
      return entry;
  crds::RepositoryStatus& entry = status.repositories.emplace_back();
  entry.host = place.host;
  entry.source_host = place.source_host;
  entry.volume = place.volume;
  return entry;
}

bool is_of(const crds::Backup& object, const std::string& policy) {
  const auto label = object.metadata.labels.find(std::string(crds::kPolicyLabel));
  return label != object.metadata.labels.end() && label->second == policy;
}

/// One look at one policy.
class Rounds {
 public:
  Rounds(Context& context, std::map<Place, Memory>& memories, crds::BackupPolicy& policy, const Scope& scope,
         const ReadSchedule& schedule, const Limits& limits)
      : context_(context),
        memories_(memories),
        policy_(policy),
        scope_(scope),
        schedule_(schedule),
        limits_(limits),
        owner_{context.installation, policy.metadata.ns, scope.policies} {}

  Result<Keeper::Look> go(std::vector<crds::Backup> objects) {
    objects_ = std::move(objects);
    // What is being restored must not be forgotten: without that knowledge nothing is done.
    if (auto known = learn_restores(); !known) return tl::unexpected(known.error());
    drop_what_is_gone();
    for (const Place& place : scope_.places) visit(place);
    remove_spent();
    conclude();
    return std::move(look_);
  }

 private:
  // ---- what a directory's neighbours are ---------------------------------------------------------------------------

  Result<void> learn_restores() {
    auto restores = list<crds::RestoreRequest>(context_.api, policy_.metadata.ns);
    if (!restores) return tl::unexpected(restores.error());
    std::erase_if(*restores, [](const auto& request) { return crds::is_finished(request.status); });
    restores_ = std::move(*restores);
    return {};
  }

  void drop_what_is_gone() {
    const auto is_gone = [&](const Place& place) {
      return std::find(scope_.places.begin(), scope_.places.end(), place) == scope_.places.end();
    };
    std::erase_if(memories_, [&](const auto& known) { return is_gone(known.first); });
    std::erase_if(policy_.status.repositories, [&](const crds::RepositoryStatus& entry) {
      if (!is_gone({entry.host, entry.source_host, entry.volume})) return false;
      context_.metrics.remove_series({{"namespace", policy_.metadata.ns},
                                      {"policy", policy_.metadata.name},
                                      {"host", entry.host},
                                      {"source_host", entry.source_host},
                                      {"volume", entry.volume}});
      return true;
    });
  }

  Surroundings around(const Place& place) const {
    Surroundings around;
    around.objects = &objects_;
    for (const crds::RestoreRequest& request : restores_) {
      if (may_pin_more(request)) around.undecided_restore = request.metadata.name;
      for (const crds::PinnedSource& pinned : request.status.pinned)
        if (pinned.snapshot && pinned.snapshot->host == place.host && pinned.snapshot->volume == place.volume &&
            pinned.snapshot->source_host == place.source_host)
          around.used_snapshots.insert(pinned.snapshot->id);
      for (const crds::RestoreItem& item : request.spec.items)
        if (item.from.backup_ref) around.used_backups.insert(item.from.backup_ref->name);
    }
    for (const crds::Backup& object : objects_) {
      if (!is_of(object, policy_.metadata.name)) continue;
      if (!crds::is_finished(object.status))
        around.run_goes_on = around.run_goes_on || !object.metadata.deletion_timestamp;
      // An end that lies ahead (the clock was set back) would make every listing an old one.
      else if (object.status.finished_at && *object.status.finished_at <= now())
        around.last_end = std::max(around.last_end.value_or(Time{}), *object.status.finished_at);
    }
    return around;
  }

  // ---- one directory ----------------------------------------------------------------------------------------------

  void visit(const Place& place) {
    Memory& memory = memories_[place];
    memory.fresh = false;
    if (!drop_old_decision(place, memory)) return;
    // Listed, marked, thinned out and listed again, in one look where it goes fast.
    constexpr int kMostTasks = 4;
    for (int i = 0; i < kMostTasks; ++i) {
      if (memory.running && !work(place, memory)) break;
      const Surroundings near = around(place);
      bool lacks_objects = false;
      Thinning thinning;
      Marks marks;
      if (memory.listing) {
        lacks_objects = follow(place, memory);
        marks = differing_marks(owner_, place, *memory.listing, objects_);
        thinning = thin_out(policy_, owner_, place, *memory.listing, near, *schedule_.zone);
      }
      thinned_[place] = thinning;
      memory.running =
          next_task(policy_, memory, thinning, marks, lacks_objects, near, entry_of(policy_.status, place), now());
      if (!memory.running) {
        tidy_when_idle(place, memory);
        break;
      }
      memory.attempt = {};
      if (memory.running->kind == TaskKind::Forget && !decide_again(place, memory)) break;
      begin(place, memory);
      if (i + 1 == kMostTasks) again(kSoon);
    }
    entry_of(policy_.status, place).message = memory.trouble;
    plan_next(memory);
  }

  /// What was decided in an earlier look and not begun (no room, no answer) is decided anew, from what is true now.
  /// False: its worker may be there, and cannot be taken away now.
  bool drop_old_decision(const Place& place, Memory& memory) {
    if (!memory.running || memory.running->kind != TaskKind::Forget || memory.attempt.started) return true;
    if (now() < memory.not_before) return again(memory.not_before - now());
    if (auto host = context_.hosts.get(place.host)) {
      auto removed = remove_worker(*host->engine, worker_of(place, memory), std::chrono::seconds(0), limits_);
      if (!removed) {
        memory.trouble = fmt::format("host {}: {}", place.host, removed.error().message);
        entry_of(policy_.status, place).message = memory.trouble;
        return again(kUnreachablePause);
      }
    }
    memory.running.reset();
    return true;
  }

  /// Just before something is forgotten: a restore may have begun since this look did. False: nothing is to go now.
  bool decide_again(const Place& place, Memory& memory) {
    const auto known = learn_restores();
    if (known) thinned_[place] = thin_out(policy_, owner_, place, *memory.listing, around(place), *schedule_.zone);
    if (known && !thinned_[place].remove.empty()) {
      memory.running->snapshots = thinned_[place].remove;
      return true;
    }
    memory.running.reset();
    return again(5s);
  }

  void plan_next(const Memory& memory) {
    if (memory.running) return;
    const Time now = this->now();
    if (now < memory.not_before) again(memory.not_before - now);
    if (memory.listing) again(memory.listing->begun + kListInterval - now);
  }

  /// An answer that an earlier operator asked for may be old; only a verification's stays true, while one is due.
  void begin(const Place& place, Memory& memory) {
    if (memory.running->kind == TaskKind::Verify) memory.tidied = true;  // taken over, or replaced as stale
    if (memory.listing) return;  // this operator's own workers are removed when they have answered
    remove_left(place, step_of(TaskKind::Verify));
  }

  /// Once after the start: an earlier operator may have stored an answer and ended before it took the worker away.
  void tidy_when_idle(const Place& place, Memory& memory) {
    if (!memory.listing || std::exchange(memory.tidied, true)) return;
    remove_left(place, {});
  }

  void remove_left(const Place& place, std::string_view but_step) {
    auto host = context_.hosts.get(place.host);
    if (!host) return;
    Labels labels = owner_labels(context_.installation, key_of(policy_));
    labels[std::string(label::kRole)] = kWorkerRole;
    labels[std::string(label::kItem)] = item_of(place);
    const auto left = host->engine->list_containers(labels, limits_);
    if (!left) return;
    for (const ContainerSummary& container : *left)
      if (value_of(container.labels, label::kStep) != but_step)
        (void)host->engine->remove_container(container.id, true, limits_);
  }

  /// An answer is true of its time, so that each question gets its own worker; what a verification read stays read.
  static std::string asked_at(const Task& task) {
    return task.kind == TaskKind::Verify ? std::string() : std::to_string(task.begun.time_since_epoch().count());
  }

  WorkerId worker_of(const Place& place, const Memory& memory) const {
    return {.installation = context_.installation,
            .owner = key_of(policy_),
            .item = item_of(place),
            .step = std::string(step_of(memory.running->kind)),
            .attempt = memory.attempt.number,
            .spec_hash = sha256_hex(mover::to_json(job_of(*memory.running)) + asked_at(*memory.running)).substr(0, 16)};
  }

  /// Looks at the worker of the running task. True: the task has ended.
  bool work(const Place& place, Memory& memory) {
    if (now() < memory.not_before) return again(memory.not_before - now());
    const bool waits_for_room = !memory.attempt.started && full_hosts_.contains(place.host);
    if (silent_hosts_.contains(place.host) || waits_for_room) return again(5s);
    auto host = context_.hosts.get(place.host);
    if (!host) return fail_task(memory, host.error().message, kUnreachablePause);
    auto seen = look_at_repository(context_, {&*host, place.source_host, place.volume}, worker_of(place, memory),
                                   job_of(*memory.running), Millis{0}, memory.attempt, limits_);
    if (const auto* underway = std::get_if<Underway>(&seen)) {
      if (!memory.attempt.started && underway->again > Millis{0}) full_hosts_.insert(place.host);
      return again(std::max(underway->again, kSoon));
    }
    if (const auto* error = std::get_if<EngineError>(&seen)) {
      silent_hosts_.insert(place.host);
      memory.trouble = fmt::format("host {}: {}", place.host, error->error.message);
      memory.not_before = now() + kUnreachablePause;
      // The worker may be there still: it is looked for again.
      return again(kUnreachablePause);
    }
    if (const auto* result = std::get_if<mover::WorkerResult>(&seen)) {
      put_away(*host, worker_of(place, memory), memory.running->kind == TaskKind::Verify && result->ok);
      if (!result->ok) {
        if (result->reason == "Kept") memory.listing.reset();  // marked since it was listed
        memory.unmarkable = memory.running->kind == TaskKind::Keep && result->reason != "Busy";
        return fail_task(memory, sentence(*result), pause_after(*result));
      }
      take_answer(place, memory, *result);
    } else {
      if (memory.running->kind == TaskKind::List && is_named(place, objects_)) return take_missing(place, memory);
      take_nothing(place, memory);
    }
    memory.running.reset();
    memory.trouble.clear();
    return true;
  }

  /// What took hours to find out stays until it is stored; the rest must not stand in the way of the next of its name.
  void put_away(const HostHandle& host, const WorkerId& id, bool once_stored) {
    auto remove = removal_of(host, id, limits_);
    if (!once_stored) return remove();
    look_.after_write.push_back(std::move(remove));
  }

  static std::string sentence(const mover::WorkerResult& result) {
    return result.next.empty() ? result.message : result.message + "; " + result.next;
  }
  static Millis pause_after(const mover::WorkerResult& result) {
    return result.reason == "Busy" ? kBusyPause : kFailurePause;
  }

  bool fail_task(Memory& memory, std::string why, Millis pause) {
    memory.trouble = std::move(why);
    memory.not_before = now() + pause;
    memory.running.reset();
    return true;
  }

  void take_answer(const Place& place, Memory& memory, const mover::WorkerResult& result) {
    switch (memory.running->kind) {
      case TaskKind::List:
        if (auto data = mover::parse_snapshots_data(result.data)) return take_list(place, memory, std::move(*data));
        break;
      case TaskKind::Keep:
        memory.listing.reset();
        return;
      case TaskKind::Forget:
        if (const auto data = mover::parse_forget_data(result.data)) return take_forgotten(place, memory, *data);
        break;
      case TaskKind::Verify:
        if (const auto data = mover::parse_verify_data(result.data)) {
          take_verification(entry_of(policy_.status, place), *memory.running, *data, now());
          memory.listing.reset();
          return;
        }
        break;
    }
    memory.not_before = now() + kFailurePause;
  }

  /// There is no directory: no run has written to it yet.
  void take_nothing(const Place& place, Memory& memory) {
    if (memory.running->kind == TaskKind::List) return take_list(place, memory, {});
    memory.listing.reset();
  }

  /// A disk that is not mounted looks the same as one that was emptied: nothing is concluded from it.
  bool take_missing(const Place& place, Memory& memory) {
    memory.listing.reset();
    memory.missing = true;
    return fail_task(memory, missing_directory(place), kUnreachablePause);
  }

  void take_list(const Place& place, Memory& memory, mover::SnapshotsData data) {
    memory.listing = Listing{memory.running->begun, std::move(data)};
    memory.fresh = true;
    memory.missing = false;
    memory.unmarkable = false;
    listed_ = true;
    take_listing(entry_of(policy_.status, place), owner_, *memory.listing);
  }

  void take_forgotten(const Place& place, Memory& memory, const mover::ForgetData& data) {
    auto& retention = policy_.status.retention;
    if (!retention) retention.emplace();
    retention->removed += static_cast<std::int64_t>(data.removed_snapshots);
    retention->freed_bytes += static_cast<std::int64_t>(data.freed_bytes);
    std::string names;
    for (const std::string& name : memory.running->snapshots) names += (names.empty() ? "" : ", ") + name;
    look_.events.push_back({false, "SnapshotsRemoved",
                            fmt::format("Retention removed {} of volume {} on host {}: {} freed", names, place.volume,
                                        place.host, human_bytes(data.freed_bytes))});
    memory.listing.reset();
  }

  // ---- Backup objects ---------------------------------------------------------------------------------------------

  /// Makes the objects say what the listing says. True: the listing tells of snapshots without an object.
  bool follow(const Place& place, const Memory& memory) {
    const ObjectChanges changes = object_changes(owner_, place, *memory.listing, objects_, memory.fresh);
    for (const crds::Backup& object : changes.create) create(object);
    for (const crds::Backup& object : changes.update) (void)write(object);
    for (const crds::Backup& object : changes.remove)
      if (write(object)) remove(object.metadata.name, "its snapshots are gone from the repositories");
    return changes.lacks_objects;
  }

  void create(const crds::Backup& wanted) {
    auto made = context_.api.create(crds::to_json(wanted), {}).and_then([](const nlohmann::json& stored) {
      return crds::from_json<crds::Backup>(stored);
    });
    if (!made) return (void)complain(wanted.metadata.name, made.error());
    look_.events.push_back(
        {false, "BackupFound", fmt::format("Backup {} stands for a snapshot in the repository", wanted.metadata.name)});
    made->status = wanted.status;
    objects_.push_back(*made);
    (void)write(*made);
  }

  /// spec.keep first: once the status lists a snapshot, its mark follows the object.
  Result<void> store_keep(crds::Backup& object) {
    const auto known = std::find_if(objects_.begin(), objects_.end(),
                                    [&](const auto& one) { return one.metadata.name == object.metadata.name; });
    if (known == objects_.end() || known->spec.keep == object.spec.keep) return {};
    crds::BackupStatus status = std::move(object.status);
    object.status = known->status;
    auto written = update(context_.api, object);
    object.status = std::move(status);
    return written;
  }

  /// False: it is not stored, or not as a whole.
  bool write(crds::Backup object) {
    if (auto stored = store_keep(object); !stored) return complain(object.metadata.name, stored.error());
    if (auto written = update_status(context_.api, object); !written)
      return complain(object.metadata.name, written.error());
    for (crds::Backup& known : objects_)
      if (known.metadata.name == object.metadata.name) known = object;
    return true;
  }

  void remove(const std::string& name, const std::string& why) {
    const ObjectKey key{std::string(crds::Kind<crds::Backup>::kind), policy_.metadata.ns, name};
    if (auto removed = context_.api.remove(key, {}); !removed) return (void)complain(name, removed.error());
    std::erase_if(objects_, [&](const auto& object) { return object.metadata.name == name; });
    look_.events.push_back({false, "BackupGone", fmt::format("Backup {}: {}", name, why)});
  }

  /// Somebody else wrote it meanwhile, mostly: the next look sees what that one wrote.
  bool complain(const std::string& name, const Error& error) {
    if (error.kind != ErrorKind::NotFound)
      log_info("a Backup is written at the next look", {{"backup", name}, {"why", error.message}});
    return again(5s);
  }

  void remove_spent() {
    for (const std::string& name : spent_objects(policy_.metadata.name, objects_, kSpentKept))
      remove(name, "it left no snapshot, and newer ones tell as much");
  }

  // ---- the policy's status ----------------------------------------------------------------------------------------

  void conclude() {
    bool all_listed = true;
    std::vector<std::string> unreadable, would_remove;
    std::vector<Place> missing;
    std::string held_by;
    std::optional<std::string> suspicion;
    for (const Place& place : scope_.places) {
      const Memory& memory = memories_[place];
      if (memory.missing) missing.push_back(place);
      all_listed = all_listed && memory.listing;
      if (!memory.listing) continue;
      for (const std::string& id : memory.listing->data.unreadable) unreadable.push_back(to_text(place) + ": " + id);
      const Thinning& thinning = thinned_[place];
      if (held_by.empty()) held_by = thinning.held_by;
      if (!suspicion) suspicion = thinning.suspicion;
      for (const std::string& name : thinning.remove)
        if (would_remove.size() < kMostNamed) would_remove.push_back(to_text(place) + ": " + name);
    }
    // Until everything was looked at, what was known before the operator started holds.
    if (all_listed || !unreadable.empty() || !missing.empty()) set(health_of(policy_, unreadable, missing));
    if (crds::find_condition(policy_.status.conditions, "RepositoryHealthy") == nullptr) set(health_of(policy_, {}));
    if (all_listed || suspicion) set_suspicion(suspicion);
    take_retention(held_by, std::move(would_remove), all_listed);
  }

  void set_suspicion(const std::optional<std::string>& suspicion) {
    using Truth = crds::ConditionStatus;
    set({"SourceSuspicious", suspicion ? Truth::True : Truth::False, suspicion ? "Shrank" : "NothingShrank",
         suspicion ? *suspicion + "." : std::string("The newest snapshots are not much smaller than those before."),
         std::nullopt, policy_.metadata.generation});
  }

  void take_retention(const std::string& held_by, std::vector<std::string> would_remove, bool all_listed) {
    if (!policy_.spec.retention) {
      policy_.status.retention.reset();
      return;
    }
    auto& retention = policy_.status.retention;
    if (!retention) retention.emplace();
    if (listed_) retention->last_run_time = now();
    if (!all_listed) return;
    retention->held_by = held_by;
    retention->would_remove = policy_.spec.retention->dry_run ? std::move(would_remove) : std::vector<std::string>{};
  }

  void set(crds::Condition condition) {
    const auto* before = crds::find_condition(policy_.status.conditions, condition.type);
    const bool changed = before == nullptr || before->status != condition.status;
    const bool bad = condition.type == "SourceSuspicious" ? condition.status == crds::ConditionStatus::True
                                                          : condition.status == crds::ConditionStatus::False;
    if (changed && (bad || (before != nullptr && before->status != crds::ConditionStatus::Unknown)))
      look_.events.push_back({bad, condition.reason, condition.message});
    crds::set_condition(policy_.status.conditions, std::move(condition), now());
  }

  /// False, so that who has nothing more to do can say so in the same breath.
  bool again(Millis after) {
    after = std::max(after, kSoon);
    look_.again = look_.again ? std::min(*look_.again, after) : after;
    return false;
  }

  Time now() const { return context_.clock.now(); }

  Context& context_;
  std::map<Place, Memory>& memories_;
  crds::BackupPolicy& policy_;
  const Scope& scope_;
  const ReadSchedule& schedule_;
  const Limits limits_;
  const Owner owner_;
  std::vector<crds::Backup> objects_;
  std::vector<crds::RestoreRequest> restores_;
  std::map<Place, Thinning> thinned_;
  std::set<std::string> silent_hosts_;  ///< Did not answer in this look: not asked again.
  std::set<std::string> full_hosts_;    ///< No worker was begun in this look for want of room.
  bool listed_ = false;
  Keeper::Look look_;
};

}  // namespace

Keeper::Memories& Keeper::memories_of(const ObjectKey& key) {
  std::lock_guard lock(mutex_);
  return known_[key];
}

Result<Keeper::Look> Keeper::look(crds::BackupPolicy& policy, const Scope& scope,
                                  const std::vector<crds::Backup>& objects, const ReadSchedule& schedule,
                                  const Limits& limits) {
  return Rounds(context_, memories_of(key_of(policy)), policy, scope, schedule, limits).go(objects);
}

void Keeper::forget(const ObjectKey& key, const Limits& limits) {
  Memories left;
  {
    std::lock_guard lock(mutex_);
    const auto found = known_.find(key);
    if (found == known_.end()) return;
    left = std::move(found->second);
    known_.erase(found);
  }
  std::set<std::string> hosts;
  for (const auto& [place, memory] : left)
    if (memory.running) hosts.insert(place.host);
  for (const std::string& name : hosts)
    if (auto host = context_.hosts.get(name))
      (void)remove_workers_of(*host->engine, context_.installation, key, {}, limits);
}

}  // namespace roadstead::reconcilers::backup_policy
