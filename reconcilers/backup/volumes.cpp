#include "reconcilers/backup/volumes.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "operator/base/quantity.h"
#include "reconcilers/backup/decide.h"
#include "reconcilers/support/repository.h"

namespace roadstead::reconcilers::backup {
namespace {

using crds::ConditionStatus;
using crds::Step;
using crds::StepState;
using Json = nlohmann::json;

constexpr std::string_view kFinal = R"({"final":true})";  // The result of an entry whose step is not tried again.
constexpr std::string_view kHooks = "HooksSucceeded";

template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

// ---- entries -------------------------------------------------------------------------------------------------------

const Step* with_state(const std::vector<Step>& steps, const std::string& name, StepState state) {
  const auto found =
      std::ranges::find_if(steps, [&](const Step& step) { return step.name == name && step.state == state; });
  return found == steps.end() ? nullptr : &*found;
}

const Step* succeeded(const crds::BackupStatus& status, const std::string& name) {
  return with_state(status.steps, name, StepState::Succeeded);
}

/// The entry that says that this step has failed for good.
const Step* given_up(const crds::BackupStatus& status, const std::string& name) {
  const auto found = std::ranges::find_if(status.steps, [&](const Step& step) {
    return step.name == name && step.state == StepState::Failed && step.result == kFinal;
  });
  return found == status.steps.end() ? nullptr : &*found;
}

bool is_over(const crds::BackupStatus& status, const std::string& name) {
  return succeeded(status, name) != nullptr || given_up(status, name) != nullptr;
}

int failures_of(const crds::BackupStatus& status, const std::string& name) {
  return static_cast<int>(std::ranges::count_if(
      status.steps, [&](const Step& step) { return step.name == name && step.state == StepState::Failed; }));
}

void close(Step& entry, StepState state, std::string message, Time now) {
  entry.state = state;
  entry.finished_at = now;
  entry.message = std::move(message);
}

std::string hook_step(const char* when, const crds::Hook& hook) { return std::string(when) + "/" + hook.name; }

bool ends_the_run(const crds::Hook& hook) {
  return (hook.exec ? hook.exec->on_failure : hook.http->on_failure) == crds::OnFailure::Fail;
}

const std::vector<crds::Hook>& before_hooks(const Plan& plan) {
  static const std::vector<crds::Hook> none;
  return plan.source.hooks ? plan.source.hooks->before : none;
}
const std::vector<crds::Hook>& after_hooks(const Plan& plan) {
  static const std::vector<crds::Hook> none;
  return plan.source.hooks ? plan.source.hooks->after : none;
}

/// The hook before that ended the run; null: none did.
const crds::Hook* fatal_hook(const Plan& plan, const crds::BackupStatus& status) {
  for (const auto& hook : before_hooks(plan))
    if (ends_the_run(hook) && given_up(status, hook_step("before", hook)) != nullptr) return &hook;
  return nullptr;
}

std::string look_step(const Plan& plan, const Place& place) { return plan.name_of(place) + "/look"; }
std::string directory_step(const Plan& plan, const Place& place) { return plan.name_of(place) + "/directory"; }
std::string copy_step(const Plan& plan, const Place& place, const Missing& missing) {
  return plan.copies_repository() ? plan.name_of(place) + "/" + missing.id + "/copy" : plan.name_of(place) + "/copy";
}

/// What is known to be missing; nothing before the look and where it failed.
std::optional<Lookup> lookup_of(const Plan& plan, const crds::BackupStatus& status, const Place& place) {
  const Step* looked = succeeded(status, look_step(plan, place));
  if (looked == nullptr) return std::nullopt;
  auto lookup = parse_lookup(looked->result);
  return lookup ? std::optional(std::move(*lookup)) : std::nullopt;
}

std::int64_t left_out_of(const Plan& plan, const crds::BackupStatus& status) {
  std::int64_t count = 0;
  for (const auto& place : plan.places)
    if (const auto lookup = lookup_of(plan, status, place)) count += lookup->left_out;
  return count;
}

/// Every copy of the run, as far as it was looked.
std::vector<StepRef> copies_of(const Plan& plan, const crds::BackupStatus& status) {
  std::vector<StepRef> all;
  for (const auto& place : plan.places) {
    const auto lookup = lookup_of(plan, status, place);
    if (!lookup) continue;
    for (const auto& missing : lookup->missing)
      all.push_back({StepKind::Copy, copy_step(plan, place, missing), place, missing, {}});
  }
  return all;
}

bool has_begun_to_work(const Plan& plan, const crds::BackupStatus& status) {
  const auto was_begun = [&](const std::string& name) {
    return std::ranges::find(status.steps, name, &Step::name) != status.steps.end();
  };
  return std::ranges::any_of(before_hooks(plan),
                             [&](const auto& hook) { return was_begun(hook_step("before", hook)); }) ||
         std::ranges::any_of(copies_of(plan, status), [&](const StepRef& copy) { return was_begun(copy.name); });
}

std::optional<StepRef> next_look(const Plan& plan, const crds::BackupStatus& status) {
  for (const auto& place : plan.places)
    if (const auto name = look_step(plan, place); !is_over(status, name))
      return StepRef{StepKind::Look, name, place, {}, {}};
  return std::nullopt;
}

std::optional<StepRef> next_hook(const char* when, StepKind kind, const std::vector<crds::Hook>& hooks,
                                 const crds::BackupStatus& status) {
  for (const auto& hook : hooks)
    if (const auto name = hook_step(when, hook); !is_over(status, name)) return StepRef{kind, name, {}, {}, hook};
  return std::nullopt;
}

std::optional<StepRef> next_copy(const Plan& plan, const crds::BackupStatus& status) {
  for (auto& copy : copies_of(plan, status)) {
    if (is_over(status, copy.name)) continue;
    const auto lookup = lookup_of(plan, status, *copy.place);
    const std::string directory = directory_step(plan, *copy.place);
    if (given_up(status, directory) != nullptr) continue;
    if (!lookup->directory && succeeded(status, directory) == nullptr)
      return StepRef{StepKind::Directory, directory, copy.place, {}, {}};
    return std::move(copy);
  }
  return std::nullopt;
}

// ---- conditions ----------------------------------------------------------------------------------------------------

void set(crds::Backup& backup, std::string_view type, ConditionStatus status, std::string reason, std::string message,
         Time now) {
  if (!message.empty() && message.back() != '.') message += '.';
  crds::set_condition(backup.status.conditions,
                      {.type = std::string(type),
                       .status = status,
                       .reason = std::move(reason),
                       .message = std::move(message),
                       .last_transition_time = {},
                       .observed_generation = backup.metadata.generation},
                      now);
}

void say(crds::Backup& backup, const std::string& reason, const std::string& message, Time now) {
  set(backup, "Complete", ConditionStatus::False, reason, message, now);
}

void clear_waiting(crds::Backup& backup, Time now) {
  if (crds::is_true(backup.status.conditions, "Blocked"))
    set(backup, "Blocked", ConditionStatus::False, "Going", "It goes on.", now);
}

Millis wait_for(crds::Backup& backup, const std::string& reason, const std::string& message, Millis again, Time now) {
  set(backup, "Blocked", ConditionStatus::True, reason, message, now);
  say(backup, reason, message, now);
  return again;
}

/// Every hook that failed for good, with why; of those alone that count where `counting`.
std::vector<std::string> failed_hooks(const Plan& plan, const crds::BackupStatus& status, bool counting) {
  std::vector<std::string> failed;
  const auto add = [&](const char* when, const std::vector<crds::Hook>& hooks) {
    for (const auto& hook : hooks)
      if (const Step* entry = given_up(status, hook_step(when, hook));
          entry != nullptr && (!counting || ends_the_run(hook)))
        failed.push_back(fmt::format("hook {}: {}", entry->name, entry->message));
  };
  add("before", before_hooks(plan));
  add("after", after_hooks(plan));
  return failed;
}

void tell_hooks(crds::Backup& backup, Time now) {
  const auto plan = plan_of(backup.status);
  const auto failed = plan ? failed_hooks(*plan, backup.status, false) : std::vector<std::string>{};
  if (!failed.empty())
    set(backup, kHooks, ConditionStatus::False, "HookFailed", fmt::format("{}", fmt::join(failed, "; ")), now);
}

std::optional<Millis> take_failure(crds::Backup& backup, const StepRef& ref, const std::string& message, bool for_good,
                                   Time now) {
  auto& status = backup.status;
  Step& entry = begin(status, ref, now);
  close(entry, StepState::Failed, message, now);
  entry.result.clear();
  const int failures = failures_of(status, ref.name);
  const bool last = for_good || failures >= kFailureLimit;
  if (last) entry.result = kFinal;
  status.worker.clear();
  clear_waiting(backup, now);
  if (last && ref.hook) tell_hooks(backup, now);
  say(backup, last ? "StepFailed" : "WaitingToTryAgain",
      last ? fmt::format("{} failed: {}", ref.name, message)
           : fmt::format("{} failed ({} of {}): {}", ref.name, failures, kFailureLimit, message),
      now);
  return last ? std::nullopt : std::optional(kBetweenAttempts);
}

crds::BackupPhase phase_of(const crds::BackupStatus& status) {
  return is_begun(status) ? crds::BackupPhase::Running : crds::BackupPhase::Pending;
}

// ---- the end -------------------------------------------------------------------------------------------------------

struct Losses {
  std::vector<std::string> failed;      ///< "outpack@annex2/copy: why"
  std::vector<std::string> unreadable;  ///< "outpack: a, b and 3 more"
  std::vector<std::string> hooks;       ///< "hook before/save: why", of those that count
  std::vector<std::string> source;      ///< What a repository that is copied lacks, in a sentence each.
  bool fatal_hook = false;

  [[nodiscard]] bool none() const { return failed.empty() && unreadable.empty() && hooks.empty() && source.empty(); }
};

constexpr std::size_t kMostNames = 5;

/// "a, b and 3 more" of so many.
std::string first_of(const std::vector<std::string>& names, std::int64_t count) {
  const auto shown = std::min(names.size(), kMostNames);
  std::string text =
      fmt::format("{}", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), ", "));
  const auto more = count - static_cast<std::int64_t>(shown);
  if (more > 0) text += fmt::format(" and {} more", more);
  return text;
}

std::string named(const crds::BackupSnapshot& snapshot) {
  return fmt::format("volume {}: {}", snapshot.volume, first_of(snapshot.unreadable, snapshot.unreadable_count));
}

/// What a look at a repository that is copied could not find out. Each destination tells the same of a directory.
void add_source_losses(const Plan& plan, const crds::BackupStatus& status, std::vector<std::string>& told) {
  const auto add = [&](std::string sentence) {
    if (std::ranges::find(told, sentence) == told.end()) told.push_back(std::move(sentence));
  };
  for (const auto& place : plan.places) {
    const auto lookup = lookup_of(plan, status, place);
    if (!lookup) continue;
    const std::string directory = mover::repository_directory(place.source_host, place.volume);
    if (lookup->source_gone)
      add(
          fmt::format("host {} has no directory {} in its repository, though there are copies out of it; check that "
                      "the repository's disk is mounted",
                      plan.from(), directory));
    if (!lookup->unreadable.empty())
      add(fmt::format(
          "snapshots whose manifests cannot be read in directory {} of host {} are not copied ({}); put "
          "the files right from another copy, or remove them from the repository by hand",
          directory, plan.from(), first_of(lookup->unreadable, static_cast<std::int64_t>(lookup->unreadable.size()))));
  }
}

Losses losses_of(const Plan& plan, const crds::BackupStatus& status) {
  Losses losses;
  const auto add = [&](const std::string& name) {
    if (const Step* entry = given_up(status, name)) losses.failed.push_back(name + ": " + entry->message);
  };
  for (const auto& place : plan.places) {
    add(look_step(plan, place));
    add(directory_step(plan, place));
  }
  for (const auto& copy : copies_of(plan, status)) add(copy.name);
  for (const auto& snapshot : status.snapshots) {
    // Each destination of a volume tells the same names.
    const std::string line = snapshot.unreadable_count > 0 ? named(snapshot) : std::string();
    if (!line.empty() && std::ranges::find(losses.unreadable, line) == losses.unreadable.end())
      losses.unreadable.push_back(line);
  }
  add_source_losses(plan, status, losses.source);
  losses.fatal_hook = fatal_hook(plan, status) != nullptr;
  losses.hooks = failed_hooks(plan, status, true);
  return losses;
}

void end_with(crds::Backup& backup, crds::BackupPhase phase, const std::string& reason, const std::string& message,
              Time now) {
  backup.status.phase = phase;
  const bool good = phase == crds::BackupPhase::Succeeded;
  set(backup, "Complete", good ? ConditionStatus::True : ConditionStatus::False, reason, message, now);
  if (!good) set(backup, "Failed", ConditionStatus::True, reason, message, now);
}

void end_with_losses(crds::Backup& backup, const Losses& losses, Time now) {
  std::vector<std::string> parts = losses.hooks;
  parts.insert(parts.end(), losses.failed.begin(), losses.failed.end());
  if (!losses.unreadable.empty())
    parts.push_back(
        fmt::format("files that could not be read are not in it ({}); put their permissions or their disk "
                    "right, the next run takes them again",
                    fmt::join(losses.unreadable, "; ")));
  parts.insert(parts.end(), losses.source.begin(), losses.source.end());
  const std::string why = fmt::format("{}", fmt::join(parts, "; "));
  if (losses.fatal_hook)
    return end_with(backup, crds::BackupPhase::Failed, "HookFailed", "Nothing was copied: " + why, now);
  if (backup.status.snapshots.empty() && losses.failed.empty() && !losses.source.empty())
    return end_with(backup, crds::BackupPhase::Failed, "SourceUnreadable", "Nothing was copied: " + why, now);
  if (backup.status.snapshots.empty())
    return end_with(backup, crds::BackupPhase::Failed, "AttemptsExhausted", "Nothing was backed up: " + why, now);
  end_with(backup, crds::BackupPhase::PartiallyFailed, "PartiallyFailed",
           "Not everything was backed up: " + why + "; what is in status.snapshots can be restored", now);
}

void close_progress(crds::BackupStatus& status, bool whole) {
  if (!status.progress) return;
  status.progress->phase = "done";
  status.progress->eta_seconds.reset();
  status.progress->bytes_per_second.reset();
  if (!whole) return;
  // What was done is known exactly now; the total was a guess while volumes were still to come.
  status.progress->bytes_total = status.progress->bytes_done;
  status.progress->files_total = status.progress->files_done;
  status.progress->percent = 100;
}

// ---- progress ------------------------------------------------------------------------------------------------------

std::int64_t signed_of(std::uint64_t value) { return static_cast<std::int64_t>(value); }

std::optional<std::int64_t> number_in(const std::string& result, const char* field) {
  const Json json = Json::parse(result, nullptr, false);
  const auto found = json.is_object() ? json.find(field) : json.end();
  if (!json.is_object() || found == json.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<std::int64_t>();
}

struct Sums {
  std::int64_t done = 0, total = 0;
  bool whole = true;  ///< Every total is known.
  void add(std::int64_t done_now, std::optional<std::int64_t> total_now) {
    done += done_now;
    total += total_now.value_or(done_now);
    whole = whole && total_now.has_value();
  }
  [[nodiscard]] std::optional<std::int64_t> known_total() const {
    return whole && total > 0 ? std::optional(total) : std::nullopt;
  }
};

/// The snapshot of the same volume at another place, which was measured.
const crds::BackupSnapshot* measured_elsewhere(const crds::BackupStatus& status, const Place& place) {
  for (const auto& snapshot : status.snapshots)
    if (snapshot.volume == place.volume && snapshot.source_host == place.source_host) return &snapshot;
  return nullptr;
}

/// What stands in a copy's result; read for progress alone.
constexpr const char* kBytes = "bytes";
constexpr const char* kFiles = "files";

std::optional<std::int64_t> no_less(std::optional<std::int64_t> before, std::optional<std::int64_t> now) {
  return before && now ? std::optional(std::max(*before, *now)) : (now ? now : before);
}

}  // namespace

// ---- what is kept in a step's result -------------------------------------------------------------------------------

std::string Plan::name_of(const Place& place) const {
  return copies_repository() ? fmt::format("{}/{}@{}", place.source_host, place.volume, place.host)
                             : fmt::format("{}@{}", place.volume, place.host);
}

std::string to_text(const Plan& plan) {
  crds::Backup carrier;
  carrier.metadata.name = "plan";
  carrier.spec.source = plan.source;
  carrier.spec.destinations = plan.destinations;
  carrier.spec.transfer = plan.transfer;
  Json json{{"spec", crds::to_json(carrier).at("spec")},
            {"suspiciousShrinkPercent", plan.suspicious_shrink_percent},
            {"places", Json::array()}};
  for (const auto& place : plan.places)
    json["places"].push_back({{"sourceHost", place.source_host},
                              {"volume", place.volume},
                              {"host", place.host},
                              {"exclude", place.exclude},
                              {"policies", place.policies}});
  return json.dump();
}

Result<Plan> parse_plan(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    auto carrier = crds::from_json<crds::Backup>({{"apiVersion", crds::kApiVersion},
                                                  {"kind", crds::Kind<crds::Backup>::kind},
                                                  {"metadata", {{"name", "plan"}}},
                                                  {"spec", json.at("spec")}});
    if (!carrier) return tl::unexpected(carrier.error());
    Plan plan;
    if (!carrier->spec.source || !carrier->spec.source->host_ref)
      return fail(ErrorKind::Invalid, "the plan in status.steps names no source");
    plan.source = std::move(*carrier->spec.source);
    plan.destinations = std::move(carrier->spec.destinations);
    plan.transfer = carrier->spec.transfer;
    plan.suspicious_shrink_percent = json.at("suspiciousShrinkPercent").get<std::int64_t>();
    for (const auto& place : json.at("places"))
      plan.places.push_back({place.at("sourceHost").get<std::string>(), place.at("volume").get<std::string>(),
                             place.at("host").get<std::string>(), place.at("exclude").get<std::vector<std::string>>(),
                             place.at("policies").get<std::vector<std::string>>()});
    return plan;
  } catch (const Json::exception& wrong) {
    return fail(ErrorKind::Invalid, "the plan in status.steps cannot be read: {}", wrong.what());
  }
}

std::string to_text(const Lookup& lookup) {
  Json json{{"directory", lookup.directory}, {"missing", Json::array()}, {"leftOut", lookup.left_out}};
  if (!lookup.unreadable.empty()) json["unreadable"] = lookup.unreadable;
  if (lookup.source_gone) json["sourceGone"] = true;
  for (const auto& one : lookup.missing) {
    Json entry{{"id", one.id}};
    if (!one.origin.empty()) entry["origin"] = one.origin;
    if (one.bytes) entry["bytes"] = *one.bytes;
    json["missing"].push_back(std::move(entry));
  }
  return json.dump();
}

Result<Lookup> parse_lookup(const std::string& text) {
  try {
    const Json json = Json::parse(text);
    Lookup lookup;
    lookup.directory = json.at("directory").get<bool>();
    lookup.left_out = json.value("leftOut", std::int64_t{0});
    lookup.unreadable = json.value("unreadable", std::vector<std::string>{});
    lookup.source_gone = json.value("sourceGone", false);
    for (const auto& one : json.at("missing")) {
      Missing missing{one.at("id").get<std::string>(), one.value("origin", ""), {}};
      if (one.contains("bytes")) missing.bytes = one.at("bytes").get<std::int64_t>();
      lookup.missing.push_back(std::move(missing));
    }
    return lookup;
  } catch (const Json::exception& wrong) {
    return fail(ErrorKind::Invalid, "what was looked up cannot be read: {}", wrong.what());
  }
}

// ---- what is next --------------------------------------------------------------------------------------------------

std::optional<Plan> plan_of(const crds::BackupStatus& status) {
  const Step* planned = succeeded(status, std::string(step::kPlan));
  if (planned == nullptr) return std::nullopt;
  auto plan = parse_plan(planned->result);
  return plan ? std::optional(std::move(*plan)) : std::nullopt;
}

bool is_begun(const crds::BackupStatus& status) { return succeeded(status, std::string(step::kPlan)) != nullptr; }

std::optional<StepRef> current_step(const crds::Backup& backup) {
  const auto& status = backup.status;
  const auto plan = plan_of(status);
  const bool unwanted = backup.metadata.deletion_timestamp.has_value();
  if (!plan) {
    if (unwanted || given_up(status, std::string(step::kPlan)) != nullptr) return std::nullopt;
    return StepRef{StepKind::Plan, std::string(step::kPlan), {}, {}, {}};
  }
  if (!unwanted && fatal_hook(*plan, status) == nullptr) {
    if (auto look = next_look(*plan, status)) return look;
    if (next_copy(*plan, status))
      if (auto hook = next_hook("before", StepKind::Before, before_hooks(*plan), status)) return hook;
    if (auto copy = next_copy(*plan, status)) return copy;
  }
  if (has_begun_to_work(*plan, status)) return next_hook("after", StepKind::After, after_hooks(*plan), status);
  return std::nullopt;
}

std::optional<Millis> pause_left(const crds::BackupStatus& status, const StepRef& ref, Time now) {
  const auto last =
      std::find_if(status.steps.rbegin(), status.steps.rend(), [&](const Step& step) { return step.name == ref.name; });
  if (last == status.steps.rend() || last->state != StepState::Failed || !last->finished_at) return std::nullopt;
  const Millis since = now - *last->finished_at;
  // An end that lies further ahead than the clocks of two hosts differ: ours was set back.
  if (since >= kBetweenAttempts || since <= -kBetweenAttempts) return std::nullopt;
  return kBetweenAttempts - since;
}

Step& begin(crds::BackupStatus& status, const StepRef& ref, Time now) {
  std::int64_t attempt = 0;
  for (auto& entry : status.steps) {
    if (entry.name != ref.name) continue;
    if (entry.state == StepState::Running) return entry;
    attempt = std::max(attempt, entry.attempt);
  }
  status.steps.push_back({.name = ref.name, .attempt = attempt + 1, .started_at = now});
  return status.steps.back();
}

std::optional<Millis> take(crds::Backup& backup, const StepRef& ref, const Outcome& outcome, Time now) {
  auto& status = backup.status;
  status.observed_generation = backup.metadata.generation;
  const auto wait = std::visit(
      Overloaded{[&](const Done& done) -> std::optional<Millis> {
                   Step& entry = begin(status, ref, now);
                   entry.result = done.result;
                   close(entry, StepState::Succeeded, done.message, now);
                   status.worker.clear();
                   if (!status.started_at) status.started_at = now;
                   if (ref.kind == StepKind::Copy) status.progress = progress_after(status, ref, {});
                   clear_waiting(backup, now);
                   say(backup, "Running", done.message.empty() ? ref.name + " is done." : done.message, now);
                   return std::nullopt;
                 },
                 [&](const Working& working) -> std::optional<Millis> {
                   Step& entry = begin(status, ref, now);
                   entry.message = working.message;
                   status.worker = entry.worker;
                   clear_waiting(backup, now);
                   if (working.progress) status.progress = working.progress;
                   say(backup, "Running", working.message, now);
                   return working.again == Millis{0} ? std::nullopt : std::optional(working.again);
                 },
                 [&](const Blocked& blocked) -> std::optional<Millis> {
                   begin(status, ref, now).message = blocked.message;
                   return wait_for(backup, blocked.reason, blocked.message, blocked.again, now);
                 },
                 [&](const Retry& retry) -> std::optional<Millis> {
                   return take_failure(backup, ref, sentence(retry.message, retry.next), false, now);
                 },
                 [&](const Unreachable& lost) -> std::optional<Millis> {
                   (void)begin(status, ref, now);
                   return wait_for(backup, "HostUnreachable",
                                   fmt::format("Docker Engine of host {} is not reached: {}; it goes on by itself when "
                                               "the host is back (`roadstead describe host {}`)",
                                               lost.host, lost.message, lost.host),
                                   kHostRetry, now);
                 },
                 [&](const Failed& failed) -> std::optional<Millis> {
                   return take_failure(backup, ref, sentence(failed.message, failed.next), true, now);
                 }},
      outcome);
  status.phase = phase_of(status);
  crds::refresh_summary(status);
  return wait;
}

// ---- the end -------------------------------------------------------------------------------------------------------

void finish(crds::Backup& backup, Time now) {
  auto& status = backup.status;
  clear_waiting(backup, now);
  status.finished_at = now;
  status.worker.clear();
  const auto plan = plan_of(status);
  if (!plan) {
    const Step* why = given_up(status, std::string(step::kPlan));
    end_with(backup, crds::BackupPhase::Failed, "AttemptsExhausted",
             "Nothing was backed up: " + (why != nullptr ? why->message : "there is no plan"), now);
    crds::refresh_summary(status);
    return;
  }
  for (const auto& snapshot : status.snapshots)
    if (snapshot.data_as_of)
      status.data_as_of = std::min(*snapshot.data_as_of, status.data_as_of.value_or(*snapshot.data_as_of));
  const Losses losses = losses_of(*plan, status);
  close_progress(status, losses.failed.empty() && !losses.fatal_hook);
  if (!losses.none()) {
    end_with_losses(backup, losses, now);
  } else if (const auto left_out = left_out_of(*plan, status); left_out > 0) {
    end_with(backup, crds::BackupPhase::Succeeded, "BackedUp",
             fmt::format("{} snapshots are in the repositories; {} more are left for the next run",
                         status.snapshots.size(), left_out),
             now);
  } else if (status.snapshots.empty()) {
    end_with(backup, crds::BackupPhase::Succeeded, "NothingToCopy", "The destinations have every snapshot already",
             now);
  } else {
    end_with(backup, crds::BackupPhase::Succeeded, "BackedUp",
             fmt::format("{} {} in the repositories", status.snapshots.size(),
                         status.snapshots.size() == 1 ? "snapshot is" : "snapshots are"),
             now);
  }
  crds::refresh_summary(status);
}

void take_snapshot(crds::BackupStatus& status, const Place& place, const mover::SnapshotSeen& seen) {
  crds::BackupSnapshot one = snapshot_status(seen, place.host, place.source_host, place.volume);
  const auto same = std::ranges::find_if(status.snapshots, [&](const crds::BackupSnapshot& known) {
    return known.volume == one.volume && known.source_host == one.source_host && known.host == one.host &&
           known.id == one.id;
  });
  if (same == status.snapshots.end())
    status.snapshots.push_back(std::move(one));
  else
    *same = std::move(one);
}

std::string shrink_of(const mover::SnapshotSeen& seen, const mover::SnapshotSeen& before, std::int64_t percent) {
  const auto shrank = [&](std::uint64_t now, std::uint64_t then) {
    return static_cast<double>(now) < static_cast<double>(then) * (1.0 - static_cast<double>(percent) / 100.0);
  };
  if (!shrank(seen.logical_bytes, before.logical_bytes) && !shrank(seen.files, before.files)) return {};
  return fmt::format("{} in {} files, the snapshot before it has {} in {} files: that is more than {} % less",
                     human_bytes(seen.logical_bytes), seen.files, human_bytes(before.logical_bytes), before.files,
                     percent);
}

std::string copy_result(const mover::CopyData& data) {
  return Json{{kBytes, data.bytes_total}, {kFiles, data.files_total}, {"sent", data.bytes_sent}}.dump();
}

crds::Progress progress_after(const crds::BackupStatus& status, const StepRef& now, const mover::Progress& current) {
  Sums bytes, files;
  const auto known = [](const std::optional<std::uint64_t>& value) {
    return value ? std::optional(signed_of(*value)) : std::nullopt;
  };
  const auto plan = plan_of(status);
  for (const auto& copy : plan ? copies_of(*plan, status) : std::vector<StepRef>{}) {
    if (const Step* done = succeeded(status, copy.name)) {
      for (const auto& [sums, field] : {std::pair(&bytes, kBytes), std::pair(&files, kFiles)}) {
        const auto value = number_in(done->result, field).value_or(0);
        sums->add(value, value);
      }
    } else if (copy.name == now.name) {
      const auto total = known(current.bytes_total);
      bytes.add(signed_of(current.bytes_done), total ? total : copy.missing->bytes);
      files.add(signed_of(current.files_done), known(current.files_total));
    } else if (given_up(status, copy.name) == nullptr) {
      const auto* elsewhere = measured_elsewhere(status, *copy.place);
      bytes.add(0, elsewhere != nullptr ? std::optional(elsewhere->data_bytes) : copy.missing->bytes);
      files.add(0, elsewhere != nullptr ? std::optional(elsewhere->files) : std::nullopt);
    }
  }
  const crds::Progress before = status.progress.value_or(crds::Progress{});
  crds::Progress progress;
  progress.phase = current.phase.empty() ? before.phase : std::optional(current.phase);
  progress.bytes_done = no_less(before.bytes_done, bytes.done);
  progress.files_done = no_less(before.files_done, files.done);
  progress.bytes_total = no_less(before.bytes_total, bytes.known_total());
  progress.files_total = no_less(before.files_total, files.known_total());
  if (progress.bytes_total) progress.bytes_total = std::max(*progress.bytes_total, *progress.bytes_done);
  if (progress.files_total) progress.files_total = std::max(*progress.files_total, *progress.files_done);
  progress.percent = before.percent;
  if (current.bytes_per_second) progress.bytes_per_second = signed_of(*current.bytes_per_second);
  if (!bytes.known_total()) return progress;
  constexpr std::int64_t kNotYet = 99;
  progress.percent =
      std::max(before.percent.value_or(0), std::min(kNotYet, *progress.bytes_done * 100 / *progress.bytes_total));
  if (progress.bytes_per_second.value_or(0) > 0)
    progress.eta_seconds = (*progress.bytes_total - *progress.bytes_done) / *progress.bytes_per_second;
  return progress;
}

}  // namespace roadstead::reconcilers::backup
