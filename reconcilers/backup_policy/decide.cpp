#include "reconcilers/backup_policy/decide.h"

#include <algorithm>

#include "operator/base/hash.h"
#include "operator/base/quantity.h"
#include "operator/base/rfc3339.h"
#include "reconcilers/support/backup_names.h"
#include "reconcilers/support/commands.h"

namespace roadstead::reconcilers::backup_policy {
namespace {

using Truth = crds::ConditionStatus;

// An operator that was away for years with a schedule of every minute: beyond this the count is "at least".
constexpr std::int64_t kMostCounted = 100'000;

struct RunTime {
  Time scheduled{};
  Time begins{};  ///< Not before `scheduled`, and before the next scheduled time.
};

/// The runs of a policy in their order.
class RunTimes {
 public:
  RunTimes(const crds::BackupPolicy& policy, const ReadSchedule& schedule)
      : key_(fmt::format("{}/{}/", policy.metadata.ns, policy.metadata.name)),
        jitter_(std::chrono::seconds(std::max<std::int64_t>(policy.spec.schedule.jitter_seconds, 0))),
        schedule_(schedule) {}

  /// Calls `take` for each run that is scheduled after `scheduled` and begins after `begun`, until it says false.
  template <class Take>
  void each(Time scheduled, Time begun, const Take& take) const {
    auto time = next(std::max(scheduled, begun - jitter_ - Millis{1}));
    while (time) {
      const auto following = next(*time);
      const RunTime run{*time, *time + delay(*time, following)};
      if (run.begins > begun && !take(run)) return;
      time = following;
    }
  }

 private:
  std::optional<Time> next(Time after) const { return schedule_.cron.next_after(after, *schedule_.zone); }

  /// Out of facts, so that it is the same whoever asks and whenever.
  Millis delay(Time scheduled, std::optional<Time> following) const {
    constexpr std::chrono::seconds kBeforeTheNext{1};
    auto most = jitter_;
    if (following)
      most = std::min(most, std::chrono::duration_cast<std::chrono::seconds>(*following - scheduled) - kBeforeTheNext);
    if (most <= most.zero()) return Millis{0};
    const std::string hash = sha256_hex(key_ + format_rfc3339(scheduled)).substr(0, 15);
    return std::chrono::seconds(std::stoll(hash, nullptr, 16) % (most.count() + 1));
  }

  std::string key_;
  std::chrono::seconds jitter_;
  const ReadSchedule& schedule_;
};

/// Runs that have begun until now.
struct Due {
  std::int64_t count = 0;
  RunTime newest{};
  RunTime second_newest{};  ///< Only with count > 1.
};

/// After these moments runs count.
struct Begin {
  Time scheduled{};
  Time begun{};
};

Due due_between(const RunTimes& runs, const Begin& after, Time now) {
  Due due;
  runs.each(after.scheduled, after.begun, [&](const RunTime& run) {
    if (run.begins > now) return false;
    due.second_newest = due.newest;
    due.newest = run;
    return ++due.count < kMostCounted;
  });
  return due;
}

/// The first run that is scheduled after `scheduled` and has not begun.
std::optional<RunTime> next_run(const RunTimes& runs, Time scheduled, Time now) {
  std::optional<RunTime> next;
  runs.each(scheduled, now, [&](const RunTime& run) {
    next = run;
    return false;
  });
  return next;
}

std::optional<Time> scheduled_time_of(const crds::Backup& backup, const std::string& policy) {
  if (backup.spec.scheduled_time) return backup.spec.scheduled_time;
  const auto name = parse_scheduled_backup_name(backup.metadata.name);
  return name && name->policy == policy ? std::optional<Time>(name->scheduled) : std::nullopt;
}

std::optional<Time> later(std::optional<Time> a, std::optional<Time> b) {
  if (!a || !b) return a ? a : b;
  return std::max(*a, *b);
}

/// What the Backups tell: counts, last ends, what still runs.
void take_backups(crds::BackupPolicyStatus& status, const std::string& policy,
                  const std::vector<crds::Backup>& backups) {
  crds::BackupCounts counts;
  status.active.clear();
  const crds::Backup* newest = nullptr;
  for (const crds::Backup& backup : backups) {
    status.last_schedule_time = later(status.last_schedule_time, scheduled_time_of(backup, policy));
    if (crds::is_true(backup.status.conditions, "Complete")) {
      ++counts.succeeded;
      status.last_success_time = later(status.last_success_time, backup.status.finished_at);
      if (newest == nullptr || backup.status.finished_at > newest->status.finished_at) newest = &backup;
    } else if (crds::is_true(backup.status.conditions, "Failed")) {
      ++counts.failed;
      status.last_failure_time = later(status.last_failure_time, backup.status.finished_at);
    } else if (!backup.metadata.deletion_timestamp) {
      ++counts.running;
      status.active.push_back(backup.metadata.name);
    }
  }
  status.counts = counts;
  if (newest == nullptr) return;
  status.last_backup =
      crds::LastBackup{newest->metadata.name, newest->status.barman ? newest->status.barman->backup_id : std::string(),
                       newest->status.finished_at, crds::size_bytes(newest->status)};
}

crds::Backup run_for(const crds::BackupPolicy& policy, Time scheduled) {
  crds::Backup backup;
  backup.metadata.ns = policy.metadata.ns;
  backup.metadata.name = scheduled_backup_name(policy.metadata.name, scheduled);
  backup.metadata.labels[std::string(crds::kPolicyLabel)] = policy.metadata.name;
  backup.spec.policy_ref = crds::NameRef{policy.metadata.name};
  backup.spec.scheduled_time = scheduled;
  return backup;
}

/// What begins before the next run that the last look told of was judged then; that alone keeps the past of a schedule
/// that was changed, or held back, from coming up at the look after.
Begin begin_of(const crds::BackupPolicy& policy, const crds::BackupPolicyStatus& status, Time now) {
  const auto& told = policy.status.next_run_time;
  auto scheduled = later(status.last_schedule_time, status.last_missed_time);
  if (!scheduled) scheduled = policy.metadata.creation_timestamp;
  Begin begin{scheduled.value_or(now), scheduled.value_or(now)};
  const bool seen_before = policy.status.observed_generation != 0;
  const bool changed = seen_before && policy.status.observed_generation != policy.metadata.generation;
  // A changed schedule has no past, but a run that was due under the old one is still due.
  if (changed)
    begin.begun = told && *told <= now ? *told - Millis{1} : now;
  else if (told)
    begin.begun = std::max(begin.begun, std::min(*told, now + Millis{1}) - Millis{1});
  return begin;
}

class Planner {
 public:
  Planner(const crds::BackupPolicy& policy, const Result<void>& source, Time now)
      : policy_(policy), source_(source), now_(now) {
    plan_.status = policy.status;
  }

  Plan plan(const std::vector<crds::Backup>& backups, const Result<ReadSchedule>& schedule) {
    crds::BackupPolicyStatus& status = plan_.status;
    take_backups(status, policy_.metadata.name, backups);
    if (!schedule) {
      status.next_run_time.reset();
      set("Ready", Truth::False, "ScheduleInvalid",
          schedule.error().message + "; correct spec.schedule in its manifest and apply it: `roadstead apply -f FILE`");
    } else if (policy_.spec.suspend) {
      status.next_run_time.reset();
      set("Ready", Truth::False, "Suspended",
          fmt::format("spec.suspend holds new runs back; `{}` lets them go on",
                      patch_command<crds::BackupPolicy>(policy_.metadata.ns, policy_.metadata.name,
                                                        R"({"spec":{"suspend":false}})")));
    } else {
      run_schedule(*schedule);
      judge_source();
    }
    judge_age();
    status.observed_generation = policy_.metadata.generation;
    return std::move(plan_);
  }

 private:
  void run_schedule(const ReadSchedule& schedule) {
    crds::BackupPolicyStatus& status = plan_.status;
    const RunTimes runs(policy_, schedule);
    const Begin begin = begin_of(policy_, status, now_);
    const Due due = due_between(runs, begin, now_);
    const bool one_goes_on =
        policy_.spec.concurrency_policy == crds::ConcurrencyPolicy::Forbid && !status.active.empty();
    if (due.count > 1)
      miss(due.count - 1, due.second_newest.scheduled,
           one_goes_on ? fmt::format("the run before it was still going (Backup {}, spec.concurrencyPolicy Forbid)",
                                     status.active.front())
                       : "the operator was not there in time");
    if (due.count > 0) run_or_give_up(due.newest);
    const auto after = next_run(runs, std::max(begin.scheduled, due.newest.scheduled), now_);
    const auto next = after ? std::optional<Time>(after->begins) : std::nullopt;
    // A run that waits stays the next one, so that its lateness can be seen.
    status.next_run_time = waits_ ? std::optional<Time>(due.newest.begins) : next;
    plan_.look_again = earlier(plan_.look_again, next);
    if (!next && !waits_)
      return set("Ready", Truth::False, "NeverRuns",
                 fmt::format("\"{}\" matches no time within nine years; correct spec.schedule.cron in the policy's "
                             "manifest, and `roadstead apply -f` it",
                             policy_.spec.schedule.cron));
    if (!waits_) set("Ready", Truth::True, "Scheduled", fmt::format("The next run is at {}", format_rfc3339(*next)));
    if (!waits_ && !missed_now_ && due.count > 0)
      set("Late", Truth::False, "OnTime", "The last scheduled run was made");
    if (crds::find_condition(status.conditions, "Late") == nullptr)
      set("Late", Truth::False, "OnTime", "No run was missed");
  }

  void run_or_give_up(const RunTime& run) {
    crds::BackupPolicyStatus& status = plan_.status;
    const auto deadline = policy_.spec.starting_deadline_seconds;
    if (deadline && now_ - run.begins > std::chrono::seconds(*deadline))
      return miss(1, run.scheduled,
                  fmt::format("it could not be begun within {} (spec.startingDeadlineSeconds)",
                              human_duration(std::chrono::seconds(*deadline))));
    if (policy_.spec.concurrency_policy == crds::ConcurrencyPolicy::Forbid && !status.active.empty()) {
      waits_ = true;
      if (deadline) plan_.look_again = run.begins + std::chrono::seconds(*deadline) + Millis{1};
      return set("Ready", Truth::True, "Waiting",
                 fmt::format("The run of {} waits until Backup {} has ended (spec.concurrencyPolicy Forbid)",
                             format_rfc3339(run.scheduled), status.active.front()));
    }
    plan_.create = run_for(policy_, run.scheduled);
    status.last_schedule_time = later(status.last_schedule_time, run.scheduled);
    status.active.push_back(plan_.create->metadata.name);
    if (status.counts) ++status.counts->running;
    constexpr Millis kPrompt = std::chrono::minutes(2);
    if (now_ - run.begins > kPrompt)
      plan_.events.push_back(
          {false, "RunCaughtUp",
           fmt::format("The run of {} begins {} late", format_rfc3339(run.scheduled),
                       human_duration(std::chrono::duration_cast<std::chrono::seconds>(now_ - run.begins)))});
  }

  void miss(std::int64_t count, Time newest, const std::string& why) {
    crds::BackupPolicyStatus& status = plan_.status;
    missed_now_ = true;
    status.missed_runs += count;
    status.last_missed_time = later(status.last_missed_time, newest);
    status.miss_noticed_time = now_;
    const std::string message =
        count == 1 ? fmt::format("The run of {} was missed: {}", format_rfc3339(newest), why)
                   : fmt::format("{} runs were missed, the newest of {}: {}", count, format_rfc3339(newest), why);
    set("Late", Truth::True, "RunMissed",
        message +
            fmt::format("; `roadstead backup {} -n {}` makes one now", policy_.metadata.name, policy_.metadata.ns));
    plan_.events.push_back({true, "RunMissed", message});
  }

  /// Runs are made all the same: they wait for the server, and none is missed.
  void judge_source() {
    if (source_) return;
    const bool missing = source_.error().kind == ErrorKind::NotFound;
    set("Ready", Truth::False, missing ? "ReferenceNotFound" : std::string(to_string(source_.error().kind)),
        source_.error().message);
    constexpr Millis kSoon = std::chrono::seconds(15);
    plan_.look_again = earlier(plan_.look_again, now_ + kSoon);
  }

  void judge_age() {
    const auto limit = policy_.spec.objectives ? policy_.spec.objectives->max_age_seconds : std::nullopt;
    if (!limit) {
      crds::remove_condition(plan_.status.conditions, "TooOld");
      return;
    }
    const auto since =
        plan_.status.last_success_time ? plan_.status.last_success_time : policy_.metadata.creation_timestamp;
    const bool old = since && now_ - *since > std::chrono::seconds(*limit);
    if (since && !old) plan_.look_again = earlier(plan_.look_again, *since + std::chrono::seconds(*limit) + Millis{1});
    set("TooOld", old ? Truth::True : Truth::False, old ? "ObjectiveMissed" : "WithinObjective",
        old ? fmt::format(
                  "The last good backup is older than {2} (spec.objectives.maxAgeSeconds); `roadstead get backups "
                  "-n {0}` shows the runs since then, `roadstead describe backup NAME -n {0}` says why one failed, "
                  "`roadstead backup {1} -n {0}` makes one now",
                  policy_.metadata.ns, policy_.metadata.name, human_duration(std::chrono::seconds(*limit)))
            : "The last good backup is young enough");
  }

  static std::optional<Time> earlier(std::optional<Time> a, std::optional<Time> b) {
    if (!a || !b) return a ? a : b;
    return std::min(*a, *b);
  }

  void set(std::string type, Truth truth, std::string reason, std::string message) {
    if (!message.empty() && message.back() != '.') message += '.';
    crds::set_condition(
        plan_.status.conditions,
        {std::move(type), truth, std::move(reason), std::move(message), std::nullopt, policy_.metadata.generation},
        now_);
  }

  const crds::BackupPolicy& policy_;
  const Result<void>& source_;
  const Time now_;
  Plan plan_;
  bool waits_ = false;
  bool missed_now_ = false;
};

}  // namespace

Result<ReadSchedule> read_schedule(const crds::Schedule& schedule) {
  auto cron = crds::Cron::parse(schedule.cron);
  if (!cron) return within("spec.schedule.cron", cron.error());
  auto zone = crds::find_zone(schedule.time_zone);
  if (!zone) return within("spec.schedule.timeZone", zone.error());
  return ReadSchedule{*cron, *zone};
}

Plan plan_for(const crds::BackupPolicy& policy, const std::vector<crds::Backup>& backups,
              const Result<ReadSchedule>& schedule, const Result<void>& source, Time now) {
  return Planner(policy, source, now).plan(backups, schedule);
}

std::optional<Millis> interval_at(const ReadSchedule& schedule, Time now) {
  const auto next = schedule.cron.next_after(now, *schedule.zone);
  const auto after = next ? schedule.cron.next_after(*next, *schedule.zone) : std::nullopt;
  if (!after) return std::nullopt;
  return *after - *next;
}

}  // namespace roadstead::reconcilers::backup_policy
