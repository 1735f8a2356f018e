#include "reconcilers/backup/reconciler.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reconcilers/backup/base_backups.h"
#include "reconcilers/backup/volume_end.h"
#include "reconcilers/backup/volume_forget.h"
#include "reconcilers/backup/volume_run.h"
#include "reconcilers/support/backup_names.h"
#include "reconcilers/support/commands.h"
#include "reconcilers/support/pace.h"
#include "reconcilers/support/restores.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers {
namespace {

using namespace std::chrono_literals;
using backup::Run;
using backup::StepKind;
using crds::ConditionStatus;

/// Steps gone through in one look; then others have their turn.
constexpr int kStepsPerLook = 40;
/// Progress alone is written at most this often.
constexpr Millis kProgressInterval{2'000};

/// The status without what merely moves.
nlohmann::json lasting(const crds::Backup& object) {
  crds::Backup copy = object;
  copy.status.progress.reset();
  copy.status.summary.reset();
  return crds::to_json(copy).at("status");
}

class BackupReconciler final : public Reconciler {
 public:
  explicit BackupReconciler(Context& context) : context_(context), base_backups_(context) {}

  Result<Action> reconcile(const ObjectKey& key, std::stop_token stop) override {
    auto object = get<crds::Backup>(context_.api, key.ns, key.name);
    if (!object) {
      forget_pace(key);
      return object.error().kind == ErrorKind::NotFound ? Result<Action>(Action::await_change())
                                                        : tl::unexpected(object.error());
    }
    const Limits limits{.stop = stop, .connect = 5s, .idle = 20s};
    const bool volumes = is_of_volumes(*object);
    if (object->metadata.deletion_timestamp) return volumes ? dispose(*object, limits) : let_go(*object, limits);
    if (crds::is_finished(object->status)) return volumes ? settle(*object, limits) : let_go(*object, limits);
    // Nothing is run: the policy that found its snapshot in a repository writes its status.
    if (!backup::annotation_of(*object, kFoundInRepositoryAnnotation).empty()) return Action::await_change();
    if (const auto wait = pace_.wait(key, object->metadata.resource_version, context_.clock.now()))
      return Action::requeue(*wait);
    return volumes ? go(*object, limits) : look_at_barman(*object, limits);
  }

 private:
  static Action again() { return Action::requeue(Millis{100}); }

  /// What has begun goes on as what it was, whatever the policy says now.
  bool is_of_volumes(const crds::Backup& object) {
    if (object.status.barman || !backup::annotation_of(object, kCatalogServerAnnotation).empty()) return false;
    if (backup::is_begun(object.status) || !object.status.snapshots.empty()) return true;
    if (object.spec.source) return !object.spec.source->barman;
    if (!object.spec.policy_ref) return false;
    const auto policy = get<crds::BackupPolicy>(context_.api, object.metadata.ns, object.spec.policy_ref->name);
    return policy && !policy->spec.source.barman;
  }

  // ---- base backups -----------------------------------------------------------------------------------------------

  Result<Action> look_at_barman(crds::Backup& object, const Limits& limits) {
    auto wait = base_backups_.look(object, limits);
    if (!wait) return tl::unexpected(wait.error());
    if (crds::is_finished(object.status)) {
      tell_end(object);
      return let_go(object, limits);
    }
    set_pace(object, *wait);
    return Action::requeue(*wait);
  }

  /// Finished, or not wanted any more: the worker goes (what ran is ended), then the finalizer.
  Result<Action> let_go(crds::Backup& object, const Limits& limits) {
    forget_pace(key_of(object));
    if (!crds::has_finalizer(object.metadata, kBackupFinalizer)) return Action::await_change();
    if (auto cleared = base_backups_.clear(object, limits); !cleared) return tl::unexpected(cleared.error());
    return release(object);
  }

  // ---- volumes ----------------------------------------------------------------------------------------------------

  /// One look: steps as far as they go, each stored before the next.
  Result<Action> go(crds::Backup& object, const Limits& limits) {
    for (int i = 0; i < kStepsPerLook; ++i) {
      const auto ref = backup::current_step(object);
      if (!ref) return end(object, limits);
      if (const auto wait = backup::pause_left(object.status, *ref, context_.clock.now())) return paused(object, *wait);
      if (ref->kind != StepKind::Plan && !object.metadata.deletion_timestamp && backup::claim(object))
        if (auto held = update(context_.api, object); !held) return retry_or(held.error());
      auto again_at = take_step(object, *ref, limits);
      if (!again_at) return retry_or(again_at.error());
      if (limits.stop.stop_requested()) return again();  // what was begun is found by whoever comes next
      if (*again_at) return **again_at;
    }
    return again();
  }

  /// One step and its place in the status. Returns when to look again; nothing: at once.
  Result<std::optional<Action>> take_step(crds::Backup& object, const backup::StepRef& ref, const Limits& limits) {
    const crds::Backup before = object;
    Run run{context_, object, limits};
    const Outcome outcome = backup::perform(run, ref);
    if (limits.stop.stop_requested()) return std::optional(again());
    const auto wait = backup::take(object, ref, outcome, context_.clock.now());
    const bool working = std::holds_alternative<Working>(outcome);
    if (auto written = store(run, before, working); !written) return tl::unexpected(written.error());
    tell_change(object, before);
    if (ref.kind == StepKind::Plan && std::holds_alternative<Done>(outcome))
      tell(context_.api, object, false, "BackupStarted", "The run has begun.");
    if (!wait) return std::optional<Action>();
    // The end of a worker may wake it sooner; what waits for something else is not to be hurried by its own writing.
    return std::optional(working ? Action::requeue(*wait) : paused(object, *wait));
  }

  Result<Action> end(crds::Backup& object, const Limits& limits) {
    const crds::Backup before = object;
    Run run{context_, object, limits};
    backup::finish(object, context_.clock.now());
    if (auto written = store(run, before, false); !written) return retry_or(written.error());
    tell_end(object);
    return settle(object, limits);
  }

  /// After the end: what is to be forgotten with the object holds it, nothing else does.
  Result<Action> settle(crds::Backup& object, const Limits& limits) {
    forget_pace(key_of(object));
    const bool held = crds::has_finalizer(object.metadata, kBackupFinalizer);
    if (object.spec.deletion_policy == crds::DeletionPolicy::Delete && !object.status.snapshots.empty()) {
      if (held) return Action::await_change();
      crds::add_finalizer(object.metadata, kBackupFinalizer);
      auto written = update(context_.api, object);
      return written ? Result<Action>(Action::await_change()) : retry_or(written.error());
    }
    if (!held) return Action::await_change();
    Run run{context_, object, limits};
    if (auto removed = backup::remove_workers(run); !removed) return tl::unexpected(removed.error());
    return release(object);
  }

  /// Being deleted: what ran is ended, the hooks after are run where any was begun, data goes where that is asked for.
  Result<Action> dispose(crds::Backup& object, const Limits& limits) {
    if (!crds::has_finalizer(object.metadata, kBackupFinalizer)) return Action::await_change();
    if (const auto wait = pace_.wait(key_of(object), object.metadata.resource_version, context_.clock.now()))
      return Action::requeue(*wait);
    if (!crds::is_finished(object.status)) {
      Run run{context_, object, limits};
      // What forgets its snapshots may take many looks.
      if (auto removed = backup::remove_workers(run, backup::kForgetStep); !removed)
        return waits_to_go(object, "HostUnreachable", removed.error().message, kHostRetry);
      for (int i = 0; i < kStepsPerLook; ++i) {
        const auto ref = backup::current_step(object);
        if (!ref) break;
        if (const auto wait = backup::pause_left(object.status, *ref, context_.clock.now()))
          return paused(object, *wait);
        auto again_at = take_step(object, *ref, limits);
        if (!again_at) return retry_or(again_at.error());
        if (*again_at) return **again_at;
      }
    }
    if (object.spec.deletion_policy == crds::DeletionPolicy::Delete) {
      if (object.spec.keep) return refuse_to_go(object);
      auto use = restore_that_uses(object);
      if (!use) return tl::unexpected(use.error());
      if (!use->empty()) return waits_to_go(object, "InUse", *use, kBlockedRetry);
      if (auto outcome = forget_data(object, limits)) return *outcome;
    }
    Run run{context_, object, limits};
    if (auto removed = backup::remove_workers(run); !removed)
      return waits_to_go(object, "HostUnreachable", removed.error().message, kHostRetry);
    forget_pace(key_of(object));
    return release(object);
  }

  /// Why an unfinished restore needs the data still; empty: none does.
  Result<std::string> restore_that_uses(const crds::Backup& object) {
    const auto requests = list<crds::RestoreRequest>(context_.api, object.metadata.ns);
    if (!requests) return tl::unexpected(requests.error());
    for (const auto& request : *requests) {
      if (crds::is_finished(request.status)) continue;
      const std::string& name = request.metadata.name;
      const std::string next = see_or_cancel(request.metadata.ns, name);
      if (backup::is_used_by(object, request))
        return fmt::format("RestoreRequest {} uses its snapshots; they are forgotten when that has ended; {}", name,
                           next);
      if (may_pin_more(request))
        return fmt::format(
            "RestoreRequest {} has not said yet which snapshots it uses; they are forgotten when it has pinned others "
            "or has ended; {}",
            name, next);
    }
    return std::string();
  }

  /// Two wishes that exclude each other: the one that loses nothing holds until somebody decides.
  Result<Action> refuse_to_go(crds::Backup& object) {
    return waits_to_go(object, "Kept",
                       fmt::format("spec.keep says that its snapshots stay, spec.deletionPolicy Delete that they go; "
                                   "take keep away first: `{}`; or set spec.deletionPolicy to Retain, and they stay",
                                   patch_command<crds::Backup>(object.metadata.ns, object.metadata.name,
                                                               R"({"spec":{"keep":false}})")),
                       kBlockedRetry);
  }

  /// Nothing: the data is gone.
  std::optional<Result<Action>> forget_data(crds::Backup& object, const Limits& limits) {
    Run run{context_, object, limits};
    const Outcome outcome = backup::forget(run);
    for (const auto& clean_up : run.after_write) clean_up();
    if (std::holds_alternative<Done>(outcome)) return std::nullopt;
    if (const auto* working = std::get_if<Working>(&outcome))
      return paused(object, std::max(working->again, Millis{500}));
    if (const auto* blocked = std::get_if<Blocked>(&outcome))
      return waits_to_go(object, blocked->reason, blocked->message, blocked->again);
    if (const auto* lost = std::get_if<Unreachable>(&outcome))
      return waits_to_go(object, "HostUnreachable",
                         fmt::format("host {}: {}; its snapshots are forgotten when it is back, or at once after "
                                     "`roadstead delete host {}`, which leaves them there",
                                     lost->host, lost->message, lost->host),
                         kHostRetry);
    const auto* retry = std::get_if<Retry>(&outcome);
    return waits_to_go(object, retry != nullptr ? retry->reason : "Failed",
                       retry != nullptr ? sentence(retry->message, retry->next) : "the snapshots cannot be forgotten",
                       kBlockedRetry);
  }

  /// Told on the object, since nobody sees why it stays otherwise.
  Result<Action> waits_to_go(crds::Backup& object, const std::string& reason, const std::string& message,
                             Millis again) {
    const crds::Backup before = object;
    crds::set_condition(object.status.conditions,
                        {.type = "Blocked",
                         .status = ConditionStatus::True,
                         .reason = reason,
                         .message = "Its deletion waits: " + message,
                         .last_transition_time = {},
                         .observed_generation = object.metadata.generation},
                        context_.clock.now());
    if (lasting(object) != lasting(before))
      if (auto written = update_status(context_.api, object); !written) return retry_or(written.error());
    tell_change(object, before);
    return paused(object, again);
  }

  /// One write per step. What only moves is written every two seconds at most.
  Result<void> store(Run& run, const crds::Backup& before, bool working) {
    crds::Backup& object = run.backup;
    crds::refresh_summary(object.status);
    const bool moved_only = working && lasting(object) == lasting(before);
    if (!moved_only || progress_.is_due(key_of(object), context_.clock.now()))
      if (crds::to_json(object) != crds::to_json(before))
        if (auto done = update_status(context_.api, object); !done) return done;
    for (const auto& clean_up : std::exchange(run.after_write, {})) clean_up();
    return {};
  }

  // ---- both -------------------------------------------------------------------------------------------------------

  Action paused(const crds::Backup& object, Millis wait) {
    set_pace(object, wait);
    return Action::requeue(wait);
  }

  /// Somebody changed the object in between: it is read again.
  static Result<Action> retry_or(const Error& error) {
    if (error.kind == ErrorKind::Conflict) return again();
    return tl::unexpected(error);
  }

  Result<Action> release(crds::Backup& object) {
    crds::remove_finalizer(object.metadata, kBackupFinalizer);
    auto written = update(context_.api, object);
    if (!written && written.error().kind != ErrorKind::NotFound) return retry_or(written.error());
    return Action::await_change();
  }

  void set_pace(const crds::Backup& object, Millis wait) {
    pace_.set(key_of(object), object.metadata.resource_version, context_.clock.now(), wait);
  }

  void forget_pace(const ObjectKey& key) {
    pace_.forget(key);
    progress_.forget(key);
  }

  void tell_change(const crds::Backup& object, const crds::Backup& before) {
    for (const char* type : {"Blocked", "HooksSucceeded"}) {
      const auto* was = crds::find_condition(before.status.conditions, type);
      const auto* is = crds::find_condition(object.status.conditions, type);
      if (is == nullptr) continue;
      if (was != nullptr && was->status == is->status && was->reason == is->reason) continue;
      const bool bad = (is->status == ConditionStatus::True) == (std::string_view(type) == "Blocked");
      tell(context_.api, object, bad, is->reason, is->message);
    }
  }

  void tell_end(const crds::Backup& object) {
    const bool complete = crds::is_true(object.status.conditions, "Complete");
    const auto policy = object.metadata.labels.find(std::string(crds::kPolicyLabel));
    const bool made_here = backup::annotation_of(object, kCatalogIdAnnotation).empty();
    if (policy != object.metadata.labels.end() && made_here && object.status.phase)
      context_.metrics
          .counter(metric::kBackupsFinished,
                   {object.metadata.ns, policy->second, std::string(crds::to_string(*object.status.phase))})
          .add();
    const auto* condition = crds::find_condition(object.status.conditions, complete ? "Complete" : "Failed");
    if (condition != nullptr && made_here) tell(context_.api, object, !complete, condition->reason, condition->message);
  }

  Context& context_;
  backup::BaseBackups base_backups_;
  Pace pace_;
  Beat progress_{kProgressInterval};
};

}  // namespace

std::unique_ptr<Reconciler> make_backup_reconciler(Context& context) {
  return std::make_unique<BackupReconciler>(context);
}

std::vector<ObjectKey> backup_wakes(const nlohmann::json& object) { return own_key<crds::Backup>(object); }

}  // namespace roadstead::reconcilers
