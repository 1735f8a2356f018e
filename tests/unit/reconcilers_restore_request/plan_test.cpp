// The decisions of a restore, each as a table: no engine, no clock.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/restore_request/choose.h"
#include "reconcilers/restore_request/end.h"
#include "reconcilers/restore_request/finish.h"
#include "reconcilers/restore_request/judge.h"
#include "reconcilers/restore_request/ledger.h"
#include "reconcilers/restore_request/mark.h"
#include "reconcilers/restore_request/order.h"
#include "reconcilers/restore_request/path.h"
#include "reconcilers/restore_request/replay.h"
#include "reconcilers/restore_request/take.h"
#include "reconcilers/support/pair.h"
#include "reconcilers/support/transfer.h"
#include "tests/unit/reconcilers_restore_request/good_probe.h"

namespace roadstead::reconcilers::restore {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const Time kNoon{std::chrono::seconds(1795392000)};

crds::RestoreRequest request(std::vector<std::string> items = {"db"}) {
  crds::RestoreRequest one;
  one.metadata.name = "uat-november";
  one.metadata.ns = "default";
  one.metadata.creation_timestamp = kNoon;
  one.spec.target.host_ref.name = "uat";
  for (const auto& name : items) {
    crds::RestoreItem item;
    item.name = name;
    item.from.barman = crds::BarmanRestoreSource{{"montagu"}, {.latest = true, .backup_id = {}}};
    item.to.volume = name + "_volume";
    one.spec.items.push_back(item);
  }
  one.spec.checks = {{"rows", crds::SqlCheck{}}};
  return one;
}

void succeed(crds::RestoreRequest& one, const StepRef& ref, std::string result = "{}") {
  (void)take(one, ref, Done{std::move(result), ""}, kNoon);
}

std::vector<std::string> names(const std::vector<StepRef>& path) {
  std::vector<std::string> out;
  for (const auto& ref : path) out.push_back(name_of(ref));
  return out;
}

TEST(Path, ProbesAndPinsEveryItemBeforeTheFirstIsTouched) {
  EXPECT_EQ(
      names(path_of(request({"a", "b"}))),
      (std::vector<std::string>{"a/probe", "b/probe",    "a/pin",      "b/pin",     "a/mark",   "a/prepare", "a/replay",
                                "a/copy",  "a/finish",   "b/mark",     "b/prepare", "b/replay", "b/copy",    "b/finish",
                                "stop",    "a/exchange", "b/exchange", "start",     "check",    "receipt"}));
}

TEST(Path, OfADryRunEndsWithTheProbe) {
  auto one = request();
  one.spec.dry_run = true;
  EXPECT_EQ(names(path_of(one)), std::vector<std::string>{"db/probe"});
}

struct WayOut {
  std::string until;  ///< The last step that succeeded before the end was decided.
  std::vector<std::string> path;
  bool exchanging = false;  ///< The step after it is an exchange whose mover was about to be made.
};
class WayOutOf : public ::testing::TestWithParam<WayOut> {};

TEST_P(WayOutOf, LeavesAllOldOrAllNewAndEverythingRunning) {
  auto one = request({"a", "b"});
  while (auto ref = current_step(one)) {
    if (ref->step == step::kStop) one.status.ledger.push_back({});
    succeed(one, *ref);
    if (name_of(*ref) == GetParam().until) break;
  }
  if (auto ref = current_step(one)) {
    auto& entry = begin(one.status, *ref, kNoon);
    if (GetParam().exchanging) entry.result = R"({"exchanging":true})";
  }
  EXPECT_EQ(past_cancelling(one.status),
            GetParam().path.front() == "a/putback" || GetParam().until == "b/exchange" || GetParam().until == "start");
  decide_end(one.status, "Failed", "Reason", "message", 1, kNoon);
  EXPECT_EQ(names(path_of(one)), GetParam().path);
}

INSTANTIATE_TEST_SUITE_P(
    Restore, WayOutOf,
    ::testing::Values(WayOut{"a/probe", {"receipt"}}, WayOut{"a/mark", {"receipt"}}, WayOut{"b/finish", {"receipt"}},
                      WayOut{"stop", {"restart", "receipt"}},                     // a's exchange only waited
                      WayOut{"stop", {"a/putback", "restart", "receipt"}, true},  // it may have happened
                      WayOut{"a/exchange", {"a/putback", "restart", "receipt"}},
                      WayOut{"a/exchange", {"a/putback", "b/putback", "restart", "receipt"}, true},
                      WayOut{"b/exchange", {"restart", "receipt"}},  // start had begun, and failed for good
                      WayOut{"start", {"receipt"}}),
    [](const auto& param) {
      std::string name = "After_" + param.param.until + (param.param.exchanging ? "_exchanging" : "");
      for (auto& c : name)
        if (c == '/') c = '_';
      return name;
    });

TEST(Take, BeforeAnythingIsTouchedAFailureOnlyBlocks) {
  auto one = request();
  const StepRef ref{"db", step::kProbe};
  for (int i = 0; i < 10; ++i) EXPECT_EQ(take(one, ref, Retry{"Bad", "it broke", "mend it"}, kNoon), kBlockedRetry);
  EXPECT_FALSE(is_ending(one.status));
  EXPECT_EQ(crds::find_condition(one.status.conditions, "Blocked")->message, "it broke; mend it");
}

TEST(Take, KeepsFinishedEntriesAndCountsFailuresToThree) {
  auto one = request();
  const StepRef ref{"db", step::kMark};
  EXPECT_EQ(take(one, ref, Retry{"Bad", "it broke", "mend it"}, kNoon), Millis{5'000});
  EXPECT_EQ(take(one, ref, Retry{"Bad", "it broke", "mend it"}, kNoon), Millis{20'000});
  EXPECT_FALSE(is_ending(one.status));
  EXPECT_EQ(take(one, ref, Retry{"Bad", "it broke", "mend it"}, kNoon), std::nullopt);
  EXPECT_TRUE(is_ending(one.status));
  ASSERT_EQ(one.status.steps.size(), 3u);
  EXPECT_EQ(one.status.steps[2].attempt, 3);
  finish(one, kNoon);
  EXPECT_EQ(phase_of(one), crds::RestorePhase::Failed);
  EXPECT_EQ(crds::find_condition(one.status.conditions, "Failed")->message, "it broke; mend it");
}

TEST(Take, AReceiptIsTriedUntilItIsWritten) {
  auto one = request();
  const StepRef ref{{}, step::kReceipt};
  for (int i = 0; i < 10; ++i) EXPECT_EQ(take(one, ref, Retry{"Bad", "it broke", ""}, kNoon), kBlockedRetry);
  EXPECT_FALSE(is_ending(one.status));
  EXPECT_EQ(one.status.steps.size(), 1u);
}

TEST(Take, ALostHostBecomesAConditionAndIsForgottenWhenItAnswers) {
  auto one = request();
  const StepRef ref{"db", step::kProbe};
  EXPECT_EQ(take(one, ref, Unreachable{"uat", "connection refused", false}, kNoon), kHostRetry);
  EXPECT_EQ(crds::find_condition(one.status.conditions, "TargetReachable")->reason, "HostUnavailable");
  (void)take(one, ref, Working{"goes on", Millis{1000}, {}}, kNoon);
  EXPECT_TRUE(crds::is_true(one.status.conditions, "TargetReachable"));
}

TEST(Phase, FollowsTheSteps) {
  using P = crds::RestorePhase;
  auto one = request();
  EXPECT_EQ(phase_of(one), P::Pending);
  const std::map<std::string, P> wanted{
      {"db/probe", P::Planning},    {"db/pin", P::Planning}, {"db/mark", P::Preparing}, {"db/prepare", P::Preparing},
      {"db/replay", P::Preparing},  {"db/copy", P::Copying}, {"db/finish", P::Copying}, {"stop", P::Stopping},
      {"db/exchange", P::Swapping}, {"start", P::Starting},  {"check", P::Checking},    {"receipt", P::Checking}};
  while (auto ref = current_step(one)) {
    (void)begin(one.status, *ref, kNoon);
    EXPECT_EQ(phase_of(one), wanted.at(name_of(*ref))) << name_of(*ref);
    (void)take(one, *ref, Blocked{"Why", "because", Millis{1}}, kNoon);
    EXPECT_EQ(phase_of(one), P::Blocked);
    succeed(one, *ref);
  }
  finish(one, kNoon);
  EXPECT_EQ(phase_of(one), P::Succeeded);
}

TEST(SpecHash, StaysTheSameWhereTheSpecMayChange) {
  auto one = request();
  const auto before = spec_hash(one);
  one.spec.cancel = true;
  one.spec.confirm = crds::RestoreConfirmation{"uat", {"db_volume"}};
  one.spec.suspend = one.spec.rollback = true;
  one.spec.keep_previous_seconds = 0;
  EXPECT_EQ(spec_hash(one), before);
  one.spec.items[0].to.volume = "other";
  EXPECT_NE(spec_hash(one), before);
}

TEST(Progress, NeverGoesBackwardsAndNeverShowsAPercentWithoutATotal) {
  crds::Progress before, now;
  before.bytes_done = 80;
  before.bytes_total = 100;
  before.percent = 80;
  now.bytes_done = 10;
  EXPECT_EQ(merged(before, now).percent, 80);
  EXPECT_EQ(merged(before, now).bytes_done, 80);
  now.bytes_total = 200;  // the total grows: the percent holds
  EXPECT_EQ(merged(before, now).percent, 80);
  EXPECT_FALSE(merged({}, crds::Progress{.phase = {},
                                         .bytes_done = 5,
                                         .bytes_total = {},
                                         .percent = {},
                                         .bytes_per_second = {},
                                         .eta_seconds = {}})
                   .percent);
}

struct ServeCase {
  bool source_ports, target_ports;
  Serving who;
};
class Serves : public ::testing::TestWithParam<ServeCase> {};
TEST_P(Serves, TheHostWithPorts) {
  crds::Host source, target;
  source.metadata.name = "annex2";
  target.metadata.name = "uat";
  if (GetParam().source_ports) source.spec.data = crds::DataAccess{"10.0.0.2", "1-2"};
  if (GetParam().target_ports) target.spec.data = crds::DataAccess{"10.0.0.3", "1-2"};
  EXPECT_EQ(serving_side(source, target), GetParam().who);
  EXPECT_EQ(serving_side(source, source), Serving::Local);
}
INSTANTIATE_TEST_SUITE_P(Restore, Serves,
                         ::testing::Values(ServeCase{true, false, Serving::Source},
                                           ServeCase{false, true, Serving::Target},
                                           ServeCase{true, true, Serving::Source},
                                           ServeCase{false, false, Serving::Nobody}));

struct RefusalCase {
  std::string name;
  std::function<void(crds::RestoreRequest&, ProbeSeen&)> change;
  std::string reason, words;
};
class Refuses : public ::testing::TestWithParam<RefusalCase> {};

ProbeSeen good_database_probe() { return good_probe("db_volume", "20261101T000003"); }

TEST_P(Refuses, WithTheReasonAndWhatToDo) {
  auto one = request();
  auto seen = good_database_probe();
  EXPECT_TRUE(judge(one, one.spec.items[0], seen).refusals.empty());
  GetParam().change(one, seen);
  const auto judged = judge(one, one.spec.items[0], seen);
  ASSERT_EQ(judged.refusals.size(), 1u);
  EXPECT_EQ(judged.refusals[0].reason, GetParam().reason);
  EXPECT_THAT(judged.refusals[0].message, HasSubstr(GetParam().words));
  EXPECT_EQ(judged.plan.refusals.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    Restore, Refuses,
    ::testing::Values(RefusalCase{"Protected", [](auto&, auto& seen) { seen.target.spec.is_protected = true; },
                                  "ConfirmationRequired", "confirm: {host: uat, volumes: [db_volume]}"},
                      RefusalCase{"ConfirmedForAnotherVolume",
                                  [](auto& one, auto& seen) {
                                    seen.target.spec.is_protected = true;
                                    one.spec.confirm = crds::RestoreConfirmation{"uat", {"other"}};
                                  },
                                  "ConfirmationRequired", "protected"},
                      RefusalCase{"NoBackup",
                                  [](auto&, auto& seen) {
                                    seen.backup_id.clear();
                                    seen.backup_problem = "there is none";
                                  },
                                  "NoBackup", "there is none"},
                      RefusalCase{"Gap", [](auto&, auto& seen) { seen.wal_gaps = {"000000010000000000000002"}; },
                                  "WalGap", "000000010000000000000002"},
                      RefusalCase{"NoPorts", [](auto&, auto& seen) { seen.source.spec.data->ports.reset(); },
                                  "NoDataPath", "spec.data.ports"},
                      RefusalCase{"Driver",
                                  [](auto& one, auto& seen) {
                                    one.spec.strategy = crds::RestoreStrategy::Staged;
                                    seen.volume_driver = "nfs";
                                  },
                                  "VolumeUnsupported", "nfs"},
                      RefusalCase{"Options",
                                  [](auto& one, auto& seen) {
                                    one.spec.strategy = crds::RestoreStrategy::Staged;
                                    seen.volume_has_options = true;
                                  },
                                  "VolumeUnsupported", "options"},
                      RefusalCase{"MountPoint",
                                  [](auto& one, auto& seen) {
                                    one.spec.strategy = crds::RestoreStrategy::Staged;
                                    seen.data_is_mount_point = true;
                                  },
                                  "VolumeUnsupported", "mount point"},
                      RefusalCase{"OtherDevice",
                                  [](auto& one, auto& seen) {
                                    one.spec.strategy = crds::RestoreStrategy::Staged;
                                    seen.data_on_parent_device = false;
                                  },
                                  "VolumeUnsupported", "mount point"},
                      RefusalCase{"AutoRemove",
                                  [](auto&, auto& seen) {
                                    Application one;
                                    one.name = "db";
                                    one.runs = one.mounts_target = one.auto_remove = true;
                                    seen.applications = {one};
                                  },
                                  "AutoRemove", "container db"},
                      RefusalCase{"LeftOver",
                                  [](auto&, auto& seen) { seen.other_marks = {"restore a/b was left unfinished"}; },
                                  "UnfinishedRestore", "a/b"},
                      RefusalCase{"NoRoom",
                                  [](auto& one, auto& seen) {
                                    one.spec.strategy = crds::RestoreStrategy::Staged;
                                    seen.free_bytes = 499;
                                  },
                                  "NoRoom", "500 and 499 bytes"}),
    [](const auto& param) { return param.param.name; });

TEST(ChooseBackup, TakesTheNewestFullOneThatIsDone) {
  const auto backup = [](std::string id, std::string status, std::string type) {
    crds::CatalogBackup one;
    one.id = std::move(id);
    one.status = std::move(status);
    one.type = std::move(type);
    return one;
  };
  const std::vector<crds::CatalogBackup> all{
      backup("20261104T0", "STARTED", "full"), backup("20261103T0", "DONE", "incremental"),
      backup("20261102T0", "DONE", "full"), backup("20261101T0", "DONE", "full")};
  EXPECT_EQ(choose_backup({.latest = true, .backup_id = {}}, "montagu", all).backup->id, "20261102T0");
  EXPECT_EQ(choose_backup({.latest = false, .backup_id = "20261101T0"}, "montagu", all).backup->id, "20261101T0");
  EXPECT_THAT(choose_backup({.latest = false, .backup_id = "20261104T0"}, "montagu", all).problem,
              HasSubstr("STARTED"));
  EXPECT_THAT(choose_backup({.latest = false, .backup_id = "20261103T0"}, "montagu", all).problem,
              HasSubstr("incremental"));
  EXPECT_THAT(choose_backup({.latest = false, .backup_id = "x"}, "montagu", all).problem, HasSubstr("has no backup x"));
  EXPECT_THAT(choose_backup({.latest = true, .backup_id = {}}, "montagu", {}).problem,
              HasSubstr("no good full backup"));
}

TEST(FirstBefore, TheOneThatHasBegunElseTheEarlier) {
  auto first = request(), second = request();
  second.metadata.name = "second";
  second.metadata.creation_timestamp = kNoon + std::chrono::seconds(1);
  EXPECT_EQ(first_before(second, {first, second})->metadata.name, "uat-november");
  EXPECT_EQ(first_before(first, {first, second}), nullptr);
  (void)begin(second.status, {"db", step::kMark}, kNoon);
  EXPECT_EQ(first_before(first, {first, second})->metadata.name, "second");
  EXPECT_EQ(first_before(second, {first, second}), nullptr) << "what has begun does not wait for what has not";
  // Another volume, but the same recover volume, until it is copied.
  auto other = request({"x"});
  other.metadata.name = "other";
  EXPECT_NE(first_before(other, {second}), nullptr);
  succeed(second, {"db", step::kCopy});
  EXPECT_EQ(first_before(other, {second}), nullptr);
}

TEST(FirstBefore, OfTwoThatHaveBegunOneGoesOn) {
  auto first = request(), second = request();
  second.metadata.name = "second";
  second.metadata.creation_timestamp = kNoon + std::chrono::seconds(1);
  for (auto* one : {&first, &second}) (void)begin(one->status, {"db", step::kMark}, kNoon);
  EXPECT_EQ(first_before(first, {first, second}), nullptr);
  EXPECT_EQ(first_before(second, {first, second})->metadata.name, "uat-november");
}

TEST(Keep, IsReleasedByTheLastOfThoseThatSharedIt) {
  auto first = request(), second = request();
  second.metadata.name = "second";
  crds::PinnedSource pinned;
  pinned.item = "db";
  pinned.backup_root_id = "20261101T000003";
  pinned.keep_set = true;
  first.status.pinned = {pinned};
  const auto kept = [&](const std::string& backup) {
    return kept_by_another(second, {first, second}, first.spec.items[0].from.barman->server_ref.name, backup);
  };
  EXPECT_TRUE(kept("20261101T000003")) << "who pins it now sets it too, and releases it if it ends last";
  EXPECT_FALSE(kept("20261001T000003"));
  first.status.pinned[0].keep_set = false;  // somebody else's protection: never released
  EXPECT_FALSE(kept("20261101T000003"));
}

TEST(WalSegments, TellTheirSizeByTheBackupsFirstPosition) {
  const auto size = [](const char* lsn, const char* segment) {
    crds::CatalogBackup backup;
    backup.begin_lsn = lsn;
    backup.begin_wal = segment;
    return segment_bytes_of(backup) >> 20;
  };
  EXPECT_EQ(size("0/28000028", "000000010000000000000028"), 16u);
  EXPECT_EQ(size("3A/7F000110", "000000010000003A0000007F"), 16u);
  EXPECT_EQ(size("3A/7C000110", "000000010000003A0000001F"), 64u);
  EXPECT_EQ(size("1/00300028", "000000010000000100000003"), 1u);
  EXPECT_EQ(size("", "000000010000000100000003"), 16u);
}

TEST(Ledger, HoldsWhatRanOnceAndInTheOrderOfStopping) {
  auto one = request();
  one.spec.applications.stop.compose_projects = {"montagu"};
  one.spec.applications.stop.containers = {"cron"};
  const auto app = [](std::string name, bool runs, bool mounts, std::optional<crds::ComposeIdentity> compose = {}) {
    Application a;
    a.name = std::move(name);
    a.runs = runs;
    a.mounts_target = mounts;
    a.compose = std::move(compose);
    return a;
  };
  const auto stops =
      to_stop(one, {app("db", true, true), app("web", true, false, crds::ComposeIdentity{"montagu", "web", 1}),
                    app("cron", true, false), app("stopped", false, true), app("bystander", true, false)});
  ASSERT_EQ(stops.size(), 3u);
  EXPECT_EQ(stops[2].name, "db") << "what mounts the volume is stopped last";
  std::vector<crds::LedgerEntry> ledger;
  EXPECT_TRUE(extend_ledger(ledger, stops));
  EXPECT_FALSE(extend_ledger(ledger, stops));
  EXPECT_EQ(in_start_order(ledger).front()->name, "db") << "and started first, before those that need it";
  EXPECT_EQ(in_start_order(ledger).back()->name, stops[0].name);
  auto renamed = app("montagu-web-1", true, false, crds::ComposeIdentity{"montagu", "web", 1});
  EXPECT_FALSE(extend_ledger(ledger, {renamed})) << "compose made it anew under another name";
  EXPECT_EQ(parse_restart_policy("on-failure:5").maximum, 5);
}

TEST(Replay, OnlyPgControldataSaysThatItIsDone) {
  crds::PinnedSource pinned;
  pinned.target = crds::TargetKind::Name;
  pinned.target_lsn = "1/E000158";
  const auto data = [](const char* state, const char* lsn, const char* begin) {
    return fmt::format(R"({{"state":"{}","minRecoveryLSN":"{}","backupStartLSN":"{}"}})", state, lsn, begin);
  };
  EXPECT_TRUE(std::holds_alternative<Done>(judge_replay(pinned, data("shut down in recovery", "1/E000158", "0/0"))));
  EXPECT_TRUE(std::holds_alternative<Failed>(judge_replay(pinned, data("shut down in recovery", "1/E000157", "0/0"))));
  EXPECT_TRUE(std::holds_alternative<Failed>(judge_replay(pinned, data("in archive recovery", "1/F000000", "0/0"))));
  EXPECT_TRUE(std::holds_alternative<Failed>(judge_replay(pinned, data("shut down", "1/F000000", "0/0"))));
  EXPECT_TRUE(std::holds_alternative<Failed>(judge_replay(pinned, "{}")));
  pinned.target = crds::TargetKind::Immediate;
  pinned.target_lsn.clear();
  EXPECT_TRUE(std::holds_alternative<Done>(judge_replay(pinned, data("shut down in recovery", "1/E000158", "0/0"))));
  EXPECT_TRUE(
      std::holds_alternative<Failed>(judge_replay(pinned, data("shut down in recovery", "1/E000158", "1/D000028"))));
}

TEST(Replay, OnlyTheSegmentsThatRecoveryReadsAreCopied) {
  const auto keep = wal_to_keep(
      R"({"minRecoveryLSN":"0/C1895C8","minRecoveryTimeline":1,"redoWalFile":"00000001000000000000000B","walSegmentBytes":16777216})");
  ASSERT_TRUE(keep);
  EXPECT_EQ(keep->first, "00000001000000000000000B");
  EXPECT_EQ(keep->last, "00000001000000000000000C");
  EXPECT_FALSE(wal_to_keep("{}"));
}

TEST(RecoverySettings, NameThePointAgainAndKeepOffProduction) {
  crds::PinnedSource pinned;
  pinned.target_name = "roadstead-7f3a-1";
  const auto elsewhere = recovery_settings(pinned, false);
  EXPECT_THAT(elsewhere, HasSubstr("recovery_target_name = 'roadstead-7f3a-1'\n"));
  EXPECT_THAT(elsewhere, HasSubstr("restore_command = 'false'\n"));
  EXPECT_THAT(elsewhere, HasSubstr("archive_mode = off\n"));
  EXPECT_THAT(recovery_settings(pinned, true), Not(HasSubstr("archive_mode")));
  pinned.target = crds::TargetKind::EndOfWal;
  EXPECT_THAT(recovery_settings(pinned, false), HasSubstr("recovery_target = 'immediate'\n"));
  EXPECT_THAT(recovery_settings(pinned, false), Not(HasSubstr("recovery_target_name")));
}

TEST(Mark, SaysTheSameAfterItWasWrittenAndRead) {
  auto one = request();
  crds::PinnedSource pinned;
  pinned.item = "db";
  pinned.backup_id = "20261101T000003";
  pinned.target_name = "roadstead-7f3a-1";
  pinned.keep_set = true;
  one.status.pinned = {pinned};
  one.status.ledger.resize(1);
  one.status.ledger[0].name = "montagu-db";
  one.status.ledger[0].restart_policy = "on-failure:5";
  one.status.marks = {{"db", "db_volume", "Stopping", 11, 12}};
  auto mark = parse_mark(to_json(mark_of(one, one.spec.items[0], "default", MarkState::Stopping)));
  ASSERT_TRUE(mark) << mark.error().message;
  EXPECT_EQ(mark->spec_hash, spec_hash(one));
  EXPECT_EQ(mark->state, MarkState::Stopping);
  EXPECT_EQ(mark->pinned->target_name, "roadstead-7f3a-1");
  EXPECT_TRUE(mark->pinned->keep_set);
  EXPECT_EQ(mark->ledger.at(0).restart_policy, "on-failure:5");
  EXPECT_EQ(mark->old_inode, 11u);
  EXPECT_EQ(mark->new_inode, 12u);
  EXPECT_FALSE(parse_mark("nonsense"));
}

struct RecallCase {
  std::string name;
  MarkState state;
  std::uint64_t data_inode;
  bool other_spec;
  Recalled::What what;
  std::string next;  ///< The step it goes on with.
};
TEST(Recall, TheMarkOfAnotherInstallationIsNotTaken) {
  auto before = request();
  for (const auto state : {MarkState::Preparing, MarkState::Receipt}) {
    const FoundMark found{"db", mark_of(before, before.spec.items[0], "another", state), 0};
    auto fresh = request();
    const auto recalled = recall(fresh, "default", {found}, kNoon);
    EXPECT_EQ(recalled.what, Recalled::What::Foreign);
    EXPECT_THAT(recalled.message, ::testing::HasSubstr("installation \"another\""));
    EXPECT_TRUE(fresh.status.steps.empty());
  }
}

class Recall : public ::testing::TestWithParam<RecallCase> {};
TEST_P(Recall, GoesOnWhereTheMarkSays) {
  auto before = request();
  crds::PinnedSource pinned;
  pinned.item = "db";
  before.status.pinned = {pinned};
  before.status.marks = {{"db", "db_volume", "Stopping", 11, 12}};
  before.status.ledger.resize(1);
  FoundMark found{"db", mark_of(before, before.spec.items[0], "default", GetParam().state), GetParam().data_inode};
  if (GetParam().state == MarkState::Receipt) found.mark.receipt = crds::Receipt{"Succeeded", kNoon, {}};
  if (GetParam().other_spec) found.mark.spec_hash = "another";
  auto fresh = request();
  EXPECT_EQ(recall(fresh, "default", {found}, kNoon).what, GetParam().what);
  if (GetParam().what == Recalled::What::AlreadyDone)
    EXPECT_TRUE(crds::is_finished(fresh.status));
  else
    EXPECT_EQ(name_of(*current_step(fresh)), GetParam().next);
}
INSTANTIATE_TEST_SUITE_P(
    Restore, Recall,
    ::testing::Values(
        RecallCase{"Preparing", MarkState::Preparing, 0, false, Recalled::What::GoesOn, "db/prepare"},
        RecallCase{"StoppingNotExchanged", MarkState::Stopping, 11, false, Recalled::What::GoesOn, "stop"},
        RecallCase{"StoppingExchanged", MarkState::Stopping, 12, false, Recalled::What::GoesOn, "start"},
        RecallCase{"Receipt", MarkState::Receipt, 0, false, Recalled::What::AlreadyDone, ""},
        RecallCase{"ReceiptOfAnEarlierOne", MarkState::Receipt, 0, true, Recalled::What::Nothing, "db/probe"},
        RecallCase{"UnfinishedOfAnother", MarkState::Stopping, 11, true, Recalled::What::Foreign, "db/probe"}),
    [](const auto& param) { return param.param.name; });

TEST(Transfer, EachAttemptHasItsOwnKeyAndNeedsNoMemory) {
  const ObjectKey owner{"RestoreRequest", "default", "uat-november"};
  const auto first = transfer_name("default", owner, "db", "copy", 1),
             second = transfer_name("default", owner, "db", "copy", 2);
  EXPECT_NE(first, second);
  EXPECT_EQ(transfer_key("secret", first, "n"), transfer_key("secret", first, "n"));
  EXPECT_NE(transfer_key("secret", first, "n"), transfer_key("secret", second, "n"));
  EXPECT_NE(transfer_key("secret", first, "n"), transfer_key("other secret", first, "n"));
  EXPECT_NE(transfer_key("secret", first, "n"), transfer_key("secret", first, "m"));
  EXPECT_EQ(transfer_key("secret", first, "n").size(), 64u);
  EXPECT_LE(
      transfer_name("default", {"RestoreRequest", std::string(63, 'n'), std::string(200, 'x')}, "db", "copy", 1).size(),
      128u);
}

}  // namespace
}  // namespace roadstead::reconcilers::restore
