#include "reconcilers/restore_request/plan.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "operator/base/hash.h"
#include "operator/base/quantity.h"

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

/// An exchange whose mover was about to be made, or more. One that only waited has touched nothing.
bool may_have_exchanged(const crds::Step& entry) {
  if (step_part(entry.name) != step::kExchange) return false;
  const Json memory = Json::parse(entry.result, nullptr, false);
  return entry.state == StepState::Succeeded || (memory.is_object() && memory.contains(kExchanging));
}

std::vector<StepRef> forward_path(const crds::RestoreRequest& request) {
  std::vector<StepRef> path;
  for (const auto& item : request.spec.items) path.push_back({item.name, step::kProbe});
  if (request.spec.dry_run) return path;
  for (const auto& item : request.spec.items) path.push_back({item.name, step::kPin});
  for (const auto& item : request.spec.items)
    for (const auto one : {step::kMark, step::kPrepare, step::kReplay, step::kCopy, step::kFinish})
      path.push_back({item.name, one});
  path.push_back({{}, step::kStop});
  for (const auto& item : request.spec.items) path.push_back({item.name, step::kExchange});
  path.push_back({{}, step::kStart});
  if (!request.spec.checks.empty()) path.push_back({{}, step::kCheck});
  path.push_back({{}, step::kReceipt});
  return path;
}

/// All volumes new, or all old: never a mixture. What was stopped runs again unless `start` was gone through already.
std::vector<StepRef> way_out(const crds::RestoreRequest& request) {
  std::vector<StepRef> path;
  const bool whole = all_exchanged(request);
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

/// What Complete says on the way; an end that is decided is not talked over.
void say(crds::RestoreRequest& request, const std::string& message, Time now) {
  if (is_ending(request.status)) return;
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
  return sha256_hex(crds::to_json(lasting).at("spec").dump()).substr(0, 16);
}

bool all_exchanged(const crds::RestoreRequest& request) {
  return std::ranges::all_of(request.spec.items, [&](const crds::RestoreItem& item) {
    return succeeded(request.status, name_of({item.name, step::kExchange})) != nullptr;
  });
}

std::vector<StepRef> path_of(const crds::RestoreRequest& request) {
  return is_ending(request.status) ? way_out(request) : forward_path(request);
}

std::optional<StepRef> current_step(const crds::RestoreRequest& request) {
  for (const StepRef& ref : path_of(request))
    if (succeeded(request.status, name_of(ref)) == nullptr) return ref;
  return std::nullopt;
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

bool touched(const crds::RestoreRequestStatus& status) {
  return std::ranges::any_of(status.steps,
                             [](const crds::Step& entry) { return step_part(entry.name) == step::kMark; });
}

bool past_cancelling(const crds::RestoreRequestStatus& status) {
  return std::ranges::any_of(status.steps, [](const crds::Step& entry) { return may_have_exchanged(entry); });
}

bool is_ending(const crds::RestoreRequestStatus& status) { return status.receipt && !status.receipt->finished_at; }

crds::RestorePhase phase_of(const crds::RestoreRequest& request) {
  using crds::RestorePhase;
  const auto& conditions = request.status.conditions;
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
  if (now == step::kCopy || now == step::kFinish) return RestorePhase::Copying;
  if (now == step::kStop) return RestorePhase::Stopping;
  if (now == step::kExchange || now == step::kPutBack) return RestorePhase::Swapping;
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

std::optional<Millis> take_retry(crds::RestoreRequest& request, const StepRef& ref, const Retry& retry, Time now) {
  auto& status = request.status;
  const std::string name = name_of(ref);
  const std::string message = sentence(retry.message, retry.next);
  crds::Step& entry = begin(status, ref, now);
  // The way out and the receipt have nothing to fall back to, and before anything is touched a refusal is no end: all
  // three are tried until they succeed.
  if (is_ending(status) || ref.step == step::kReceipt || !touched(status)) {
    entry.attempt += 1;
    entry.worker.clear();
    entry.message = message;
    set(request, "Blocked", ConditionStatus::True, retry.reason, message, now);
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
      Overloaded{[&](const Done& done) -> std::optional<Millis> {
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
                       fmt::format(
                           "Docker Engine of host {} is not reached: {}; it goes on by itself when the host is back "
                           "(`roadstead describe host {}`)",
                           lost.host, lost.message, lost.host),
                       now);
                   return kHostRetry;
                 },
                 [&](const Failed& failed) -> std::optional<Millis> {
                   const std::string message = sentence(failed.message, failed.next);
                   begin(status, ref, now);
                   decide_end(status, "Failed", failed.reason, message, request.metadata.generation, now);
                   return std::nullopt;
                 }},
      outcome);
}

void finish(crds::RestoreRequest& request, Time now) {
  auto& status = request.status;
  const auto* told = crds::find_condition(status.conditions, "Complete");
  const std::string reason = told ? told->reason : std::string(), message = told ? told->message : std::string();
  clear_waiting(request, now);
  status.finished_at = now;
  if (is_ending(status)) {
    status.receipt->finished_at = now;
    set(request, "Failed", ConditionStatus::True, reason, message, now);
  } else if (request.spec.dry_run) {
    set(request, "Complete", ConditionStatus::True, "Planned",
        "The plan is in status.plan; nothing stands against it and nothing was touched.", now);
    set(request, "Failed", ConditionStatus::False, "Planned", "It did not fail.", now);
  } else {
    status.receipt = crds::Receipt{"Succeeded", now, now};
    set(request, "Complete", ConditionStatus::True, "Restored", "Everything is restored, started and checked.", now);
    set(request, "Failed", ConditionStatus::False, "Restored", "It did not fail.", now);
  }
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

Serving serving_side(const crds::Host& source, const crds::Host& target) {
  if (source.metadata.name == target.metadata.name) return Serving::Local;
  if (source.spec.data && source.spec.data->ports) return Serving::Source;
  if (target.spec.data && target.spec.data->ports) return Serving::Target;
  return Serving::Nobody;
}

Claims claims_of(const crds::RestoreRequest& request) {
  Claims claims{request.spec.target.host_ref.name, {}, {}};
  for (const auto& item : request.spec.items) {
    claims.volumes.push_back(item.to.volume);
    if (item.from.barman)
      claims.barman_servers.push_back(request.metadata.ns + "/" + item.from.barman->server_ref.name);
  }
  return claims;
}

namespace {

bool share(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return std::ranges::any_of(a, [&](const std::string& one) { return std::ranges::find(b, one) != b.end(); });
}

/// The recover volume is free again after the last copy; the target's volumes only at the end.
bool still_needs_recover_volume(const crds::RestoreRequest& request) {
  return !std::ranges::all_of(request.spec.items, [&](const auto& item) {
    return succeeded(request.status, name_of({item.name, step::kCopy})) != nullptr;
  });
}

bool collide(const crds::RestoreRequest& request, const crds::RestoreRequest& other) {
  const Claims mine = claims_of(request), theirs = claims_of(other);
  if (mine.target_host == theirs.target_host && share(mine.volumes, theirs.volumes)) return true;
  return still_needs_recover_volume(other) && share(mine.barman_servers, theirs.barman_servers);
}

bool created_before(const crds::RestoreRequest& a, const crds::RestoreRequest& b) {
  const auto key = [](const crds::RestoreRequest& r) {
    return std::tuple(r.metadata.creation_timestamp.value_or(Time{}), r.metadata.ns, r.metadata.name);
  };
  return key(a) < key(b);
}

bool same_object(const crds::RestoreRequest& a, const crds::RestoreRequest& b) {
  return a.metadata.ns == b.metadata.ns && a.metadata.name == b.metadata.name;
}

}  // namespace

const crds::RestoreRequest* first_before(const crds::RestoreRequest& request,
                                         const std::vector<crds::RestoreRequest>& all) {
  for (const auto& other : all) {
    if (same_object(other, request) || crds::is_finished(other.status) || other.spec.dry_run ||
        !collide(request, other))
      continue;
    // Of two that have begun, as after a lost store, the older one goes on: never do both wait.
    const bool theirs = touched(other.status), mine = touched(request.status);
    if (theirs != mine ? theirs : created_before(other, request)) return &other;
  }
  return nullptr;
}

namespace {

/// True if `holds` is true of a pin to this backup of another request that is not finished.
template <class Holds>
bool any_other_pin(const crds::RestoreRequest& request, const std::vector<crds::RestoreRequest>& all,
                   const std::string& server, const std::string& backup_root, Holds holds) {
  return std::ranges::any_of(all, [&](const crds::RestoreRequest& other) {
    if (same_object(other, request) || crds::is_finished(other.status) || other.metadata.ns != request.metadata.ns)
      return false;
    return std::ranges::any_of(other.status.pinned, [&](const crds::PinnedSource& pinned) {
      const auto item = std::ranges::find(other.spec.items, pinned.item, &crds::RestoreItem::name);
      return item != other.spec.items.end() && item->from.barman && item->from.barman->server_ref.name == server &&
             pinned.backup_root_id == backup_root && holds(pinned);
    });
  });
}

}  // namespace

bool needed_by_another(const crds::RestoreRequest& request, const std::vector<crds::RestoreRequest>& all,
                       const std::string& server, const std::string& backup_root) {
  return any_other_pin(request, all, server, backup_root, [](const crds::PinnedSource&) { return true; });
}

bool kept_by_another(const crds::RestoreRequest& request, const std::vector<crds::RestoreRequest>& all,
                     const std::string& server, const std::string& backup_root) {
  return any_other_pin(request, all, server, backup_root,
                       [](const crds::PinnedSource& pinned) { return pinned.keep_set; });
}

ChosenBackup choose_backup(const crds::RestorePoint& point, const std::string& server,
                           const std::vector<crds::CatalogBackup>& catalogue) {
  if (point.backup_id) {
    const auto found = std::ranges::find(catalogue, *point.backup_id, &crds::CatalogBackup::id);
    if (found == catalogue.end())
      return {{},
              fmt::format("BarmanServer {} has no backup {}; choose one of status.backups (`roadstead get barmanserver "
                          "{} -o yaml`)",
                          server, *point.backup_id, server)};
    if (found->status != "DONE")
      return {
          {},
          fmt::format("backup {} of BarmanServer {} is {}; choose one that is DONE", found->id, server, found->status)};
    if (found->type == "incremental")
      return {{}, fmt::format("backup {} of BarmanServer {} is incremental; choose a full one", found->id, server)};
    return {*found, {}};
  }
  const crds::CatalogBackup* newest = nullptr;
  for (const auto& one : catalogue)
    if (one.status == "DONE" && one.type != "incremental" && (newest == nullptr || one.id > newest->id)) newest = &one;
  if (newest == nullptr)
    return {{},
            fmt::format("BarmanServer {} has no good full backup yet; make one with a Backup, or wait for its policy",
                        server)};
  return {*newest, {}};
}

std::uint64_t segment_bytes_of(const crds::CatalogBackup& backup) {
  const auto lsn = parse_lsn(backup.begin_lsn);
  constexpr std::uint64_t kSmallest = 1 << 20, kLargest = 1 << 30;
  for (std::uint64_t bytes = kSmallest; lsn && bytes <= kLargest; bytes *= 2)
    if (const auto segment = parse_segment(backup.begin_wal, bytes); segment && segment->number == *lsn / bytes)
      return bytes;
  return kDefaultWalSegmentBytes;
}

std::string end_of_timeline(const std::string& segment) { return segment.substr(0, 8) + "FFFFFFFF00000000"; }

std::string newest_of(const WalListing& listing, const std::string& otherwise) {
  std::string newest = otherwise;
  for (const auto& segment : listing.segments)
    if (segment.substr(8) > newest.substr(8)) newest = segment;
  return newest;
}

std::int64_t space_for(std::int64_t database_bytes) {
  constexpr std::int64_t kTwoSegments = 32 << 20;
  return database_bytes + database_bytes / 20 + kTwoSegments;
}

namespace {

bool is_confirmed(const crds::RestoreRequest& request) {
  const auto& confirm = request.spec.confirm;
  return confirm && confirm->host == request.spec.target.host_ref.name &&
         std::ranges::all_of(request.spec.items, [&](const auto& item) {
           return std::ranges::find(confirm->volumes, item.to.volume) != confirm->volumes.end();
         });
}

std::string confirmation_wanted(const crds::RestoreRequest& request) {
  std::vector<std::string> volumes;
  for (const auto& item : request.spec.items) volumes.push_back(item.to.volume);
  return fmt::format("confirm: {{host: {}, volumes: [{}]}}", request.spec.target.host_ref.name,
                     fmt::join(volumes, ", "));
}

void refuse_unfit_volume(const ProbeSeen& seen, std::vector<Refusal>& refusals) {
  const auto& volume = seen.volume;
  if (!seen.volume_exists) return;
  if (seen.volume_driver != "local" || seen.volume_has_options)
    refusals.push_back({"VolumeUnsupported", fmt::format("volume {} on {} has driver {}{}; only local volumes without "
                                                         "options can be exchanged; restore into another volume",
                                                         volume, seen.target.metadata.name, seen.volume_driver,
                                                         seen.volume_has_options ? " with options" : "")});
  else if (seen.data_is_mount_point || !seen.data_on_parent_device)
    refusals.push_back({"VolumeUnsupported", fmt::format("the data directory of volume {} on {} is a mount point of "
                                                         "its own and cannot be exchanged; restore into another volume",
                                                         volume, seen.target.metadata.name)});
}

void refuse_path(const ProbeSeen& seen, std::vector<Refusal>& refusals) {
  if (serving_side(seen.source, seen.target) == Serving::Nobody)
    refusals.push_back({"NoDataPath", fmt::format("neither host {} nor host {} has spec.data.ports; set it (e.g. "
                                                  "ports: \"10022-10031\") on the one that the other can reach",
                                                  seen.source.metadata.name, seen.target.metadata.name)});
}

void refuse_applications(const std::vector<Application>& stops, const std::string& host,
                         std::vector<Refusal>& refusals) {
  for (const auto& application : stops)
    if (application.auto_remove)
      refusals.push_back({"AutoRemove", fmt::format("container {} on {} was started with --rm: it would vanish when "
                                                    "stopped; stop it or start it without --rm",
                                                    application.name, host)});
}

void plan_steps(const crds::RestoreItem& item, const ProbeSeen& seen, const std::vector<Application>& stops,
                crds::RestorePlan& plan) {
  const std::string source = seen.source.metadata.name, target = seen.target.metadata.name;
  const auto add = [&](const std::string& name, const std::string& host, std::string text) {
    plan.steps.push_back({name, host, std::move(text)});
  };
  const auto of_item = [&](std::string_view step) { return name_of({item.name, step}); };
  const bool latest = item.from.barman && item.from.barman->point.latest;
  add(of_item(step::kPin), source,
      latest ? fmt::format("make a restore point now; base backup {}", seen.backup_id)
             : fmt::format("the end of base backup {}", seen.backup_id));
  add(of_item(step::kMark), target, fmt::format("write down beside volume {} what is going on", seen.volume));
  add(of_item(step::kPrepare), source, fmt::format("restore base backup {} into the recover volume", seen.backup_id));
  add(of_item(step::kReplay), source, "replay WAL up to the point, then shut down");
  add(of_item(step::kCopy), target, fmt::format("copy beside volume {} while its applications run", seen.volume));
  add(of_item(step::kFinish), target, "write the settings it recovers with");
  std::vector<std::string> names;
  for (const auto& one : stops) names.push_back(one.name);
  add(std::string(step::kStop), target,
      names.empty() ? "nothing runs that has to be stopped" : fmt::format("stop {}", fmt::join(names, ", ")));
  add(of_item(step::kExchange), target, fmt::format("exchange the data of volume {} in one step", seen.volume));
  add(std::string(step::kStart), target, "start what ran");
}

}  // namespace

Judged judge(const crds::RestoreRequest& request, const crds::RestoreItem& item, const ProbeSeen& seen) {
  Judged judged;
  auto& [plan, refusals] = judged;
  const auto stops = to_stop(request, seen.applications);
  if (seen.target.spec.is_protected && !is_confirmed(request))
    refusals.push_back({"ConfirmationRequired", fmt::format("host {} is protected; to overwrite it add to spec: `{}`",
                                                            seen.target.metadata.name, confirmation_wanted(request))});
  if (seen.backup_id.empty()) refusals.push_back({"NoBackup", seen.backup_problem});
  if (!seen.wal_gaps.empty()) {
    refusals.push_back({"WalGap", fmt::format("WAL is missing between base backup {} and the point: {}; {}",
                                              seen.backup_id, fmt::join(seen.wal_gaps, ", "), seen.wal_advice)});
  }
  refuse_path(seen, refusals);
  refuse_unfit_volume(seen, refusals);
  refuse_applications(stops, seen.target.metadata.name, refusals);
  for (const auto& mark : seen.other_marks) refusals.push_back({"UnfinishedRestore", mark});
  if (!seen.backup_id.empty() && seen.free_bytes < seen.needed_bytes)
    refusals.push_back(
        {"NoRoom",
         fmt::format("a staged copy of {} needs {} on host {}, {} are free ({} and {} bytes); make room: it is looked "
                     "at again every 30 s",
                     item.name, human_bytes(static_cast<std::uint64_t>(seen.needed_bytes)), seen.target.metadata.name,
                     human_bytes(static_cast<std::uint64_t>(seen.free_bytes)), seen.needed_bytes, seen.free_bytes)});

  plan_steps(item, seen, stops, plan);
  plan.bytes_to_move = seen.needed_bytes;
  plan.space_needed_bytes = seen.needed_bytes;
  plan.space_free_bytes = seen.free_bytes;
  for (const auto& application : stops) plan.stops.push_back(application.name);
  plan.strategy = crds::RestoreStrategy::Staged;
  plan.strategy_reason = fmt::format(
      "there is room for a second copy beside volume {}: applications stop only for the exchange", seen.volume);
  plan.wal_gaps = seen.wal_gaps;
  if (!seen.volume_exists)
    plan.warnings.push_back(
        fmt::format("volume {} does not exist on {}; it will be created", seen.volume, seen.target.metadata.name));
  for (const auto& refusal : refusals) plan.refusals.push_back(refusal.reason + ": " + refusal.message);
  return judged;
}

std::vector<Application> to_stop(const crds::RestoreRequest& request, const std::vector<Application>& all) {
  const auto& stop = request.spec.applications.stop;
  const auto listed = [&](const Application& one) {
    if (std::ranges::find(stop.containers, one.name) != stop.containers.end()) return true;
    return one.compose && std::ranges::find(stop.compose_projects, one.compose->project) != stop.compose_projects.end();
  };
  std::vector<Application> out;
  for (const auto& one : all)
    if (one.runs && (one.mounts_target || listed(one))) out.push_back(one);
  std::ranges::stable_sort(out, [](const Application& a, const Application& b) {
    return std::pair(a.mounts_target, a.name) < std::pair(b.mounts_target, b.name);
  });
  return out;
}

bool extend_ledger(std::vector<crds::LedgerEntry>& ledger, const std::vector<Application>& applications) {
  bool grown = false;
  for (const auto& one : applications) {
    if (std::ranges::any_of(ledger, [&](const auto& entry) { return is_same(entry, one); })) continue;
    crds::LedgerEntry entry;
    entry.compose = one.compose;
    entry.name = one.name;
    entry.id = one.id;
    entry.restart_policy = one.restart_policy;
    entry.order = static_cast<std::int64_t>(ledger.size());
    entry.was_paused = one.paused;
    ledger.push_back(std::move(entry));
    grown = true;
  }
  return grown;
}

bool is_same(const crds::LedgerEntry& entry, const Application& application) {
  if (entry.compose && application.compose)
    return entry.compose->project == application.compose->project &&
           entry.compose->service == application.compose->service &&
           entry.compose->number == application.compose->number;
  return entry.name == application.name;
}

RestartPolicy parse_restart_policy(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) return {text.empty() ? "no" : text, 0};
  RestartPolicy policy{text.substr(0, colon), 0};
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), policy.maximum);
  return policy;
}

}  // namespace roadstead::reconcilers::restore
