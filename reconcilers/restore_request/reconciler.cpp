#include "reconcilers/restore_request/reconciler.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "operator/base/log.h"
#include "reconcilers/restore_request/conditions.h"
#include "reconcilers/restore_request/end.h"
#include "reconcilers/restore_request/order.h"
#include "reconcilers/restore_request/path.h"
#include "reconcilers/restore_request/recall.h"
#include "reconcilers/restore_request/steps.h"
#include "reconcilers/restore_request/take.h"
#include "reconcilers/support/commands.h"
#include "reconcilers/support/pace.h"
#include "reconcilers/support/steps.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers {
namespace {

using namespace restore;
using crds::ConditionStatus;
using crds::RestoreRequest;

/// Steps gone through in one look; then others have their turn.
constexpr int kStepsPerLook = 40;
/// Progress alone is written at most this often.
constexpr Millis kProgressInterval{2'000};

using StepFunction = Outcome (*)(Run&, Frame&);

StepFunction function_of(std::string_view name) {
  static const std::map<std::string_view, StepFunction> all{{step::kProbe, probe},
                                                            {step::kPin, pin},
                                                            {step::kMark, write_mark},
                                                            {step::kPrepare, prepare},
                                                            {step::kReplay, replay},
                                                            {step::kCopy, copy},
                                                            {step::kFinish, finish_tree},
                                                            {step::kStop, stop_applications},
                                                            {step::kExchange, exchange},
                                                            {step::kPutBack, put_back},
                                                            {step::kStart, start_applications},
                                                            {step::kCheck, check},
                                                            {step::kReceipt, write_receipt},
                                                            {step::kCompare, compare},
                                                            {step::kOverwrite, overwrite},
                                                            {step::kDiscard, discard_kept},
                                                            {step::kRollbackProbe, probe_rollback},
                                                            {step::kRollbackStop, stop_applications},
                                                            {step::kRollback, put_back},
                                                            {step::kRollbackStart, start_applications},
                                                            {step::kRollbackReceipt, write_rollback_receipt},
                                                            {step::kRestart, start_applications}};
  return all.at(name);
}

/// The status without what merely moves.
nlohmann::json lasting(const RestoreRequest& request) {
  RestoreRequest copy = request;
  copy.status.items.clear();
  copy.status.summary.reset();
  return crds::to_json(copy).at("status");
}

class RestoreReconciler final : public Reconciler {
 public:
  explicit RestoreReconciler(Context& context) : context_(context) {
    // There before the first end, so that an alert can count from nothing.
    for (const char* result : {"Succeeded", "Failed", "Cancelled"})
      (void)context_.metrics.histogram(metric::kRestoreDuration, {result});
  }

  Result<Action> reconcile(const ObjectKey& key, std::stop_token stop) override {
    auto found = get<RestoreRequest>(context_.api, key.ns, key.name);
    if (!found && found.error().kind == ErrorKind::NotFound) return forget(key);
    if (!found) return tl::unexpected(found.error());
    RestoreRequest request = std::move(*found);
    const Limits limits{.stop = stop, .connect = Millis{5'000}, .idle = Millis{15'000}};
    Run run(context_, request, limits);
    if (crds::is_finished(request.status)) return settled(go_after(run));
    if (const auto wait = too_early(request)) return Action::requeue(*wait);
    if (auto done = hold(request); !done) {
      if (done.error().kind == ErrorKind::Conflict) return again();
      return tl::unexpected(done.error());
    }
    return settled(go(run));
  }

 private:
  static Action again() { return Action::requeue(Millis{100}); }

  /// Somebody may have changed the spec in between.
  static Result<Action> settled(Result<Action> action) {
    if (!action && action.error().kind == ErrorKind::Conflict) return again();
    return action;
  }

  /// One look: steps as far as they go, each stored before the next.
  Result<Action> go(Run& run) {
    RestoreRequest& request = run.request;
    if (request.status.steps.empty() && !request.spec.dry_run)
      if (auto action = recall_past(run)) return *action;
    for (int i = 0; i < kStepsPerLook; ++i) {
      hear_cancel(request);
      const auto ref = current_step(request);
      if (!ref) return end(run);
      if (auto action = step_on(run, *ref)) return *action;
    }
    return again();
  }

  /// One step. Nothing: the next one may be looked at now.
  std::optional<Result<Action>> step_on(Run& run, const StepRef& ref) {
    RestoreRequest& request = run.request;
    if (auto held = hear_suspend(run, ref)) return held;
    if (const auto wait = until_next_attempt(request, ref)) return Action::requeue(*wait);
    const RestoreRequest before = request;
    const Outcome outcome = perform(run, ref);
    if (run.limits.stop.stop_requested()) return again();  // what was begun is found by whoever comes next
    const auto wait = take(request, ref, outcome, run.now());
    if (auto written = store(run, before, std::holds_alternative<Working>(outcome)); !written)
      return tl::unexpected(written.error());
    tell_change(request, before);
    if (!wait) return std::nullopt;
    if (!std::holds_alternative<Working>(outcome)) set_pace(request, *wait);
    return Action::requeue(*wait);
  }

  /// Behind the end: the old data goes when its time is over, or comes back.
  Result<Action> go_after(Run& run) {
    RestoreRequest& request = run.request;
    for (int i = 0; i < kStepsPerLook; ++i) {
      const Aftermath what = aftermath_of(request, run.now());
      if (what == Aftermath::Nothing || what == Aftermath::Keep) return keep(run, what);
      if (const auto wait = too_early(request)) return Action::requeue(*wait);
      if (const auto ref = first_open(request, aftermath_path(request, what))) {
        if (auto action = step_on(run, *ref)) return *action;
        continue;
      }
      const RestoreRequest before = request;
      finish_aftermath(request, what, run.now());
      if (auto written = store(run, before, false); !written) return tl::unexpected(written.error());
      if (what == Aftermath::Discard)
        tell(context_.api, request, false, "PreviousDataRemoved",
             "The data from before the restore was kept as long as it should be, and is gone now.");
      tell_change(request, before);
    }
    return again();
  }

  /// Nothing is to be done now; with old data that is kept it is looked at again when its time is over.
  Result<Action> keep(Run& run, Aftermath what) {
    RestoreRequest& request = run.request;
    const RestoreRequest before = request;
    const auto* told = crds::find_condition(request.status.conditions, "RolledBack");
    const bool new_word = told == nullptr || told->observed_generation != request.metadata.generation;
    if (request.spec.rollback && what == Aftermath::Nothing && new_word && !rolled_back(request.status) &&
        !request.spec.dry_run)
      refuse_rollback(request, "NothingKept", nothing_kept(request), run.now());
    auto& receipt = request.status.receipt;
    if (what == Aftermath::Keep)
      receipt->kept_until =
          receipt->finished_at.value_or(run.now()) + std::chrono::seconds(request.spec.keep_previous_seconds);
    if (crds::to_json(request) != crds::to_json(before))
      if (auto written = store(run, before, false); !written) return tl::unexpected(written.error());
    tell_change(request, before);
    if (what == Aftermath::Nothing) return settle(request);
    show_end(request);
    return Action::requeue(std::max(Millis{1}, std::chrono::duration_cast<Millis>(*receipt->kept_until - run.now())));
  }

  /// Condition Suspended; and while a step is held, nothing but a change of the spec goes on.
  std::optional<Result<Action>> hear_suspend(Run& run, const StepRef& ref) {
    RestoreRequest& request = run.request;
    const bool held = is_held(request, ref);
    const bool was = crds::is_true(request.status.conditions, "Suspended");
    if (!request.spec.suspend && !was) return std::nullopt;
    const RestoreRequest before = request;
    const char* reason = held ? "Suspended" : request.spec.suspend ? "StepUnderWay" : "GoesOn";
    const std::string message = words_of_suspend(request, ref, held);
    set(request, "Suspended", held ? ConditionStatus::True : ConditionStatus::False, reason, message,
        context_.clock.now());
    if (crds::to_json(request) != crds::to_json(before))
      if (auto written = store(run, before, false); !written) return tl::unexpected(written.error());
    tell_change(request, before);
    if (held) return Action::await_change();
    return std::nullopt;
  }

  /// How one that is held can be ended, where it can: not what is exchanged or overwritten.
  static std::string words_of_end(const RestoreRequest& request) {
    const std::string &ns = request.metadata.ns, &name = request.metadata.name;
    const bool finished = crds::is_finished(request.status);
    if (finished && request.spec.rollback)
      return fmt::format(", `{}` gives the rollback up",
                         patch_command<RestoreRequest>(ns, name, R"({"spec":{"rollback":false}})"));
    if (finished || past_cancelling(request.status)) return {};
    return fmt::format(", `{}` ends it", cancel_command(ns, name));
  }

  static std::string words_of_suspend(const RestoreRequest& request, const StepRef& ref, bool held) {
    const std::string &ns = request.metadata.ns, &name = request.metadata.name;
    if (held)
      return fmt::format("It holds before {}. `{}` lets it go on{}.", name_of(ref),
                         patch_command<RestoreRequest>(ns, name, R"({"spec":{"suspend":false}})"),
                         words_of_end(request));
    if (request.spec.suspend)
      return fmt::format(
          "It holds as soon as what is under way is done and nobody is left stopped by it; `{}` says how far it is.",
          describe_command<RestoreRequest>(ns, name));
    return "It goes on.";
  }

  static Outcome perform(Run& run, const StepRef& ref) {
    const auto& items = run.request.spec.items;
    const auto item = std::ranges::find(items, ref.item, &crds::RestoreItem::name);
    Frame frame(run, ref, item == items.end() ? nullptr : &*item);
    (void)frame.entry();
    return function_of(ref.step)(run, frame);
  }

  /// A request without a past in its status may have one beside its volumes. Nothing: it goes on.
  std::optional<Result<Action>> recall_past(Run& run) {
    RestoreRequest& request = run.request;
    const RestoreRequest before = request;
    accept(request);
    const StepRef first{request.spec.items.front().name, step::kProbe};
    const auto blocked = [&](const Outcome& outcome) -> Result<Action> {
      if (run.limits.stop.stop_requested()) return again();
      (void)take_without_entry(request, first, outcome);
      if (cancel_wanted(request)) tell_why_it_stays(request);
      if (auto written = store(run, before, false); !written) return tl::unexpected(written.error());
      tell_change(request, before);
      const Millis wait = std::holds_alternative<Unreachable>(outcome) ? kHostRetry : kBlockedRetry;
      set_pace(request, wait);
      return Action::requeue(wait);
    };
    auto target = run.target();
    if (!target) return cancel_wanted(request) ? std::nullopt : std::optional(blocked(from_lookup(target.error())));
    auto marks = find_marks(run, *target);
    if (!marks && marks.error().kind == ErrorKind::Invalid)
      return blocked(Blocked{"MarkUnreadable", marks.error().message, kBlockedRetry});
    if (!marks) return blocked(as_blocked(from_error(marks.error(), *target, false)));
    const Recalled recalled = recall(request, context_.installation, *marks, run.now());
    switch (recalled.what) {
      case Recalled::What::Nothing:
        if (request.spec.rollback && !cancel_wanted(request))
          return blocked(Blocked{"NothingToRollBack",
                                 "spec.rollback is true, and nothing of this request was ever restored here; set it to "
                                 "false to restore",
                                 kBlockedRetry});
        return std::nullopt;
      case Recalled::What::Foreign:
        if (cancel_wanted(request)) return std::nullopt;
        return blocked(Blocked{"UnfinishedRestore", recalled.message, kBlockedRetry});
      case Recalled::What::AlreadyDone:
      case Recalled::What::GoesOn:
        break;
    }
    // Results of workers of an earlier life may be of a tree that is made anew now: only the mark is believed.
    if (auto swept = remove_workers_of(*target->engine, context_.installation, run.key, {}, run.limits); !swept) {
      request.status = before.status;
      return blocked(as_blocked(from_error(swept.error(), *target, false)));
    }
    if (auto written = store(run, before, false); !written) return tl::unexpected(written.error());
    tell(context_.api, request, false, recalled.what == Recalled::What::GoesOn ? "Recalled" : "AlreadyDone",
         recalled.what == Recalled::What::GoesOn
             ? "Goes on from the mark beside the volume."
             : "The receipt of this request is beside the volume; nothing was touched.");
    // A restore that had ended may have a rollback to go on with, or old data to throw away.
    if (crds::is_finished(request.status)) return go_after(run);
    return std::nullopt;
  }

  /// A lost store may have left a mark there, so a request is not let go unseen.
  void tell_why_it_stays(RestoreRequest& request) {
    const std::string& host = request.spec.target.host_ref.name;
    set(request, "Cancellable", ConditionStatus::False, "TargetNotSeen",
        fmt::format("It ends as soon as host {0} answers and nothing of it is found there; if the host is "
                    "gone for good: `roadstead delete host {0}`.",
                    host),
        context_.clock.now());
  }

  static Outcome as_blocked(Outcome outcome) {
    if (auto* retry = std::get_if<Retry>(&outcome))
      return Blocked{retry->reason, sentence(retry->message, retry->next), kBlockedRetry};
    return outcome;
  }

  /// Conditions only: a step that was begun would end the recalling.
  std::optional<Millis> take_without_entry(RestoreRequest& request, const StepRef& ref, const Outcome& outcome) {
    auto wait = take(request, ref, outcome, context_.clock.now());
    request.status.steps.clear();
    request.status.started_at.reset();
    return wait;
  }

  static bool cancel_wanted(const RestoreRequest& request) {
    return request.spec.cancel || request.metadata.deletion_timestamp;
  }

  void hear_cancel(RestoreRequest& request) {
    if (!cancel_wanted(request) || is_ending(request.status) || !current_step(request)) return;
    const char* by = request.spec.cancel ? "spec.cancel" : "deletion";
    if (!past_cancelling(request.status)) {
      decide_end(request.status, "Cancelled", "Cancelled",
                 fmt::format("Cancelled by {}; nothing of the old data was changed.", by), request.metadata.generation,
                 context_.clock.now());
      return;
    }
    set(request, "Cancellable", ConditionStatus::False, "TooLate",
        fmt::format("{} came after the exchange had begun: the restore is completed.", by), context_.clock.now());
  }

  Result<Action> end(Run& run) {
    RestoreRequest& request = run.request;
    const RestoreRequest before = request;
    restore::finish(request, run.now());
    if (auto written = store(run, before, false); !written) return tl::unexpected(written.error());
    count_end(request);
    tell_change(request, before);
    return go_after(run);
  }

  /// Metrics keep showing it.
  void show_end(const RestoreRequest& request) {
    const LabelValues labels{request.metadata.ns, request.metadata.name};
    if (!request.spec.dry_run) {
      context_.metrics.gauge(metric::kRestoreFailed, labels)
          .set(phase_of(request) == crds::RestorePhase::Failed ? 1 : 0);
      if (request.status.finished_at)
        context_.metrics.gauge(metric::kRestoreFinished, labels).set(*request.status.finished_at);
    }
  }

  /// After the end, with nothing left to be done: nothing holds the object any more.
  Result<Action> settle(RestoreRequest& request) {
    show_end(request);
    if (!crds::remove_finalizer(request.metadata, kFinalizer)) return Action::await_change();
    auto done = update(context_.api, request);
    if (!done && done.error().kind == ErrorKind::Conflict) return again();
    if (!done && done.error().kind != ErrorKind::NotFound) return tl::unexpected(done.error());
    return Action::await_change();
  }

  void count_end(const RestoreRequest& request) {
    if (request.spec.dry_run || !request.status.receipt) return;
    const auto from = request.status.started_at.value_or(context_.clock.now());
    const auto seconds = std::chrono::duration<double>(context_.clock.now() - from).count();
    context_.metrics.histogram(metric::kRestoreDuration, {request.status.receipt->result}).observe(seconds);
  }

  /// The finalizer stands before anything is done on a host.
  Result<void> hold(RestoreRequest& request) {
    const LabelValues labels{request.metadata.ns, request.metadata.name};
    if (!request.spec.dry_run) {
      (void)context_.metrics.gauge(metric::kRestoreFailed, labels);
      (void)context_.metrics.gauge(metric::kRestoreFinished, labels);
    }
    if (request.spec.dry_run || request.metadata.deletion_timestamp ||
        !crds::add_finalizer(request.metadata, kFinalizer))
      return {};
    return update(context_.api, request);
  }

  void accept(RestoreRequest& request) const {
    set(request, "Accepted", ConditionStatus::True, "Accepted", "The request is worked on.", context_.clock.now());
  }

  /// One write per step. What only moves is written every two seconds at most.
  Result<void> store(Run& run, const RestoreRequest& before, bool working) {
    RestoreRequest& request = run.request;
    accept(request);
    request.status.observed_generation = request.metadata.generation;
    request.status.phase = phase_of(request);
    crds::refresh_summary(request.status);
    if (working && lasting(request) == lasting(before) && !progress_.is_due(key_of(request), context_.clock.now()))
      return {};
    if (crds::to_json(request) != crds::to_json(before))
      if (auto done = update_status(context_.api, request); !done) return done;
    for (const auto& clean_up : std::exchange(run.after_write, {})) clean_up();
    return {};
  }

  void tell_change(const RestoreRequest& request, const RestoreRequest& before) {
    for (const char* type :
         {"Blocked", "Suspended", "TargetReachable", "SourceReachable", "Failed", "Complete", "RolledBack"}) {
      const auto* was = crds::find_condition(before.status.conditions, type);
      const auto* is = crds::find_condition(request.status.conditions, type);
      if (is == nullptr || (was != nullptr && was->status == is->status && was->reason == is->reason)) continue;
      const bool word = std::string_view(type) == "Complete" || std::string_view(type) == "Suspended" ||
                        (std::string_view(type) == "RolledBack" && is->reason != "NothingKept");
      const bool good = word || (is->status == ConditionStatus::True) == std::string_view(type).ends_with("Reachable");
      if (is->status == ConditionStatus::False && was == nullptr && std::string_view(type) == "Failed") continue;
      if (!is->message.empty()) tell(context_.api, request, !good, is->reason, is->message);
    }
  }

  Result<Action> forget(const ObjectKey& key) {
    context_.metrics.remove_series({{"namespace", key.ns}, {"restore", key.name}});
    pace_.forget(key);
    progress_.forget(key);
    return Action::await_change();
  }

  void set_pace(const RestoreRequest& request, Millis wait) {
    pace_.set(key_of(request), request.metadata.resource_version, context_.clock.now(), wait);
  }

  std::optional<Millis> too_early(const RestoreRequest& request) {
    return pace_.wait(key_of(request), request.metadata.resource_version, context_.clock.now());
  }

  /// A failed attempt is not repeated at once; a restarted operator waits as long.
  std::optional<Millis> until_next_attempt(const RestoreRequest& request, const StepRef& ref) const {
    const std::string name = name_of(ref);
    const int failures = failures_of(request.status.steps, name);
    if (failures == 0 || cancel_wanted(request) || is_ending(request.status)) return std::nullopt;
    return pause_left(request.status.steps, name, backoff(failures), context_.clock.now());
  }

  Context& context_;
  Pace pace_;
  Beat progress_{kProgressInterval};
};

}  // namespace

std::unique_ptr<Reconciler> make_restore_request_reconciler(Context& context) {
  return std::make_unique<RestoreReconciler>(context);
}

std::vector<ObjectKey> restore_request_wakes(const nlohmann::json& object) {
  return own_key<crds::RestoreRequest>(object);
}

}  // namespace roadstead::reconcilers
