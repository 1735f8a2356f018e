// start: exactly what ran before runs again, with its restart policies; also on every way out.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "operator/base/rfc3339.h"
#include "reconcilers/restore_request/applications.h"
#include "reconcilers/restore_request/steps.h"

namespace roadstead::reconcilers::restore {
namespace {

using Json = nlohmann::json;

constexpr int kTries = 3;
constexpr Millis kBetweenTries{5'000};

/// When the last volume got the data that is to be started on, by the target's own clock.
std::optional<Time> exchanged_at(const crds::RestoreRequest& request) {
  std::optional<Time> last;
  const auto note = [&](const crds::RestoreItem& item, std::string_view step) {
    const auto text = result_text(request.status, name_of({item.name, step}), "finishedAt");
    if (!text) return;
    auto time = parse_rfc3339(*text);
    if (time && (!last || *time > *last)) last = *time;
  };
  for (const auto& item : request.spec.items) {
    if (rolling_back(request.status)) {
      note(item, step::kRollback);
      continue;
    }
    note(item, step::kExchange);
    note(item, step::kOverwrite);
  }
  return last;
}

/// What somebody started between the stop and the exchange has the old data open: it is stopped, and starts with the
/// rest.
std::optional<Outcome> stop_what_came_between(Run& run, const HostHandle& target) {
  const auto exchanged = exchanged_at(run.request);
  if (!exchanged) return std::nullopt;
  auto all = find_applications(run, target);
  if (!all) return from_error(all.error(), target, false);
  std::vector<Application> between;
  for (const auto& one : to_stop(run.request, *all)) {
    if (!one.mounts_target) continue;
    auto info = target.engine->inspect_container(one.id, run.limits);
    if (!info && info.error().kind == ErrorKind::NotFound) continue;
    if (!info) return from_error(info.error(), target, false);
    if (info->started_at && *info->started_at < *exchanged && !one.auto_remove) between.push_back(one);
  }
  if (between.empty()) return std::nullopt;
  if (extend_ledger(run.request.status.ledger, between))
    return Working{"Wrote down what was started in between.", Millis{0}, {}};
  for (const auto& one : between)
    if (auto stopped = stop_one(run, target, one); !stopped && stopped.error().kind != ErrorKind::NotFound)
      return from_error(stopped.error(), target, false);
  return std::nullopt;
}

class Starter {
 public:
  Starter(Run& run, const HostHandle& target, crds::StartMode mode) : run_(run), target_(target), mode_(mode) {}

  std::vector<std::string> problems;
  std::optional<Outcome> lost;  ///< The engine does not answer.

  void start_ledger() {
    for (auto* entry : in_start_order(run_.request.status.ledger)) {
      if (lost) return;
      if (!entry->started_at) start_entry(*entry);
    }
  }

  void start_listed() {
    for (const auto& name : run_.request.spec.applications.start.containers) {
      if (lost) return;
      note(name, target_.engine->start_container(name, run_.limits));
    }
  }

 private:
  void start_entry(crds::LedgerEntry& entry) {
    auto found = find_again(run_, target_, entry);
    if (!found) return note_error(entry.name, found.error());
    if (!*found) {
      problems.push_back(fmt::format("container {} ran before and is gone", entry.name));
      return;
    }
    const RestartPolicy policy = parse_restart_policy(entry.restart_policy);
    if (!note(entry.name, target_.engine->set_restart_policy((*found)->id, policy.name, policy.maximum, run_.limits)))
      return;
    if (mode_ == crds::StartMode::WhatRan && !run_again(entry, **found)) return;
    entry.started_at = run_.now();
  }

  /// Running, or paused where it was paused.
  bool run_again(const crds::LedgerEntry& entry, const Application& application) {
    if (application.paused && entry.was_paused) return true;
    if (!note(entry.name, target_.engine->start_container(application.id, run_.limits))) return false;
    return !entry.was_paused || note(entry.name, target_.engine->pause_container(application.id, run_.limits));
  }

  bool note(const std::string& name, const Result<void>& done) {
    if (!done) note_error(name, done.error());
    return done.has_value();
  }
  void note_error(const std::string& name, const Error& error) {
    Outcome outcome = from_error(error, target_, false);
    // One container that cannot be started must not keep the others down: only an engine that is away does.
    if (std::holds_alternative<Unreachable>(outcome) && !target_.engine->info(run_.limits))
      lost = std::move(outcome);
    else
      problems.push_back(fmt::format("container {}: {}", name, error.message));
  }

  Run& run_;
  const HostHandle& target_;
  const crds::StartMode mode_;
};

/// The end's own condition says it too: whoever reads that it was cancelled must not think that all runs.
void tell_not_started(Run& run, const std::string& host, const std::string& problems) {
  for (auto& condition : run.request.status.conditions)
    if (condition.type == "Complete")
      condition.message = sentence(condition.message, fmt::format("not everything could be started again: {}; start it "
                                                                  "on host {} by hand",
                                                                  problems, host));
}

}  // namespace

Outcome start_applications(Run& run, Frame& frame) {
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  const bool way_out = frame.ref().step == step::kRestart;
  const bool rollback = frame.ref().step == step::kRollbackStart;
  if (!way_out)
    if (auto outcome = stop_what_came_between(run, *target)) return *outcome;
  // Back to how it was; behind a start that failed for good it is the same start again.
  const bool whole = all_new(run.request) && !rollback;
  const crds::StartMode mode =
      (way_out || rollback) && !whole ? crds::StartMode::WhatRan : run.request.spec.applications.start.mode;
  Starter starter(run, *target, mode);
  starter.start_ledger();
  if (mode == crds::StartMode::Listed && !starter.lost) starter.start_listed();
  if (starter.lost) return *starter.lost;
  if (starter.problems.empty()) {
    run.request.status.restarted_at = run.now();
    return Done{"{}", mode == crds::StartMode::None ? "Nothing is started: spec.applications.start.mode is None."
                                                    : "What has to run was started."};
  }
  const std::string text = fmt::format("{}", fmt::join(starter.problems, "; "));
  Json memory = frame.memory();
  const int tries = memory.value("tries", 0) + 1;
  memory["tries"] = tries;
  frame.remember(memory);
  if (tries < kTries)
    return Working{fmt::format("Could not start everything ({} of {}): {}.", tries, kTries, text), kBetweenTries, {}};
  // The data is whole either way; what could be started runs.
  if (rollback) return Done{Json{{"problems", text}}.dump(), "Not everything could be started again: " + text};
  if (way_out) {
    if (!whole) tell_not_started(run, target->host.metadata.name, text);
    return Done{"{}", "Not everything could be started again: " + text};
  }
  return Failed{"StartFailed", "the data is restored, but not everything could be started: " + text,
                fmt::format("start it on host {} by hand", target->host.metadata.name)};
}

}  // namespace roadstead::reconcilers::restore
