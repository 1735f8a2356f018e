#include <gtest/gtest.h>

#include "operator/base/rfc3339.h"
#include "reconcilers/backup_policy/decide.h"

namespace roadstead::reconcilers::backup_policy {
namespace {

using namespace std::chrono_literals;

Time at(const char* text) { return parse_rfc3339(text).value(); }

crds::BackupPolicy policy(const char* cron, const char* zone = "UTC", const char* made = "2026-11-20T12:00:00Z") {
  crds::BackupPolicy one;
  one.metadata.ns = "default";
  one.metadata.name = "montagu-base";
  one.metadata.generation = 1;
  one.metadata.creation_timestamp = at(made);
  one.spec.source.barman = crds::BarmanBackupSource{{"montagu"}};
  one.spec.schedule.cron = cron;
  one.spec.schedule.time_zone = zone;
  return one;
}

Plan plan(const crds::BackupPolicy& one, Time now, const std::vector<crds::Backup>& backups = {}) {
  return plan_for(one, backups, read_schedule(one.spec.schedule), {}, now);
}

crds::Backup run(const std::string& name, const char* condition, Time ended) {
  crds::Backup backup;
  backup.metadata.ns = "default";
  backup.metadata.name = name;
  if (condition != nullptr) {
    backup.status.conditions.push_back({condition, crds::ConditionStatus::True, "X", "", std::nullopt, 1});
    backup.status.finished_at = ended;
  }
  return backup;
}

bool is_late(const crds::BackupPolicyStatus& status) { return crds::is_true(status.conditions, "Late"); }

TEST(BackupPolicy, MakesItsRunAtTheScheduledTimeUnderTheNameOfThatTime) {
  auto one = policy("0 0 * * *");
  Plan first = plan(one, at("2026-11-20T12:00:05Z"));
  EXPECT_FALSE(first.create) << "nothing is due when it is made";
  EXPECT_EQ(first.status.next_run_time, at("2026-11-21T00:00:00Z"));
  EXPECT_EQ(first.look_again, at("2026-11-21T00:00:00Z"));
  one.status = first.status;
  Plan due = plan(one, at("2026-11-21T00:00:00Z"));
  ASSERT_TRUE(due.create);
  EXPECT_EQ(due.create->metadata.name, "montagu-base-20261121t0000z");
  EXPECT_EQ(due.create->metadata.labels.at(std::string(crds::kPolicyLabel)), "montagu-base");
  EXPECT_EQ(due.create->spec.scheduled_time, at("2026-11-21T00:00:00Z"));
  EXPECT_EQ(due.status.next_run_time, at("2026-11-22T00:00:00Z"));
  EXPECT_EQ(due.status.active, std::vector<std::string>{"montagu-base-20261121t0000z"});
  one.status = due.status;
  EXPECT_FALSE(plan(one, at("2026-11-21T00:00:01Z"), {run("montagu-base-20261121t0000z", nullptr, {})}).create)
      << "once";
}

TEST(BackupPolicy, ThatWasAwayCatchesUpOneRunAndCountsTheOthers) {
  auto one = policy("@hourly");
  one.status.observed_generation = 1;
  one.status.last_schedule_time = at("2026-11-20T12:00:00Z");
  const Plan late = plan(one, at("2026-11-22T03:30:00Z"));
  ASSERT_TRUE(late.create);
  EXPECT_EQ(late.create->metadata.name, "montagu-base-20261122t0300z");
  EXPECT_EQ(late.status.missed_runs, 38);
  EXPECT_EQ(late.status.last_missed_time, at("2026-11-22T02:00:00Z"));
  EXPECT_EQ(late.status.miss_noticed_time, at("2026-11-22T03:30:00Z"));
  EXPECT_TRUE(is_late(late.status));
  ASSERT_EQ(late.events.size(), 2u);
  EXPECT_EQ(late.events[0].reason, "RunMissed");
  EXPECT_EQ(late.events[1].reason, "RunCaughtUp");
  one.status = late.status;
  const Plan next = plan(one, at("2026-11-22T04:00:00Z"),
                         {run("montagu-base-20261122t0300z", "Complete", at("2026-11-22T03:40:00Z"))});
  ASSERT_TRUE(next.create);
  EXPECT_EQ(next.status.missed_runs, 38) << "not counted again";
  EXPECT_FALSE(is_late(next.status));
}

TEST(BackupPolicy, GivesUpARunThatCannotBeginWithinItsDeadline) {
  auto one = policy("0 0 * * *");
  one.spec.starting_deadline_seconds = 3600;
  one.status.observed_generation = 1;
  one.status.last_schedule_time = at("2026-11-21T00:00:00Z");
  EXPECT_TRUE(plan(one, at("2026-11-22T01:00:00Z")).create);
  const Plan late = plan(one, at("2026-11-22T01:00:01Z"));
  EXPECT_FALSE(late.create);
  EXPECT_EQ(late.status.missed_runs, 1);
  EXPECT_TRUE(is_late(late.status));
  EXPECT_EQ(late.status.next_run_time, at("2026-11-23T00:00:00Z"));
  one.status = late.status;
  EXPECT_EQ(plan(one, at("2026-11-22T05:00:00Z")).status.missed_runs, 1);
}

TEST(BackupPolicy, ThatForbidsTwoAtOnceWaitsForTheOneThatRuns) {
  auto one = policy("@hourly");
  one.status.observed_generation = 1;
  one.status.last_schedule_time = at("2026-11-20T12:00:00Z");
  const std::vector<crds::Backup> running{run("montagu-base-20261120t1200z", nullptr, {})};
  const Plan waits = plan(one, at("2026-11-20T13:00:10Z"), running);
  EXPECT_FALSE(waits.create);
  EXPECT_EQ(waits.status.next_run_time, at("2026-11-20T13:00:00Z")) << "its lateness can be seen";
  EXPECT_EQ(waits.status.missed_runs, 0);
  one.status = waits.status;
  const Plan freed = plan(one, at("2026-11-20T13:20:00Z"),
                          {run("montagu-base-20261120t1200z", "Complete", at("2026-11-20T13:19:00Z"))});
  ASSERT_TRUE(freed.create);
  EXPECT_EQ(freed.create->metadata.name, "montagu-base-20261120t1300z");
  const Plan replaced = plan(one, at("2026-11-20T14:00:10Z"), running);
  EXPECT_FALSE(replaced.create);
  EXPECT_EQ(replaced.status.missed_runs, 1) << "the run of 13:00 gives its place to the one of 14:00";
  const std::string& why = crds::find_condition(replaced.status.conditions, "Late")->message;
  EXPECT_NE(why.find("the run before it was still going (Backup montagu-base-20261120t1200z"), std::string::npos)
      << why;
  one.spec.concurrency_policy = crds::ConcurrencyPolicy::Allow;
  EXPECT_TRUE(plan(one, at("2026-11-20T13:00:10Z"), running).create);
}

TEST(BackupPolicy, ThatIsSuspendedHasNoPastWhenItGoesOn) {
  auto one = policy("@hourly");
  one.status = plan(one, at("2026-11-20T12:00:05Z")).status;
  one.spec.suspend = true;
  one.metadata.generation = 2;
  one.status = plan(one, at("2026-11-20T12:30:00Z")).status;
  EXPECT_FALSE(one.status.next_run_time);
  EXPECT_EQ(crds::find_condition(one.status.conditions, "Ready")->reason, "Suspended");
  EXPECT_NE(crds::find_condition(one.status.conditions, "Ready")
                ->message.find("`kubectl --kubeconfig DATA/admin.kubeconfig patch backuppolicy "),
            std::string::npos);
  EXPECT_FALSE(plan(one, at("2026-11-20T15:00:00Z")).create);
  one.spec.suspend = false;
  one.metadata.generation = 3;
  const Plan resumed = plan(one, at("2026-11-20T15:30:00Z"));
  EXPECT_FALSE(resumed.create);
  EXPECT_EQ(resumed.status.missed_runs, 0);
  EXPECT_EQ(resumed.status.next_run_time, at("2026-11-20T16:00:00Z"));
}

TEST(BackupPolicy, ThatGoesOnAfterItsLastRunMakesNothingUpAtTheSecondLookEither) {
  auto one = policy("@hourly");
  const std::vector<crds::Backup> made{run("montagu-base-20261120t1200z", "Complete", at("2026-11-20T12:10:00Z"))};
  one.status = plan(one, at("2026-11-20T12:30:00Z"), made).status;
  one.spec.suspend = true;
  one.metadata.generation = 2;
  one.status = plan(one, at("2026-11-20T12:31:00Z"), made).status;
  one.spec.suspend = false;
  one.metadata.generation = 3;
  one.status = plan(one, at("2026-11-20T15:30:00Z"), made).status;
  const Plan second = plan(one, at("2026-11-20T15:30:01Z"), made);
  EXPECT_FALSE(second.create) << "its own status write wakes it";
  EXPECT_EQ(second.status.missed_runs, 0);
  EXPECT_EQ(second.status.next_run_time, at("2026-11-20T16:00:00Z"));
  one.status = second.status;
  const Plan due = plan(one, at("2026-11-20T16:00:00Z"), made);
  ASSERT_TRUE(due.create);
  EXPECT_EQ(due.create->metadata.name, "montagu-base-20261120t1600z");
  EXPECT_EQ(due.status.missed_runs, 0);
}

TEST(BackupPolicy, WithAChangedScheduleHasNoPastAtTheSecondLookEither) {
  auto one = policy("0 0 1 * *");
  const std::vector<crds::Backup> made{run("montagu-base-20261101t0000z", "Complete", at("2026-11-01T00:10:00Z"))};
  one.status = plan(one, at("2026-11-20T12:30:00Z"), made).status;
  one.spec.schedule.cron = "0 3 * * *";
  one.metadata.generation = 2;
  one.status = plan(one, at("2026-11-20T12:31:00Z"), made).status;
  const Plan second = plan(one, at("2026-11-20T12:31:01Z"), made);
  EXPECT_FALSE(second.create);
  EXPECT_EQ(second.status.missed_runs, 0);
  EXPECT_EQ(second.status.next_run_time, at("2026-11-21T03:00:00Z"));
}

TEST(BackupPolicy, OfAClockThatWasSetBackMakesNoRunTwice) {
  auto one = policy("@hourly");
  const std::vector<crds::Backup> made{run("montagu-base-20261120t1500z", "Complete", at("2026-11-20T15:10:00Z"))};
  one.status = plan(one, at("2026-11-20T15:30:00Z"), made).status;
  const Plan back = plan(one, at("2026-11-20T13:30:00Z"), made);
  EXPECT_FALSE(back.create);
  one.status = back.status;
  EXPECT_FALSE(plan(one, at("2026-11-20T15:00:00Z"), made).create);
  EXPECT_TRUE(plan(one, at("2026-11-20T16:00:00Z"), made).create);
}

TEST(BackupPolicy, OfAServerThatIsNotThereIsNotReadyAndItsRunsWait) {
  const auto one = policy("0 0 * * *");
  const Plan lost = plan_for(one, {}, read_schedule(one.spec.schedule),
                             fail(ErrorKind::NotFound, "there is no BarmanServer montagu"), at("2026-11-21T00:00:00Z"));
  EXPECT_TRUE(lost.create) << "it waits for the server";
  const auto* ready = crds::find_condition(lost.status.conditions, "Ready");
  EXPECT_EQ(ready->status, crds::ConditionStatus::False);
  EXPECT_EQ(ready->reason, "ReferenceNotFound");
  EXPECT_NE(ready->message.find("montagu"), std::string::npos);
  EXPECT_EQ(lost.look_again, at("2026-11-21T00:00:15Z"));
  EXPECT_TRUE(crds::is_true(plan(one, at("2026-11-21T00:00:15Z")).status.conditions, "Ready"));
}

TEST(BackupPolicy, WithAChangedScheduleBeginsNowButKeepsARunThatWasDue) {
  auto one = policy("@hourly");
  one.status = plan(one, at("2026-11-20T12:00:05Z")).status;
  one.spec.schedule.cron = "*/10 * * * *";
  one.metadata.generation = 2;
  const Plan changed = plan(one, at("2026-11-20T12:35:00Z"));
  EXPECT_FALSE(changed.create);
  EXPECT_EQ(changed.status.missed_runs, 0);
  EXPECT_EQ(changed.status.next_run_time, at("2026-11-20T12:40:00Z"));
  EXPECT_TRUE(plan(one, at("2026-11-20T13:05:00Z")).create) << "13:00 was due under both";
}

TEST(BackupPolicy, OfALostStoreDoesNotRepeatARunAndCatchesUpTheOneItOwes) {
  const auto one = policy("0 0 * * *", "UTC", "2026-11-22T09:00:00Z");  // read from its manifest just now
  const auto made = run("montagu-base-20261122t0000z", "Complete", at("2026-11-22T00:10:00Z"));
  EXPECT_FALSE(plan(one, at("2026-11-22T09:00:01Z"), {made}).create);
  const auto older = run("montagu-base-20261121t0000z", "Complete", at("2026-11-21T00:10:00Z"));
  const Plan owed = plan(one, at("2026-11-22T09:00:01Z"), {older});
  ASSERT_TRUE(owed.create);
  EXPECT_EQ(owed.create->metadata.name, "montagu-base-20261122t0000z");
}

TEST(BackupPolicy, TellsWhatItsBackupsCameTo) {
  auto one = policy("0 0 * * *");
  one.spec.objectives = crds::BackupObjectives{3600};
  const std::vector<crds::Backup> backups{run("a", "Complete", at("2026-11-20T13:00:00Z")),
                                          run("b", "Failed", at("2026-11-20T14:00:00Z")),
                                          run("c", "Complete", at("2026-11-20T12:30:00Z")), run("d", nullptr, {})};
  const auto status = plan(one, at("2026-11-20T13:30:00Z"), backups).status;
  EXPECT_EQ(status.last_success_time, at("2026-11-20T13:00:00Z"));
  EXPECT_EQ(status.last_failure_time, at("2026-11-20T14:00:00Z"));
  EXPECT_EQ(status.last_backup->name, "a");
  EXPECT_EQ(status.counts->succeeded, 2);
  EXPECT_EQ(status.counts->failed, 1);
  EXPECT_EQ(status.active, std::vector<std::string>{"d"});
  EXPECT_FALSE(crds::is_true(status.conditions, "TooOld"));
  const auto later = plan(one, at("2026-11-20T14:30:00Z"), backups).status;
  EXPECT_TRUE(crds::is_true(later.conditions, "TooOld"));
  EXPECT_NE(crds::find_condition(later.conditions, "TooOld")->message.find("`roadstead backup "), std::string::npos);
}

TEST(BackupPolicy, SaysWhatIsWrongWithItsSchedule) {
  const auto bad = policy("61 * * * *");
  const auto status = plan(bad, at("2026-11-20T13:30:00Z")).status;
  EXPECT_EQ(crds::find_condition(status.conditions, "Ready")->reason, "ScheduleInvalid");
  EXPECT_NE(crds::find_condition(status.conditions, "Ready")->message.find("spec.schedule.cron"), std::string::npos);
  const auto nowhere = policy("@daily", "Europe/Atlantis");
  EXPECT_NE(crds::find_condition(plan(nowhere, at("2026-11-20T13:30:00Z")).status.conditions, "Ready")
                ->message.find("spec.schedule.timeZone"),
            std::string::npos);
}

TEST(BackupPolicy, SaysThatItsScheduleMatchesNoDayAndWhereToCorrectIt) {
  const auto never = plan(policy("0 0 30 2 *"), at("2026-11-20T13:30:00Z"));
  EXPECT_FALSE(never.create);
  const auto* ready = crds::find_condition(never.status.conditions, "Ready");
  EXPECT_EQ(ready->status, crds::ConditionStatus::False);
  EXPECT_EQ(ready->reason, "NeverRuns");
  EXPECT_NE(ready->message.find("\"0 0 30 2 *\" matches no time"), std::string::npos);
  EXPECT_NE(ready->message.find("correct spec.schedule.cron"), std::string::npos);
  EXPECT_NE(ready->message.find("`roadstead apply -f` it"), std::string::npos);
  const auto corrected = plan(policy("0 0 28 2 *"), at("2026-11-20T13:30:00Z"));
  EXPECT_EQ(crds::find_condition(corrected.status.conditions, "Ready")->reason, "Scheduled");
}

crds::BackupPolicy jittered(const char* cron, std::int64_t seconds, const char* name = "montagu-base") {
  auto one = policy(cron);
  one.metadata.name = name;
  one.spec.schedule.jitter_seconds = seconds;
  return one;
}

/// The delay of the run that is scheduled for midnight after the policy was made.
std::chrono::seconds delay_of(const crds::BackupPolicy& one) {
  const Time begins = plan(one, at("2026-11-20T12:00:05Z")).status.next_run_time.value();
  return std::chrono::duration_cast<std::chrono::seconds>(begins - at("2026-11-21T00:00:00Z"));
}

TEST(Jitter, DelaysEachRunWithinItsBoundsAndSpreadsPoliciesOverThem) {
  std::chrono::seconds least{600}, most{0};
  for (int i = 0; i < 300; ++i) {
    const auto delay = delay_of(jittered("@daily", 600, fmt::format("policy-{}", i).c_str()));
    EXPECT_GE(delay, 0s);
    EXPECT_LE(delay, 600s);
    least = std::min(least, delay);
    most = std::max(most, delay);
  }
  EXPECT_LT(least, 30s);
  EXPECT_GT(most, 570s);
  auto elsewhere = jittered("@daily", 600);
  elsewhere.metadata.ns = "other";
  EXPECT_NE(delay_of(elsewhere), delay_of(jittered("@daily", 600))) << "the namespace counts too";
}

TEST(Jitter, BeginsARunWhenItsDelayIsOverUnderTheNameOfItsScheduledTimeAndCallsItNeitherLateNorMissed) {
  auto one = jittered("@daily", 600);
  const auto delay = delay_of(one);
  ASSERT_GT(delay, 120s) << "a name for which the delay would count as late if it were lateness";
  one.spec.starting_deadline_seconds = 60;
  one.status = plan(one, at("2026-11-20T12:00:05Z")).status;
  const Time begins = at("2026-11-21T00:00:00Z") + delay;
  EXPECT_EQ(one.status.next_run_time, begins);
  for (const Time early : {at("2026-11-21T00:00:00Z"), begins - 1ms}) {
    const Plan waits = plan(one, early);
    EXPECT_FALSE(waits.create);
    EXPECT_EQ(waits.status.next_run_time, begins);
    EXPECT_EQ(waits.look_again, begins);
    EXPECT_FALSE(is_late(waits.status));
    EXPECT_EQ(waits.status.missed_runs, 0);
    one.status = waits.status;
  }
  const Plan due = plan(one, begins);
  ASSERT_TRUE(due.create);
  EXPECT_EQ(due.create->metadata.name, "montagu-base-20261121t0000z");
  EXPECT_EQ(due.create->spec.scheduled_time, at("2026-11-21T00:00:00Z"));
  EXPECT_TRUE(due.events.empty()) << "on time";
  EXPECT_EQ(due.status.missed_runs, 0);
  EXPECT_TRUE(plan(one, begins + 60s).create) << "the deadline counts from when it begins";
  EXPECT_EQ(plan(one, begins + 60s + 1ms).status.missed_runs, 1);
  one.status = due.status;
  EXPECT_FALSE(plan(one, begins + 1s, {run("montagu-base-20261121t0000z", nullptr, {})}).create) << "once";
}

TEST(Jitter, IsTheSameAfterTheStoreWasLostAndRepeatsNothing) {
  auto one = jittered("@daily", 600);
  const Time begins = at("2026-11-21T00:00:00Z") + delay_of(one);
  one.metadata.creation_timestamp = at("2026-11-21T00:00:01Z");  // read from its manifest within the delay
  const auto before = run("montagu-base-20261120t0000z", "Complete", at("2026-11-20T00:10:00Z"));
  EXPECT_EQ(plan(one, at("2026-11-21T00:00:02Z"), {before}).status.next_run_time, begins);
  EXPECT_TRUE(plan(one, begins, {before}).create);
  const auto made = run("montagu-base-20261121t0000z", nullptr, {});
  const Plan again = plan(one, begins + 1s, {before, made});
  EXPECT_FALSE(again.create);
  EXPECT_GE(*again.status.next_run_time, at("2026-11-22T00:00:00Z"));
}

TEST(Jitter, LongerThanTheScheduleIsWideRunsEverythingOnceAndInOrder) {
  auto one = jittered("@hourly", 86400);
  std::vector<std::string> made, wanted;
  for (Time now = at("2026-11-20T12:00:00Z"); now < at("2026-11-22T12:00:00Z"); now += 1min) {
    Plan next = plan(one, now);
    if (next.create) {
      made.push_back(format_rfc3339(*next.create->spec.scheduled_time));
      EXPECT_LT(now - *next.create->spec.scheduled_time, 1h + 1min);
    }
    if (now > at("2026-11-20T12:00:00Z") && (now - at("2026-11-20T12:00:00Z")) % 1h == 0min)
      wanted.push_back(format_rfc3339(now));
    one.status = std::move(next.status);
    one.status.active.clear();
  }
  ASSERT_GE(made.size(), wanted.size() - 1) << "the last one may still be to come";
  wanted.resize(made.size());
  EXPECT_EQ(made, wanted);
  EXPECT_EQ(one.status.missed_runs, 0);
  EXPECT_FALSE(is_late(one.status));
}

TEST(Jitter, ThatWasAddedToAScheduleRepeatsNoRunThatWasMade) {
  auto one = jittered("@daily", 0);
  one.status = plan(one, at("2026-11-20T12:00:05Z")).status;
  one.status = plan(one, at("2026-11-21T00:00:00Z")).status;
  one.spec.schedule.jitter_seconds = 600;
  one.metadata.generation = 2;
  const auto made = run("montagu-base-20261121t0000z", "Complete", at("2026-11-21T00:00:30Z"));
  for (Time now = at("2026-11-21T00:01:00Z"); now < at("2026-11-21T00:11:00Z"); now += 10s) {
    const Plan next = plan(one, now, {made});
    EXPECT_FALSE(next.create);
    one.status = next.status;
  }
}

struct Night {
  const char* what;
  const char* cron;
  const char* from;               ///< UTC
  std::vector<const char*> runs;  ///< UTC, in order, until two days later.
};
void PrintTo(const Night& night, std::ostream* out) { *out << night.what; }
class ClockChanges : public testing::TestWithParam<Night> {};

TEST_P(ClockChanges, SkipNoRunAndRepeatNone) {
  auto one = policy(GetParam().cron, "Europe/London", GetParam().from);
  std::vector<std::string> made;
  for (Time now = at(GetParam().from); now < at(GetParam().from) + 48h; now += 5min) {
    Plan next = plan(one, now);
    if (next.create) made.push_back(format_rfc3339(*next.create->spec.scheduled_time));
    one.status = std::move(next.status);
    one.status.active.clear();
  }
  EXPECT_EQ(made, std::vector<std::string>(GetParam().runs.begin(), GetParam().runs.end())) << GetParam().what;
  EXPECT_EQ(one.status.missed_runs, 0);
}

INSTANTIATE_TEST_SUITE_P(London, ClockChanges,
                         testing::Values(Night{"spring, a time that exists every day",
                                               "0 4 * * *",
                                               "2026-03-28T12:00:00Z",
                                               {"2026-03-29T03:00:00Z", "2026-03-30T03:00:00Z"}},
                                         Night{"spring, a time that is skipped",
                                               "30 1 * * *",
                                               "2026-03-28T12:00:00Z",
                                               {"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
                                         Night{"autumn, a time that comes twice",
                                               "30 1 * * *",
                                               "2026-10-24T12:00:00Z",
                                               {"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
                                         Night{"autumn, midnight",
                                               "0 0 * * *",
                                               "2026-10-24T12:00:00Z",
                                               {"2026-10-24T23:00:00Z", "2026-10-26T00:00:00Z"}}));

}  // namespace
}  // namespace roadstead::reconcilers::backup_policy
