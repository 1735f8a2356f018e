#include <gtest/gtest.h>

#include "operator/base/rfc3339.h"
#include "reconcilers/backup/decide.h"

namespace roadstead::reconcilers::backup {
namespace {

using namespace std::chrono_literals;

const Time kNoon = parse_rfc3339("2026-11-22T12:00:00Z").value();

crds::Backup nightly() {
  crds::Backup backup;
  backup.metadata.ns = "default";
  backup.metadata.name = "nightly";
  backup.metadata.generation = 1;
  return backup;
}

/// Attempt 1 was begun a minute ago.
crds::Backup begun() {
  crds::Backup backup = nightly();
  Observed seen;
  seen.server = "montagu";
  backup.status = status_after(backup, seen, {.act = Act::Start, .attempt = 1, .reason = "Started"}, "annex2",
                               "worker-1", kNoon - 60s);
  return backup;
}

Observed ready() {
  Observed seen;
  seen.server = "montagu";
  return seen;
}

crds::CatalogBackup entry(const std::string& status, int attempt = 1, const std::string& error = {}) {
  crds::CatalogBackup backup;
  backup.id = "20261122T115900";
  backup.name = barman_backup_name("default", "nightly", attempt);
  backup.status = status;
  backup.error = error;
  backup.end_time = kNoon - 5s;
  backup.size_bytes = 4096;
  backup.begin_wal = "00000001000000000000000A";
  return backup;
}

WorkerSeen exited(int code, const std::string& said = {}) {
  WorkerSeen worker;
  worker.state = WorkerState::Exited;
  worker.attempt = 1;
  worker.exit_code = code;
  worker.interrupted = exited_by_signal(code);
  if (!said.empty()) worker.tail.push_back({kNoon, false, said});
  return worker;
}

WorkerSeen running(int attempt = 1) {
  WorkerSeen worker;
  worker.state = WorkerState::Running;
  worker.attempt = attempt;
  return worker;
}

struct Case {
  std::string name;
  bool begun;
  void (*change)(Observed&);
  Act act;
  std::string reason;
  bool counts = true;
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }
class BackupNext : public testing::TestWithParam<Case> {};

TEST(Waiting, ForSomethingOfBarmansNamesTheNextCommand) {
  const crds::Backup backup = nightly();
  Observed seen;
  seen.server = "montagu";
  seen.container = "roadstead-montagu-standing";
  seen.entries = {entry("WAITING_FOR_WALS")};
  const std::string wal = decide(backup, seen, kNoon).message;
  EXPECT_NE(wal.find("`roadstead describe barmanserver montagu -n default`"), std::string::npos) << wal;
  EXPECT_NE(wal.find("`docker exec -u 999:999 roadstead-montagu-standing barman check montagu`"), std::string::npos)
      << wal;
  seen.entries.clear();
  seen.made_from_catalogue = true;
  const std::string gone = decide(backup, seen, kNoon).message;
  EXPECT_NE(gone.find("`roadstead describe barmanserver montagu -n default`"), std::string::npos) << gone;
  EXPECT_NE(gone.find("`roadstead delete backup nightly -n default`"), std::string::npos) << gone;
}

TEST_P(BackupNext, FollowsFromCatalogueWorkerAndServer) {
  Observed seen = ready();
  GetParam().change(seen);
  const Decision decision = decide(GetParam().begun ? begun() : nightly(), seen, kNoon);
  EXPECT_EQ(static_cast<int>(decision.act), static_cast<int>(GetParam().act))
      << GetParam().name << ": " << decision.message;
  EXPECT_EQ(decision.reason, GetParam().reason) << GetParam().name;
  EXPECT_EQ(decision.counts, GetParam().counts) << GetParam().name;
}

constexpr const char* kLocked = R"({"_ERROR": ["Another backup process is running"]})";
constexpr const char* kImpossible =
    R"({"_ERROR": ["Impossible to start the backup. Check the log for more details, or run 'barman check montagu'"]})";

INSTANTIATE_TEST_SUITE_P(
    Table, BackupNext,
    testing::Values(Case{"nothing hinders it", false, [](Observed&) {}, Act::Start, "Started"},
                    Case{"its server is unknown", false,
                         [](Observed& s) {
                           s.unresolved = Error{ErrorKind::NotFound, "BarmanServer x"};
                         },
                         Act::Wait, "ReferenceNotFound"},
                    Case{"its server is not set up", false, [](Observed& s) { s.not_ready = "no slot"; }, Act::Wait,
                         "ServerNotReady"},
                    Case{"another backup runs", false, [](Observed& s) { s.waits_for = "Backup other"; }, Act::Wait,
                         "WaitingForOther"},
                    Case{"the host is away", false,
                         [](Observed& s) {
                           s.unreachable = Error{ErrorKind::Unavailable, "refused"};
                         },
                         Act::Wait, "HostUnreachable"},
                    Case{"the host is away while it runs", true,
                         [](Observed& s) {
                           s.unreachable = Error{ErrorKind::Unavailable, "refused"};
                         },
                         Act::Wait, "HostUnreachable"},
                    Case{"the store was lost and the backup is whole", false,
                         [](Observed& s) { s.entries = {entry("DONE")}; }, Act::Complete, "BackedUp"},
                    Case{"whole, though production is down now", false,
                         [](Observed& s) {
                           s.entries = {entry("DONE")};
                           s.not_ready = "down";
                         },
                         Act::Complete, "BackedUp"},
                    Case{"the store was lost while it runs", false, [](Observed& s) { s.worker = running(); },
                         Act::Follow, "Running"},
                    Case{"a first attempt failed before the store was lost", false,
                         [](Observed& s) {
                           s.entries = {entry("FAILED")};
                           s.highest_attempt = 1;
                         },
                         Act::Start, "Started"},
                    Case{"an object that only tells of the catalogue", false,
                         [](Observed& s) { s.made_from_catalogue = true; }, Act::Wait, "NotInCatalogue"},
                    Case{"it runs", true,
                         [](Observed& s) {
                           s.worker = running();
                           s.progress = BaseBackupProgress{"streaming database files", 1, 10};
                         },
                         Act::Follow, "Running"},
                    Case{"the worker ended and the catalogue says DONE", true,
                         [](Observed& s) {
                           s.worker = exited(0);
                           s.entries = {entry("DONE")};
                         },
                         Act::Complete, "BackedUp"},
                    Case{"the worker was pruned and the catalogue says DONE", true,
                         [](Observed& s) { s.entries = {entry("DONE")}; }, Act::Complete, "BackedUp"},
                    Case{"the worker failed, and yet the catalogue says DONE", true,
                         [](Observed& s) {
                           s.worker = exited(1);
                           s.entries = {entry("DONE")};
                         },
                         Act::Complete, "BackedUp"},
                    Case{"copied, its WAL is not archived", true,
                         [](Observed& s) {
                           s.worker = exited(1);
                           s.entries = {entry("WAITING_FOR_WALS")};
                         },
                         Act::AwaitWal, "WaitingForWal"},
                    Case{"failed by itself", true,
                         [](Observed& s) {
                           s.worker = exited(1);
                           s.entries = {entry("FAILED", 1, "failure copying files (1)")};
                         },
                         Act::FailAttempt, "AttemptFailed"},
                    Case{"barman got a signal", true,
                         [](Observed& s) {
                           s.worker = exited(1);
                           s.entries = {entry("FAILED", 1, "failure copying files (143)")};
                         },
                         Act::FailAttempt, "Interrupted", false},
                    Case{"the engine was restarted", true,
                         [](Observed& s) {
                           s.worker = exited(255);
                           s.entries = {entry("STARTED")};
                         },
                         Act::FailAttempt, "Interrupted", false},
                    Case{"the kernel took its memory", true,
                         [](Observed& s) {
                           s.worker = exited(137);
                           s.worker.interrupted = false;
                           s.worker.oom_killed = true;
                           s.entries = {entry("STARTED")};
                         },
                         Act::FailAttempt, "AttemptFailed"},
                    Case{"barman itself broke and left it half made", true,
                         [](Observed& s) {
                           s.worker = exited(1, R"({"_EXCEPTION": ["[Errno 28] No space left on device"]})");
                           s.entries = {entry("STARTED")};
                         },
                         Act::FailAttempt, "AttemptFailed"},
                    Case{"barman got a signal and left it half made", true,
                         [](Observed& s) {
                           s.worker = exited(1, R"x({"_ERROR": ["interrupted (KeyboardInterrupt)"]})x");
                           s.entries = {entry("STARTED")};
                         },
                         Act::FailAttempt, "Interrupted", false},
                    Case{"killed and pruned half way", true, [](Observed& s) { s.entries = {entry("STARTED")}; },
                         Act::FailAttempt, "Interrupted", false},
                    Case{"pruned, but barman still works", true,
                         [](Observed& s) {
                           s.entries = {entry("STARTED")};
                           s.backup_lock_held = true;
                         },
                         Act::Wait, "Running"},
                    Case{"vanished before barman knew it", true, [](Observed&) {}, Act::FailAttempt, "Interrupted",
                         false},
                    Case{"refused by barman", true, [](Observed& s) { s.worker = exited(1, kImpossible); },
                         Act::FailAttempt, "AttemptFailed"},
                    Case{"another had barman's lock", true, [](Observed& s) { s.worker = exited(1, kLocked); },
                         Act::FailAttempt, "Interrupted", false}));

TEST(Backup, IsImmutableOnceItEnded) {
  auto backup = begun();
  Observed seen = ready();
  seen.entries = {entry("DONE")};
  const Decision done = decide(backup, seen, kNoon);
  backup.status = status_after(backup, seen, done, "annex2", "worker-1", kNoon);
  EXPECT_EQ(backup.status.phase, crds::BackupPhase::Succeeded);
  EXPECT_TRUE(crds::is_true(backup.status.conditions, "Complete"));
  EXPECT_EQ(backup.status.barman->backup_id, "20261122T115900");
  EXPECT_EQ(backup.status.data_as_of, kNoon - 5s);
  ASSERT_EQ(backup.status.steps.size(), 1u);
  EXPECT_EQ(backup.status.steps[0].state, crds::StepState::Succeeded);
  EXPECT_EQ(static_cast<int>(decide(backup, ready(), kNoon + 1h).act), static_cast<int>(Act::None));
}

TEST(Backup, TriesThreeTimesAndInterruptionsDoNotCount) {
  auto backup = nightly();
  Time now = kNoon;
  const auto one_attempt = [&](int number, int exit_code) {
    Observed seen = ready();
    seen.highest_attempt = number - 1;
    const Decision start = decide(backup, seen, now);
    EXPECT_EQ(static_cast<int>(start.act), static_cast<int>(Act::Start)) << start.message;
    EXPECT_EQ(start.attempt, number);
    backup.status = status_after(backup, seen, start, "annex2", "w", now);
    seen.worker = exited(exit_code, kImpossible);
    seen.worker.attempt = number;
    const Decision ended = decide(backup, seen, now);
    backup.status = status_after(backup, seen, ended, "annex2", "w", now);
    now += 1min;
    return ended.act;
  };
  EXPECT_EQ(static_cast<int>(one_attempt(1, 1)), static_cast<int>(Act::FailAttempt));
  EXPECT_EQ(static_cast<int>(one_attempt(2, 137)), static_cast<int>(Act::FailAttempt));
  EXPECT_EQ(static_cast<int>(one_attempt(3, 1)), static_cast<int>(Act::FailAttempt));
  EXPECT_EQ(counted_failures(backup.status), 2);
  EXPECT_EQ(static_cast<int>(one_attempt(4, 1)), static_cast<int>(Act::Fail));
  EXPECT_TRUE(crds::is_true(backup.status.conditions, "Failed"));
  EXPECT_NE(crds::find_condition(backup.status.conditions, "Failed")->message.find("Impossible to start the backup"),
            std::string::npos);
  EXPECT_EQ(backup.status.steps.size(), 4u);
}

TEST(Backup, WaitsBetweenAttempts) {
  auto backup = begun();
  Observed seen = ready();
  seen.worker = exited(1, kImpossible);
  backup.status = status_after(backup, seen, decide(backup, seen, kNoon), "annex2", "w", kNoon);
  EXPECT_EQ(decide(backup, ready(), kNoon + 10s).reason, "WaitingToTryAgain");
  EXPECT_EQ(static_cast<int>(decide(backup, ready(), kNoon + 31s).act), static_cast<int>(Act::Start));
}

TEST(Backup, AdoptsAWorkerThatAnEarlierOperatorStarted) {
  Observed seen = ready();
  seen.worker = running(2);
  seen.worker.started_at = kNoon - 10s;
  seen.progress = BaseBackupProgress{"streaming database files", 50, 100};
  const auto status = status_after(nightly(), seen, decide(nightly(), seen, kNoon), "annex2", "worker-2", kNoon);
  EXPECT_EQ(status.attempt, 2);
  EXPECT_EQ(status.worker, "worker-2");
  ASSERT_EQ(status.steps.size(), 1u);
  EXPECT_EQ(status.steps[0].attempt, 2);
  EXPECT_EQ(status.phase, crds::BackupPhase::Running);
  EXPECT_EQ(status.progress->percent, 50);
}

TEST(Backup, ThatRunsOutOfMemoryEachTimeFailsInTheEndWithTheCause) {
  auto backup = nightly();
  Time now = kNoon;
  for (int attempt = 1; attempt <= kAttempts; ++attempt, now += 1min) {
    Observed seen = ready();
    backup.status = status_after(backup, seen, decide(backup, seen, now), "annex2", "w", now);
    seen.worker = exited(137);
    seen.worker.interrupted = false;
    seen.worker.oom_killed = true;
    seen.entries = {entry("STARTED", attempt)};
    backup.status = status_after(backup, seen, decide(backup, seen, now), "annex2", "w", now);
  }
  const auto* failed = crds::find_condition(backup.status.conditions, "Failed");
  ASSERT_NE(failed, nullptr) << "it would be tried for ever";
  EXPECT_NE(failed->message.find("no memory left"), std::string::npos) << failed->message;
}

TEST(Backup, HoldsAWorkerThatItFindsAsOneThatItMakes) {
  Observed seen = ready();
  EXPECT_TRUE(claims(seen, {.act = Act::Start}));
  EXPECT_FALSE(claims(seen, {.act = Act::Wait}));
  seen.worker = running();
  EXPECT_TRUE(claims(seen, {.act = Act::Follow}));
  seen.worker = exited(0);
  EXPECT_TRUE(claims(seen, {.act = Act::Complete})) << "it would stay on the host for ever";
}

TEST(Backup, TriesAgainSoonWhereTheClockWasSetBack) {
  auto backup = begun();
  Observed seen = ready();
  seen.worker = exited(1, kImpossible);
  backup.status = status_after(backup, seen, decide(backup, seen, kNoon), "annex2", "w", kNoon);
  EXPECT_EQ(decide(backup, ready(), kNoon - 10s).reason, "WaitingToTryAgain") << "two hosts' clocks differ";
  EXPECT_EQ(static_cast<int>(decide(backup, ready(), kNoon - 5h).act), static_cast<int>(Act::Start));
}

TEST(Backup, NudgesProductionOnceItIsCopied) {
  auto backup = begun();
  Observed seen = ready();
  seen.worker = running();
  EXPECT_EQ(static_cast<int>(decide(backup, seen, kNoon).act), static_cast<int>(Act::Follow))
      << "it has not begun to copy";
  backup.status.progress = crds::Progress{.percent = 99};
  EXPECT_EQ(static_cast<int>(decide(backup, seen, kNoon).act), static_cast<int>(Act::AwaitWal));
}

TEST(Progress, HasNoPercentWithoutATotal) {
  const auto progress =
      progress_after(std::nullopt, {"waiting for checkpoint to finish", 0, std::nullopt}, kNoon, kNoon + 1s);
  EXPECT_FALSE(progress.percent);
  EXPECT_FALSE(progress.bytes_total);
}

TEST(Progress, NeverGoesBackwardsAndHoldsWhenTheTotalGrows) {
  auto progress = progress_after(std::nullopt, {"streaming database files", 500, 1000}, kNoon, kNoon + 10s);
  EXPECT_EQ(progress.percent, 50);
  EXPECT_EQ(progress.bytes_per_second, 50);
  EXPECT_EQ(progress.eta_seconds, 10);
  progress = progress_after(progress, {"streaming database files", 600, 2000}, kNoon, kNoon + 12s);
  EXPECT_EQ(progress.percent, 50) << "600 of 2000 would be 30";
  progress = progress_after(progress, {"streaming database files", 100, 1000}, kNoon, kNoon + 13s);
  EXPECT_EQ(progress.bytes_done, 600);
  EXPECT_EQ(progress.bytes_total, 2000);
  progress = progress_after(progress, {"waiting for wal archiving to finish", 2500, 2000}, kNoon, kNoon + 50s);
  EXPECT_EQ(progress.percent, 99) << "100 is only reached by being done";
  EXPECT_EQ(progress.bytes_total, 2500);
}

}  // namespace
}  // namespace roadstead::reconcilers::backup
