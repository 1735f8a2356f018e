#include "reconcilers/backup/decide.h"

#include <algorithm>

#include "reconcilers/support/commands.h"

namespace roadstead::reconcilers::backup {
namespace {

using Truth = crds::ConditionStatus;

constexpr std::string_view kStep = "backup";
constexpr std::string_view kInterruptedResult = R"({"interrupted":true})";
constexpr Millis kFollowFirst{2'000};   // so that short backups are seen to move,
constexpr Millis kFollowLater{10'000};  // and long ones cost nothing
constexpr Millis kFirstMinute{60'000};
constexpr Millis kPendingInterval{10'000};

const crds::Step* step_of(const crds::BackupStatus& status, std::int64_t attempt) {
  const auto found = std::find_if(status.steps.begin(), status.steps.end(), [&](const crds::Step& step) {
    return step.name == kStep && step.attempt == attempt;
  });
  return found == status.steps.end() ? nullptr : &*found;
}

const crds::CatalogBackup* entry_with(const Observed& seen, std::initializer_list<std::string_view> statuses) {
  const auto found = std::find_if(seen.entries.rbegin(), seen.entries.rend(), [&](const auto& entry) {
    return std::find(statuses.begin(), statuses.end(), entry.status) != statuses.end();
  });
  return found == seen.entries.rend() ? nullptr : &*found;
}

int attempt_of(const crds::CatalogBackup& entry) {
  const auto name = parse_barman_backup_name(entry.name);
  return name ? name->attempt : 0;
}

const crds::CatalogBackup* entry_of_attempt(const Observed& seen, int attempt) {
  const auto found = std::find_if(seen.entries.begin(), seen.entries.end(),
                                  [&](const auto& entry) { return attempt_of(entry) == attempt; });
  return found == seen.entries.end() ? nullptr : &*found;
}

/// The last WAL takes seconds; what to look at where it does not.
std::string waits_for_wal(const crds::Backup& backup, const Observed& seen, std::string_view since) {
  return fmt::format(
      "{}; waits for the last WAL to be archived; if that takes minutes, see why: `{}`, and on the host of barman "
      "`docker exec -u 999:999 {} barman check {}`",
      since, describe_command<crds::BarmanServer>(backup.metadata.ns, seen.server), seen.container, seen.server);
}

Millis follow_interval(const crds::Backup& backup, Time now) {
  return backup.status.started_at && now - *backup.status.started_at > kFirstMinute ? kFollowLater : kFollowFirst;
}

Decision wait(std::string reason, std::string message, Millis again = kPendingInterval) {
  return {.act = Act::Wait, .reason = std::move(reason), .message = std::move(message), .again = again};
}

/// What a worker printed last, for people; barman's JSON is not for them.
std::string last_words(const WorkerSeen& worker) {
  if (!worker.error.empty()) return worker.error;
  if (worker.oom_killed) return "it was killed because its host or container had no memory left";
  for (auto line = worker.tail.rbegin(); line != worker.tail.rend(); ++line) {
    if (line->text.empty()) continue;
    const auto parsed =
        parse_barman_output({.exit_code = worker.exit_code, .out = line->text, .err = {}}, "barman backup");
    if (!parsed) return parsed.error().message;
    return line->text.substr(0, 300);
  }
  return fmt::format("the worker ended with exit code {} and said nothing", worker.exit_code);
}

bool is_lock_conflict(const WorkerSeen& worker) {
  return std::any_of(worker.tail.begin(), worker.tail.end(), [](const LogLine& line) {
    return line.text.find("Another backup") != std::string::npos && line.text.find("running") != std::string::npos;
  });
}

Decision failed_attempt(const crds::Backup& backup, int attempt, std::string message, bool counts) {
  const bool last = counts && counted_failures(backup.status) + 1 >= kAttempts;
  if (last)
    return {.act = Act::Fail,
            .attempt = attempt,
            .reason = "AttemptsExhausted",
            .message = fmt::format("{} attempts failed, the last one: {}", kAttempts, message)};
  return {.act = Act::FailAttempt,
          .attempt = attempt,
          .reason = counts ? "AttemptFailed" : "Interrupted",
          .message = std::move(message),
          .counts = counts,
          .again = counts ? kBetweenAttempts : kAfterInterruption};
}

/// The attempt that status tells of ended; how?
Decision judge_ended(const crds::Backup& backup, const Observed& seen, int attempt) {
  const crds::CatalogBackup* entry = entry_of_attempt(seen, attempt);
  const WorkerSeen& worker = seen.worker;
  // barman's word for a signal: "failure copying files (143)", "(KeyboardInterrupt)".
  const auto signalled = [&](const std::string& why) {
    return worker.interrupted || worker.state == WorkerState::Absent ||
           why.find("KeyboardInterrupt") != std::string::npos || why.find("(143)") != std::string::npos;
  };
  if (entry != nullptr && entry->status == "FAILED") {
    const std::string why = entry->error.empty() ? last_words(worker) : entry->error;
    return failed_attempt(backup, attempt, fmt::format("barman says: {}", why), !signalled(why));
  }
  // STARTED or EMPTY, and nobody is working on it. What ended by itself would end so again and again.
  if (entry != nullptr && worker.state == WorkerState::Exited && !signalled(last_words(worker)))
    return failed_attempt(backup, attempt,
                          fmt::format("base backup {} was left half made: {}", entry->id, last_words(worker)), true);
  if (entry != nullptr)
    return failed_attempt(backup, attempt,
                          fmt::format("base backup {} was interrupted while it was being made", entry->id), false);
  if (worker.state == WorkerState::Exited && worker.interrupted)
    return failed_attempt(backup, attempt, "the worker was stopped from outside", false);
  if (worker.state == WorkerState::Exited)
    return failed_attempt(backup, attempt, last_words(worker), !is_lock_conflict(worker));
  return failed_attempt(backup, attempt, "the worker vanished before barman's catalogue knew the backup", false);
}

/// Interruptions do not count, but a host that ends everything at once is not asked every five seconds for ever.
Millis interruption_pause(const crds::BackupStatus& status) {
  constexpr Millis kLongest = std::chrono::minutes(5);
  return std::min(kLongest, kAfterInterruption * static_cast<int>(status.steps.size()));
}

/// An attempt may begin; is it time, and is there room?
Decision next_attempt(const crds::Backup& backup, const Observed& seen, Time now) {
  if (seen.made_from_catalogue)
    return wait("NotInCatalogue",
                fmt::format("barman server {} does not have this base backup now; see what it has: `{}`; was the data "
                            "removed on purpose, let go of this object: `roadstead delete backup {} -n {}`",
                            seen.server, describe_command<crds::BarmanServer>(backup.metadata.ns, seen.server),
                            backup.metadata.name, backup.metadata.ns));
  if (!seen.not_ready.empty()) return wait("ServerNotReady", seen.not_ready);
  if (!seen.waits_for.empty())
    return wait("WaitingForOther", fmt::format("Waits for {}", seen.waits_for), Millis{5'000});
  if (!backup.status.steps.empty()) {
    const crds::Step& last = backup.status.steps.back();
    const Millis pause = last.result == kInterruptedResult ? interruption_pause(backup.status) : kBetweenAttempts;
    // An end that lies further ahead than the clocks of two hosts differ: ours was set back.
    const bool in_pause = last.finished_at && now - *last.finished_at < pause && *last.finished_at - now < pause;
    if (in_pause)
      return wait("WaitingToTryAgain",
                  fmt::format("Attempt {} failed ({}); the next begins soon", last.attempt, last.message),
                  pause - (now - *last.finished_at));
  }
  const int attempt = std::max(static_cast<int>(backup.status.attempt), seen.highest_attempt) + 1;
  return {.act = Act::Start,
          .attempt = attempt,
          .reason = "Started",
          .message = fmt::format("Attempt {} runs", attempt),
          .again = kFollowFirst};
}

void set(crds::BackupStatus& status, std::int64_t generation, Time now, std::string type, Truth truth,
         const std::string& reason, std::string message) {
  if (!message.empty() && message.back() != '.') message += '.';
  crds::set_condition(status.conditions, {std::move(type), truth, reason, std::move(message), std::nullopt, generation},
                      now);
}

void finish_step(crds::BackupStatus& status, const Decision& decision, const Observed& seen, const std::string& host,
                 const std::string& worker, crds::StepState state, Time now) {
  auto found = std::find_if(status.steps.begin(), status.steps.end(), [&](const crds::Step& step) {
    return step.name == kStep && step.attempt == decision.attempt;
  });
  if (found == status.steps.end()) {
    status.steps.push_back({.name = std::string(kStep),
                            .host = host,
                            .attempt = decision.attempt,
                            .worker = worker,
                            .started_at = seen.worker.started_at});
    found = status.steps.end() - 1;
  }
  if (found->state != crds::StepState::Running) return;
  found->state = state;
  found->finished_at = seen.worker.finished_at ? seen.worker.finished_at : std::optional<Time>(now);
  if (state == crds::StepState::Failed) found->message = decision.message;
  if (state == crds::StepState::Failed && !decision.counts) found->result = kInterruptedResult;
}

/// A worker that runs though status knows nothing of it: the store was lost.
void adopt_worker(crds::BackupStatus& status, int attempt, const Observed& seen, const std::string& host,
                  const std::string& worker, Time now) {
  status.attempt = attempt;
  status.worker = worker;
  status.started_at = seen.worker.started_at ? seen.worker.started_at : std::optional<Time>(now);
  status.steps.push_back({.name = std::string(kStep),
                          .host = host,
                          .attempt = attempt,
                          .worker = worker,
                          .state = crds::StepState::Running,
                          .started_at = status.started_at});
}

void take_result(crds::BackupStatus& status, const Observed& seen, Time now) {
  const crds::CatalogBackup& entry = seen.details ? seen.details->backup : *entry_with(seen, {"DONE"});
  status.barman = crds::BarmanBackupResult{seen.server,   entry.id,        entry.name,    entry.begin_lsn,
                                           entry.end_lsn, entry.begin_wal, entry.end_wal, entry.size_bytes};
  status.data_as_of = entry.end_time;
  if (!status.started_at) status.started_at = entry.begin_time;
  // barman's own time, so that an object rebuilt from the catalogue tells the same.
  status.finished_at = entry.end_time ? entry.end_time : std::optional<Time>(now);
  if (status.progress) {
    status.progress->phase = "done";
    if (status.progress->bytes_total) {
      status.progress->bytes_done = status.progress->bytes_total;
      status.progress->percent = 100;
    }
    status.progress->eta_seconds.reset();
  }
}

}  // namespace

bool claims(const Observed& seen, const Decision& decision) {
  return decision.act == Act::Start || seen.worker.state != WorkerState::Absent;
}

int counted_failures(const crds::BackupStatus& status) {
  return static_cast<int>(std::count_if(status.steps.begin(), status.steps.end(), [](const crds::Step& step) {
    return step.name == kStep && step.state == crds::StepState::Failed && step.result != kInterruptedResult;
  }));
}

Decision decide(const crds::Backup& backup, const Observed& seen, Time now) {
  if (crds::is_finished(backup.status)) return {};
  if (seen.unresolved)
    return wait(seen.unresolved->kind == ErrorKind::NotFound ? "ReferenceNotFound"
                                                             : std::string(to_string(seen.unresolved->kind)),
                seen.unresolved->message);
  if (seen.unreachable) return wait("HostUnreachable", seen.unreachable->message, Millis{5'000});

  if (entry_with(seen, {"DONE"}) != nullptr)
    return {.act = Act::Complete, .reason = "BackedUp", .message = "The base backup is whole and its WAL is archived"};
  const Millis follow = follow_interval(backup, now);
  if (seen.worker.state == WorkerState::Running) {
    // No row in production's view of running base backups: before it began, or when its last WAL is waited for.
    if (!seen.progress && backup.status.progress)
      return {.act = Act::AwaitWal,
              .attempt = seen.worker.attempt,
              .reason = "WaitingForWal",
              .message = waits_for_wal(backup, seen, "No longer copies"),
              .again = kFollowFirst};
    return {.act = Act::Follow,
            .attempt = seen.worker.attempt,
            .reason = "Running",
            .message = fmt::format("Attempt {} runs", seen.worker.attempt),
            .again = follow};
  }
  if (entry_with(seen, {"WAITING_FOR_WALS"}) != nullptr)
    return {.act = Act::AwaitWal,
            .attempt = static_cast<int>(backup.status.attempt),
            .reason = "WaitingForWal",
            .message = waits_for_wal(backup, seen, "Copied"),
            .again = kFollowFirst};

  const int attempt = static_cast<int>(backup.status.attempt);
  const crds::Step* step = step_of(backup.status, attempt);
  const bool begun = step != nullptr && step->state == crds::StepState::Running;
  if (begun && seen.worker.state != WorkerState::Stale) {
    const auto* entry = entry_of_attempt(seen, attempt);
    const bool unfinished = entry != nullptr && (entry->status == "STARTED" || entry->status == "EMPTY");
    // Its processes may outlive the container's first one; the lock tells.
    if (unfinished && seen.backup_lock_held) return wait("Running", "barman still works on it", follow);
    return judge_ended(backup, seen, attempt);
  }
  return next_attempt(backup, seen, now);
}

crds::Progress progress_after(const std::optional<crds::Progress>& before, const BaseBackupProgress& row, Time started,
                              Time now) {
  crds::Progress progress = before.value_or(crds::Progress{});
  progress.phase = row.phase;
  const std::int64_t done = std::max(progress.bytes_done.value_or(0), row.streamed_bytes);
  progress.bytes_done = done;
  if (row.total_bytes && *row.total_bytes > 0) {
    const std::int64_t total = std::max({progress.bytes_total.value_or(0), *row.total_bytes, done});
    progress.bytes_total = total;
    constexpr std::int64_t kNotYet = 99;
    progress.percent = std::max(progress.percent.value_or(0), std::min(kNotYet, done * 100 / total));
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - started).count();
  progress.eta_seconds.reset();
  if (seconds > 0 && done > 0) {
    progress.bytes_per_second = std::max<std::int64_t>(1, done / seconds);
    if (progress.bytes_total) progress.eta_seconds = (*progress.bytes_total - done) / *progress.bytes_per_second;
  }
  return progress;
}

crds::BackupStatus status_after(const crds::Backup& backup, const Observed& seen, const Decision& decision,
                                const std::string& host, const std::string& worker, Time now) {
  crds::BackupStatus status = backup.status;
  const std::int64_t generation = backup.metadata.generation;
  status.observed_generation = generation;
  if (!seen.server.empty() && !status.barman) status.barman = crds::BarmanBackupResult{.server = seen.server};
  switch (decision.act) {
    case Act::None:
      return status;
    case Act::Wait:
      // A run whose host vanished is still running there.
      if (!status.phase || *status.phase == crds::BackupPhase::Pending || status.worker.empty())
        status.phase = crds::BackupPhase::Pending;
      set(status, generation, now, "Complete", Truth::False, decision.reason, decision.message);
      break;
    case Act::Start:
      status.phase = crds::BackupPhase::Running;
      status.attempt = decision.attempt;
      status.worker = worker;
      status.started_at = now;
      status.progress.reset();
      if (step_of(status, decision.attempt) == nullptr)
        status.steps.push_back({.name = std::string(kStep),
                                .host = host,
                                .attempt = decision.attempt,
                                .worker = worker,
                                .state = crds::StepState::Running,
                                .started_at = now});
      set(status, generation, now, "Complete", Truth::False, decision.reason, decision.message);
      break;
    case Act::Follow:
    case Act::AwaitWal:
      status.phase = crds::BackupPhase::Running;
      if (decision.attempt > status.attempt) adopt_worker(status, decision.attempt, seen, host, worker, now);
      if (seen.progress)
        status.progress = progress_after(status.progress, *seen.progress, status.started_at.value_or(now), now);
      if (decision.act == Act::AwaitWal && status.progress) status.progress->phase = "waiting for WAL";
      set(status, generation, now, "Complete", Truth::False, decision.reason, decision.message);
      break;
    case Act::FailAttempt:
      finish_step(status, decision, seen, host, worker, crds::StepState::Failed, now);
      status.worker.clear();
      status.progress.reset();
      status.phase = crds::BackupPhase::Pending;
      set(status, generation, now, "Complete", Truth::False, decision.reason, decision.message);
      break;
    case Act::Fail:
      finish_step(status, decision, seen, host, worker, crds::StepState::Failed, now);
      status.worker.clear();
      status.phase = crds::BackupPhase::Failed;
      status.finished_at = now;
      set(status, generation, now, "Complete", Truth::False, decision.reason, decision.message);
      set(status, generation, now, "Failed", Truth::True, decision.reason, decision.message);
      break;
    case Act::Complete: {
      take_result(status, seen, now);
      Decision done = decision;
      const auto name = parse_barman_backup_name(status.barman->name);
      done.attempt = name ? name->attempt : static_cast<int>(std::max<std::int64_t>(1, status.attempt));
      status.attempt = done.attempt;
      if (step_of(status, done.attempt) != nullptr || !worker.empty())
        finish_step(status, done, seen, host, status.worker, crds::StepState::Succeeded, now);
      status.worker.clear();
      status.phase = crds::BackupPhase::Succeeded;
      set(status, generation, now, "Complete", Truth::True, decision.reason, decision.message);
      break;
    }
  }
  crds::refresh_summary(status);
  return status;
}

}  // namespace roadstead::reconcilers::backup
