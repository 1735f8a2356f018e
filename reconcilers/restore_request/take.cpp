#include "reconcilers/restore_request/take.h"

#include <algorithm>

#include "reconcilers/restore_request/conditions.h"
#include "reconcilers/restore_request/end.h"
#include "reconcilers/restore_request/path.h"
#include "reconcilers/support/steps.h"

namespace roadstead::reconcilers::restore {
namespace {

using crds::ConditionStatus;
using crds::StepState;

crds::RestoreItemStatus& item_status(crds::RestoreRequestStatus& status, const std::string& item) {
  const auto found = std::ranges::find(status.items, item, &crds::RestoreItemStatus::name);
  if (found != status.items.end()) return *found;
  status.items.push_back({item, {}, {}});
  return status.items.back();
}

void show_step(crds::RestoreRequestStatus& status, const StepRef& ref) {
  if (ref.item.empty()) {
    for (auto& item : status.items)
      if (item.step != ref.step) item = {item.name, std::string(ref.step), {}};
    return;
  }
  auto& item = item_status(status, ref.item);
  if (item.step != ref.step) item = {ref.item, std::string(ref.step), {}};
}

/// Why nobody sees his application meanwhile.
std::string with_warning(const crds::RestoreRequest& request, const std::string& message) {
  if (!forward_only(request)) return message;
  return message + "; it is tried again until the data is whole, and until then the applications stay stopped";
}

/// No attempt can help, and yet there is no way back.
std::optional<Millis> take_failure(crds::RestoreRequest& request, const StepRef& ref, const Failed& failed, Time now) {
  auto& status = request.status;
  const std::string message = sentence(failed.message, failed.next);
  crds::Step& entry = begin(status, ref, now);
  if (forward_only(request) || rolling_back(status)) {
    entry.message = message;
    set(request, "Blocked", ConditionStatus::True, failed.reason, with_warning(request, message), now);
    return kBlockedRetry;
  }
  if (crds::is_finished(status)) {
    close(entry, StepState::Failed, message, now);
    refuse_rollback(request, failed.reason, message, now);
    return std::nullopt;
  }
  decide_end(status, "Failed", failed.reason, message, request.metadata.generation, now);
  return std::nullopt;
}

std::optional<Millis> take_retry(crds::RestoreRequest& request, const StepRef& ref, const Retry& retry, Time now) {
  auto& status = request.status;
  const std::string name = name_of(ref);
  const std::string message = sentence(retry.message, retry.next);
  crds::Step& entry = begin(status, ref, now);
  // The way out, the receipt, half an overwritten volume and what comes after the end have nothing to fall back to, and
  // before anything is touched a refusal is no end: all of them are tried until they succeed.
  if (is_ending(status) || ref.step == step::kReceipt || !touched(status) || forward_only(request) ||
      crds::is_finished(status)) {
    entry.attempt += 1;
    entry.worker.clear();
    entry.message = message;
    set(request, "Blocked", ConditionStatus::True, retry.reason, with_warning(request, message), now);
    return kBlockedRetry;
  }
  close(entry, StepState::Failed, message, now);
  const int failures = failures_of(status.steps, name);
  if (failures >= kFailureLimit) {
    decide_end(status, "Failed", retry.reason, message, request.metadata.generation, now);
    return std::nullopt;
  }
  say(request, fmt::format("{} failed ({} of {}): {}", name, failures, kFailureLimit, message), now);
  return backoff(failures);
}

}  // namespace

crds::Step& begin(crds::RestoreRequestStatus& status, const StepRef& ref, Time now) {
  const std::string name = name_of(ref);
  const bool is_new = !is_running(status.steps, name);
  crds::Step& entry = begin_step(status.steps, name, now);
  if (!is_new) return entry;
  if (!status.started_at) status.started_at = now;
  show_step(status, ref);
  return entry;
}

void decide_end(crds::RestoreRequestStatus& status, const std::string& result, const std::string& reason,
                const std::string& message, std::int64_t generation, Time now) {
  for (auto& entry : status.steps)
    if (entry.state == StepState::Running) close(entry, StepState::Failed, message, now);
  status.receipt = crds::Receipt{result, std::nullopt, std::nullopt};
  crds::set_condition(status.conditions,
                      {"Complete", ConditionStatus::False, reason, message, std::nullopt, generation}, now);
}

Millis backoff(int failures) {
  constexpr Millis kFirst{5'000}, kLongest{60'000};
  Millis wait = kFirst;
  for (int i = 1; i < failures && wait < kLongest; ++i) wait *= 4;
  return std::min(wait, kLongest);
}

std::optional<Millis> take(crds::RestoreRequest& request, const StepRef& ref, const Outcome& outcome, Time now) {
  auto& status = request.status;
  const Overloaded taken{
      [&](const Done& done) -> std::optional<Millis> {
        crds::Step& entry = begin(status, ref, now);
        entry.result = done.result;
        close(entry, StepState::Succeeded, done.message, now);
        clear_waiting(request, now);
        if (const auto next = current_step(request)) {
          show_step(status, *next);
          say(request, done.message.empty() ? name_of(*next) + " is next." : done.message, now);
        }
        return std::nullopt;
      },
      [&](const Working& working) -> std::optional<Millis> {
        clear_waiting(request, now);
        begin(status, ref, now).message = working.message;
        if (working.progress && !ref.item.empty()) {
          auto& item = item_status(status, ref.item);
          item.progress = merged(item.progress, *working.progress);
        }
        say(request, working.message, now);
        if (working.again == Millis{0}) return std::nullopt;
        return working.again;
      },
      [&](const Blocked& blocked) -> std::optional<Millis> {
        begin(status, ref, now).message = blocked.message;
        set(request, "Blocked", ConditionStatus::True, blocked.reason, blocked.message, now);
        say(request, blocked.message, now);
        return blocked.again;
      },
      [&](const Retry& retry) -> std::optional<Millis> { return take_retry(request, ref, retry, now); },
      [&](const Unreachable& lost) -> std::optional<Millis> {
        set(request, lost.is_source ? "SourceReachable" : "TargetReachable", ConditionStatus::False, "HostUnavailable",
            words_of(lost), now);
        return kHostRetry;
      },
      [&](const Failed& failed) -> std::optional<Millis> { return take_failure(request, ref, failed, now); }};
  return std::visit(taken, outcome);
}

crds::Progress merged(const crds::Progress& before, crds::Progress now) {
  now.bytes_done = no_less(before.bytes_done, now.bytes_done);
  now.bytes_total = no_less(before.bytes_total, now.bytes_total);
  if (now.bytes_done && now.bytes_total) now.bytes_done = std::min(*now.bytes_done, *now.bytes_total);
  if (now.bytes_total && *now.bytes_total > 0)
    now.percent = std::clamp<std::int64_t>(now.bytes_done.value_or(0) * 100 / *now.bytes_total, 0, 100);
  now.percent = no_less(before.percent, now.percent);
  return now;
}

}  // namespace roadstead::reconcilers::restore
