#include "reconcilers/restore_request/plan.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "operator/base/hash.h"
#include "operator/base/rfc3339.h"

namespace roadstead::reconcilers::restore {
namespace {

using crds::ConditionStatus;
using crds::StepState;
using Json = nlohmann::json;

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

std::string_view step_part(const std::string& name) {
  const auto slash = name.rfind('/');
  return std::string_view(name).substr(slash == std::string::npos ? 0 : slash + 1);
}

/// A step of this name whose memory has this word, or that succeeded: its mover was about to be made, or more. One that
/// only waited has touched nothing.
bool may_have(const crds::Step& entry, std::string_view name, std::string_view word) {
  if (step_part(entry.name) != name) return false;
  const Json memory = Json::parse(entry.result, nullptr, false);
  return entry.state == StepState::Succeeded || (memory.is_object() && memory.contains(word));
}
bool may_have_exchanged(const crds::Step& entry) { return may_have(entry, step::kExchange, kExchanging); }
bool may_have_overwritten(const crds::Step& entry) { return may_have(entry, step::kOverwrite, kOverwriting); }

bool is_in_place(const crds::RestoreRequest& request, const crds::RestoreItem& item) {
  return strategy_of(request, item) == crds::RestoreStrategy::InPlace;
}

void append_preparation(std::vector<StepRef>& path, const crds::RestoreRequest& request,
                        const crds::RestoreItem& item) {
  const auto add = [&](std::string_view step) { path.push_back({item.name, step}); };
  add(step::kMark);
  if (item.from.barman) {
    add(step::kPrepare);
    add(step::kReplay);
  }
  if (is_in_place(request, item)) return add(step::kCompare);
  add(step::kCopy);
  if (item.from.barman) add(step::kFinish);
}

std::vector<StepRef> forward_path(const crds::RestoreRequest& request) {
  std::vector<StepRef> path;
  for (const auto& item : request.spec.items) path.push_back({item.name, step::kProbe});
  if (request.spec.dry_run) return path;
  for (const auto& item : request.spec.items) path.push_back({item.name, step::kPin});
  for (const auto& item : request.spec.items) append_preparation(path, request, item);
  path.push_back({{}, step::kStop});
  for (const auto& item : request.spec.items)
    if (!is_in_place(request, item)) path.push_back({item.name, step::kExchange});
  for (const auto& item : request.spec.items)
    if (is_in_place(request, item)) path.push_back({item.name, step::kOverwrite});
  path.push_back({{}, step::kStart});
  if (!request.spec.checks.empty()) path.push_back({{}, step::kCheck});
  path.push_back({{}, step::kReceipt});
  return path;
}

/// All volumes new, or all old: never a mixture. What was stopped runs again unless `start` was gone through already.
std::vector<StepRef> way_out(const crds::RestoreRequest& request) {
  std::vector<StepRef> path;
  const bool whole = all_new(request);
  if (!whole)
    for (const auto& item : request.spec.items)
      // Whether it happened may not be known, and "make the old one current" may be said twice.
      if (std::ranges::any_of(request.status.steps, [&](const crds::Step& entry) {
            return entry.name == name_of({item.name, step::kExchange}) && may_have_exchanged(entry);
          }))
        path.push_back({item.name, step::kPutBack});
  if (!request.status.ledger.empty() && succeeded(request.status, std::string(step::kStart)) == nullptr)
    path.push_back({{}, step::kRestart});
  if (!request.status.steps.empty()) path.push_back({{}, step::kReceipt});  // its workers go, at the least
  return path;
}

Json result_json(const crds::RestoreRequestStatus& status, const std::string& name) {
  const crds::Step* entry = succeeded(status, name);
  if (entry == nullptr) return Json::object();
  Json json = Json::parse(entry->result, nullptr, false);
  return json.is_object() ? json : Json::object();
}

void set(crds::RestoreRequest& request, std::string type, ConditionStatus status, std::string reason,
         std::string message, Time now) {
  crds::set_condition(request.status.conditions,
                      {.type = std::move(type),
                       .status = status,
                       .reason = std::move(reason),
                       .message = std::move(message),
                       .last_transition_time = {},
                       .observed_generation = request.metadata.generation},
                      now);
}

void clear_waiting(crds::RestoreRequest& request, Time now) {
  auto& conditions = request.status.conditions;
  if (crds::is_true(conditions, "Blocked"))
    set(request, "Blocked", ConditionStatus::False, "Going", "It goes on.", now);
  for (const char* type : {"TargetReachable", "SourceReachable"})
    if (const auto* found = crds::find_condition(conditions, type); found && found->status == ConditionStatus::False)
      set(request, type, ConditionStatus::True, "HostReachable", "The host's Docker Engine answers again.", now);
}

bool is_running(const crds::RestoreRequestStatus& status, std::string_view name) {
  return std::ranges::any_of(
      status.steps, [&](const crds::Step& entry) { return entry.name == name && entry.state == StepState::Running; });
}

/// What Complete says on the way; an end that is decided is not talked over.
void say(crds::RestoreRequest& request, const std::string& message, Time now) {
  if (is_ending(request.status)) return;
  if (crds::is_finished(request.status)) {
    if (rolling_back(request.status) || is_running(request.status, step::kRollbackProbe))
      set(request, "RolledBack", ConditionStatus::False, "RollingBack", message, now);
    return;
  }
  const auto phase = phase_of(request);
  set(request, "Complete", ConditionStatus::False,
      std::string(crds::EnumNames<crds::RestorePhase>::names[static_cast<std::size_t>(phase)]), message, now);
}

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

void close(crds::Step& entry, StepState state, std::string message, Time now) {
  entry.state = state;
  entry.finished_at = now;
  entry.message = std::move(message);
}

}  // namespace

std::string name_of(const StepRef& ref) {
  return ref.item.empty() ? std::string(ref.step) : ref.item + "/" + std::string(ref.step);
}

std::string spec_hash(const crds::RestoreRequest& request) {
  crds::RestoreRequest lasting = request;
  lasting.spec.cancel = false;
  lasting.spec.confirm.reset();
  Json spec = crds::to_json(lasting).at("spec");
  for (const char* field : {"suspend", "rollback", "keepPreviousSeconds"}) spec.erase(field);
  return sha256_hex(spec.dump()).substr(0, 16);
}

crds::RestoreStrategy strategy_of(const crds::RestoreRequest& request, const crds::RestoreItem& item) {
  if (const auto* pinned = pinned_of(request.status, item.name)) return pinned->strategy;
  const auto probed = result_text(request.status, name_of({item.name, step::kProbe}), "strategy");
  const auto in_place = crds::EnumNames<crds::RestoreStrategy>::names[static_cast<int>(crds::RestoreStrategy::InPlace)];
  const bool asked = request.spec.strategy == crds::RestoreStrategy::InPlace;
  return (probed ? *probed == in_place : asked) ? crds::RestoreStrategy::InPlace : crds::RestoreStrategy::Staged;
}

bool all_new(const crds::RestoreRequest& request) {
  return std::ranges::all_of(request.spec.items, [&](const crds::RestoreItem& item) {
    const auto step = is_in_place(request, item) ? step::kOverwrite : step::kExchange;
    return succeeded(request.status, name_of({item.name, step})) != nullptr;
  });
}

bool forward_only(const crds::RestoreRequest& request) {
  return std::ranges::any_of(request.status.steps, may_have_overwritten) && !all_new(request);
}

std::vector<StepRef> path_of(const crds::RestoreRequest& request) {
  if (crds::is_finished(request.status)) return {};
  return is_ending(request.status) ? way_out(request) : forward_path(request);
}

std::optional<StepRef> first_open(const crds::RestoreRequest& request, const std::vector<StepRef>& path) {
  for (const StepRef& ref : path)
    if (succeeded(request.status, name_of(ref)) == nullptr) return ref;
  return std::nullopt;
}

std::optional<StepRef> current_step(const crds::RestoreRequest& request) {
  return first_open(request, path_of(request));
}

const crds::Step* succeeded(const crds::RestoreRequestStatus& status, const std::string& name) {
  const auto found = std::ranges::find_if(
      status.steps, [&](const crds::Step& entry) { return entry.name == name && entry.state == StepState::Succeeded; });
  return found == status.steps.end() ? nullptr : &*found;
}

crds::Step* running(crds::RestoreRequestStatus& status, const std::string& name) {
  const auto found = std::ranges::find_if(
      status.steps, [&](const crds::Step& entry) { return entry.name == name && entry.state == StepState::Running; });
  return found == status.steps.end() ? nullptr : &*found;
}

bool was_begun(const crds::RestoreRequestStatus& status, const std::string& name) {
  return std::ranges::find(status.steps, name, &crds::Step::name) != status.steps.end();
}

int failures_of(const crds::RestoreRequestStatus& status, const std::string& name) {
  return static_cast<int>(std::ranges::count_if(
      status.steps, [&](const crds::Step& entry) { return entry.name == name && entry.state == StepState::Failed; }));
}

const crds::PinnedSource* pinned_of(const crds::RestoreRequestStatus& status, const std::string& item) {
  const auto found = std::ranges::find(status.pinned, item, &crds::PinnedSource::item);
  return found == status.pinned.end() ? nullptr : &*found;
}

std::optional<std::string> result_text(const crds::RestoreRequestStatus& status, const std::string& step,
                                       const char* field) {
  const Json json = result_json(status, step);
  const auto found = json.find(field);
  if (found == json.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

std::optional<std::uint64_t> result_number(const crds::RestoreRequestStatus& status, const std::string& step,
                                           const char* field) {
  const Json json = result_json(status, step);
  const auto found = json.find(field);
  if (found == json.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

bool result_flag(const crds::RestoreRequestStatus& status, const std::string& step, std::string_view field) {
  const Json json = result_json(status, step);
  const auto found = json.find(std::string(field));
  return found != json.end() && found->is_boolean() && found->get<bool>();
}

bool touched(const crds::RestoreRequestStatus& status) {
  return std::ranges::any_of(status.steps,
                             [](const crds::Step& entry) { return step_part(entry.name) == step::kMark; });
}

bool past_cancelling(const crds::RestoreRequestStatus& status) {
  return std::ranges::any_of(
      status.steps, [](const crds::Step& entry) { return may_have_exchanged(entry) || may_have_overwritten(entry); });
}

bool is_held(const crds::RestoreRequest& request, const StepRef& ref) {
  const auto& status = request.status;
  const auto between = [&](std::string_view stop, std::string_view start) {
    return was_begun(status, std::string(stop)) && succeeded(status, std::string(start)) == nullptr;
  };
  return request.spec.suspend && !request.metadata.deletion_timestamp && !is_running(status, name_of(ref)) &&
         !is_ending(status) && !forward_only(request) && !between(step::kStop, step::kStart) &&
         !between(step::kRollbackStop, step::kRollbackStart);
}

bool is_ending(const crds::RestoreRequestStatus& status) { return status.receipt && !status.receipt->finished_at; }

namespace {

crds::RestorePhase phase_of_rollback(const crds::RestoreRequest& request) {
  using crds::RestorePhase;
  if (crds::is_true(request.status.conditions, "Blocked")) return RestorePhase::Blocked;
  const auto ref = first_open(request, aftermath_path(request, Aftermath::RollBack));
  if (ref && ref->step == step::kRollbackStop) return RestorePhase::Stopping;
  return ref && ref->step == step::kRollback ? RestorePhase::Swapping : RestorePhase::Starting;
}

}  // namespace

crds::RestorePhase phase_of(const crds::RestoreRequest& request) {
  using crds::RestorePhase;
  const auto& conditions = request.status.conditions;
  if (rolled_back(request.status)) return RestorePhase::RolledBack;
  if (rolling_back(request.status)) return phase_of_rollback(request);
  if (const auto* failed = crds::find_condition(conditions, "Failed");
      failed && failed->status == ConditionStatus::True) {
    const bool cancelled =
        request.status.receipt ? request.status.receipt->result == "Cancelled" : failed->reason == "Cancelled";
    return cancelled ? RestorePhase::Cancelled : RestorePhase::Failed;
  }
  if (crds::is_true(conditions, "Complete")) return RestorePhase::Succeeded;
  if (crds::is_true(conditions, "Blocked")) return RestorePhase::Blocked;
  if (request.status.steps.empty()) return RestorePhase::Pending;
  const auto ref = current_step(request);
  if (!ref) return RestorePhase::Checking;
  const auto now = ref->step;
  if (now == step::kProbe || now == step::kPin) return RestorePhase::Planning;
  if (now == step::kMark || now == step::kPrepare || now == step::kReplay) return RestorePhase::Preparing;
  if (now == step::kCopy || now == step::kFinish || now == step::kCompare) return RestorePhase::Copying;
  if (now == step::kStop) return RestorePhase::Stopping;
  if (now == step::kExchange || now == step::kOverwrite || now == step::kPutBack) return RestorePhase::Swapping;
  if (now == step::kStart || now == step::kRestart) return RestorePhase::Starting;
  return RestorePhase::Checking;
}

crds::Step& begin(crds::RestoreRequestStatus& status, const StepRef& ref, Time now) {
  const std::string name = name_of(ref);
  if (crds::Step* entry = running(status, name)) return *entry;
  std::int64_t attempt = 0;
  for (const auto& entry : status.steps)
    if (entry.name == name) attempt = std::max(attempt, entry.attempt);
  crds::Step entry;
  entry.name = name;
  entry.attempt = attempt + 1;
  entry.started_at = now;
  status.steps.push_back(std::move(entry));
  if (!status.started_at) status.started_at = now;
  show_step(status, ref);
  return status.steps.back();
}

void decide_end(crds::RestoreRequestStatus& status, const std::string& result, const std::string& reason,
                const std::string& message, std::int64_t generation, Time now) {
  for (auto& entry : status.steps)
    if (entry.state == StepState::Running) close(entry, StepState::Failed, message, now);
  status.receipt = crds::Receipt{result, std::nullopt, std::nullopt};
  crds::set_condition(status.conditions,
                      {.type = "Complete",
                       .status = ConditionStatus::False,
                       .reason = reason,
                       .message = message,
                       .last_transition_time = {},
                       .observed_generation = generation},
                      now);
}

Millis backoff(int failures) {
  constexpr Millis kFirst{5'000}, kLongest{60'000};
  Millis wait = kFirst;
  for (int i = 1; i < failures && wait < kLongest; ++i) wait *= 4;
  return std::min(wait, kLongest);
}

namespace {

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
  const int failures = failures_of(status, name);
  if (failures >= kFailureLimit) {
    decide_end(status, "Failed", retry.reason, message, request.metadata.generation, now);
    return std::nullopt;
  }
  say(request, fmt::format("{} failed ({} of {}): {}", name, failures, kFailureLimit, message), now);
  return backoff(failures);
}

}  // namespace

std::optional<Millis> take(crds::RestoreRequest& request, const StepRef& ref, const Outcome& outcome, Time now) {
  auto& status = request.status;
  return std::visit(
      Overloaded{
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
            set(request, lost.is_source ? "SourceReachable" : "TargetReachable", ConditionStatus::False,
                "HostUnavailable",
                fmt::format("Docker Engine of host {} is not reached: {}; it goes on by itself when the host is back "
                            "(`roadstead describe host {}`)",
                            lost.host, lost.message, lost.host),
                now);
            return kHostRetry;
          },
          [&](const Failed& failed) -> std::optional<Millis> { return take_failure(request, ref, failed, now); }},
      outcome);
}

void finish(crds::RestoreRequest& request, Time now) {
  auto& status = request.status;
  const auto* told = crds::find_condition(status.conditions, "Complete");
  const std::string reason = told ? told->reason : std::string(), message = told ? told->message : std::string();
  clear_waiting(request, now);
  status.finished_at = now;
  std::optional<Time> kept;
  if (result_flag(status, std::string(step::kReceipt), kKept))
    kept = now + std::chrono::seconds(request.spec.keep_previous_seconds);
  if (is_ending(status)) {
    status.receipt->finished_at = now;
    status.receipt->kept_until = kept;
    set(request, "Failed", ConditionStatus::True, reason, message, now);
  } else if (request.spec.dry_run) {
    set(request, "Complete", ConditionStatus::True, "Planned",
        "The plan is in status.plan; nothing stands against it and nothing was touched.", now);
    set(request, "Failed", ConditionStatus::False, "Planned", "It did not fail.", now);
  } else {
    status.receipt = crds::Receipt{"Succeeded", now, kept};
    std::string done = "Everything is restored, started and checked.";
    if (status.receipt->kept_until)
      done += fmt::format(" The data from before is kept until {}; `rollback: true` brings it back.",
                          format_rfc3339(*status.receipt->kept_until));
    set(request, "Complete", ConditionStatus::True, "Restored", done, now);
    set(request, "Failed", ConditionStatus::False, "Restored", "It did not fail.", now);
  }
}

// ---- after the end

std::optional<Time> kept_until(const crds::RestoreRequest& request, Time end) {
  // Of what was overwritten nothing is left, and half a way back is none.
  const bool whole = std::ranges::none_of(request.spec.items,
                                          [&](const crds::RestoreItem& item) { return is_in_place(request, item); });
  if (!whole || !all_new(request) || request.spec.keep_previous_seconds == 0) return std::nullopt;
  return end + std::chrono::seconds(request.spec.keep_previous_seconds);
}

Aftermath aftermath_of(const crds::RestoreRequest& request, Time now) {
  const auto& status = request.status;
  if (rolling_back(status)) return Aftermath::RollBack;
  if (!status.receipt || !status.receipt->kept_until) return Aftermath::Nothing;
  if (request.metadata.deletion_timestamp) return Aftermath::Discard;
  const auto* told = crds::find_condition(status.conditions, "RolledBack");
  const bool refused =
      told != nullptr && told->reason != "RollingBack" && told->observed_generation == request.metadata.generation;
  if (request.spec.rollback && !refused && !rolled_back(status)) return Aftermath::RollBack;
  const Time end = status.receipt->finished_at.value_or(now);
  const bool over = now >= end + std::chrono::seconds(request.spec.keep_previous_seconds);
  return over ? Aftermath::Discard : Aftermath::Keep;
}

std::vector<StepRef> aftermath_path(const crds::RestoreRequest& request, Aftermath what) {
  if (what == Aftermath::Discard) return {{{}, step::kDiscard}};
  if (what != Aftermath::RollBack) return {};
  std::vector<StepRef> path{{{}, step::kRollbackProbe}, {{}, step::kRollbackStop}};
  for (const auto& item : request.spec.items) path.push_back({item.name, step::kRollback});
  path.push_back({{}, step::kRollbackStart});
  path.push_back({{}, step::kRollbackReceipt});
  return path;
}

bool rolling_back(const crds::RestoreRequestStatus& status) {
  return was_begun(status, std::string(step::kRollbackStop)) &&
         succeeded(status, std::string(step::kRollbackReceipt)) == nullptr;
}

bool rolled_back(const crds::RestoreRequestStatus& status) { return crds::is_true(status.conditions, "RolledBack"); }

void refuse_rollback(crds::RestoreRequest& request, const std::string& reason, const std::string& message, Time now) {
  clear_waiting(request, now);
  set(request, "RolledBack", ConditionStatus::False, reason, message, now);
}

std::string nothing_kept(const crds::RestoreRequest& request) {
  if (!all_new(request) && !request.status.steps.empty())
    return "nothing was exchanged by this request, so the data from before is there already";
  for (const auto& item : request.spec.items)
    if (is_in_place(request, item))
      return fmt::format(
          "volume {} was overwritten in place, of which nothing is kept; restore an earlier snapshot with a new "
          "request",
          item.to.volume);
  return "the data from before the restore is not kept any more (spec.keepPreviousSeconds); restore an earlier backup "
         "with a new request";
}

void finish_aftermath(crds::RestoreRequest& request, Aftermath what, Time now) {
  auto& status = request.status;
  clear_waiting(request, now);
  if (status.receipt) status.receipt->kept_until.reset();
  if (what != Aftermath::RollBack) return;
  if (status.receipt) status.receipt->result = "RolledBack";
  std::string message = "The data from before the restore is back.";
  if (const auto problems = result_text(status, std::string(step::kRollbackStart), "problems"))
    message = sentence(message, "not everything could be started again: " + *problems);
  set(request, "RolledBack", ConditionStatus::True, "RolledBack", message, now);
}

crds::Progress merged(const crds::Progress& before, crds::Progress now) {
  const auto no_less = [](std::optional<std::int64_t> old, std::optional<std::int64_t> fresh) {
    return old && fresh ? std::optional(std::max(*old, *fresh)) : (fresh ? fresh : old);
  };
  now.bytes_done = no_less(before.bytes_done, now.bytes_done);
  now.bytes_total = no_less(before.bytes_total, now.bytes_total);
  if (now.bytes_done && now.bytes_total) now.bytes_done = std::min(*now.bytes_done, *now.bytes_total);
  if (now.bytes_total && *now.bytes_total > 0)
    now.percent = std::clamp<std::int64_t>(now.bytes_done.value_or(0) * 100 / *now.bytes_total, 0, 100);
  now.percent = no_less(before.percent, now.percent);
  return now;
}

}  // namespace roadstead::reconcilers::restore
