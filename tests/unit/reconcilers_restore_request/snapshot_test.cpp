// Which snapshot is restored, and how its volume gets it, each as a table: no engine, no clock.

#include "reconcilers/restore_request/snapshot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/restore_request/judge.h"
#include "reconcilers/restore_request/record.h"
#include "reconcilers/restore_request/take.h"
#include "tests/unit/reconcilers_restore_request/good_probe.h"

namespace roadstead::reconcilers::restore {
namespace {

using crds::RestoreStrategy;
using std::chrono::hours;
using ::testing::HasSubstr;

const Time kNoon{std::chrono::seconds(1795392000)};

crds::RestoreRequest request() {
  crds::RestoreRequest one;
  one.metadata.name = "uat-november";
  one.metadata.ns = "default";
  one.spec.target.host_ref.name = "uat";
  crds::RestoreItem item;
  item.name = "files";
  item.from.backup_policy_ref = crds::NameRef{"outpack"};
  item.from.volume = item.to.volume = "outpack";
  one.spec.items = {item};
  return one;
}

crds::BackupPolicy policy(const std::string& name, const std::string& source, std::vector<std::string> destinations) {
  crds::BackupPolicy one;
  one.metadata.name = name;
  one.spec.source.host_ref = crds::NameRef{source};
  one.spec.source.volumes = {{"outpack", {}}};
  for (const auto& host : destinations) one.spec.destinations.push_back({{host}});
  return one;
}

crds::Backup backup(const std::string& name, std::vector<crds::BackupSnapshot> snapshots) {
  crds::Backup one;
  one.metadata.name = name;
  one.spec.policy_ref = crds::NameRef{"outpack"};
  one.status.snapshots = std::move(snapshots);
  return one;
}

crds::BackupSnapshot snapshot(const std::string& host, const std::string& volume, const std::string& id) {
  crds::BackupSnapshot one;
  one.host = host;
  one.source_host = "production2";
  one.volume = volume;
  one.id = id;
  return one;
}

using Places = std::vector<SnapshotPlace>;

TEST(Wanted, OfAPolicyIsAskedOfItsDestinationsTheTargetFirst) {
  const auto one = request();
  const auto wanted =
      wanted_snapshot(one, one.spec.items[0], {policy("outpack", "production2", {"annex2", "uat", "far"})}, {});
  EXPECT_EQ(wanted.places, (Places{{"uat", "production2", "outpack"},
                                   {"annex2", "production2", "outpack"},
                                   {"far", "production2", "outpack"}}));
  EXPECT_TRUE(wanted.ids.empty());
  EXPECT_EQ(wanted.policies, std::vector<std::string>{"outpack"});
}

TEST(Wanted, OfAPolicyThatIsGoneIsAskedWhereItsBackupsSay) {
  const auto one = request();
  const auto wanted = wanted_snapshot(
      one, one.spec.items[0], {},
      {backup("a", {snapshot("annex2", "outpack", "default.a"), snapshot("annex2", "other", "default.a")}),
       backup("b", {snapshot("annex2", "outpack", "default.b")})});
  EXPECT_EQ(wanted.places, (Places{{"annex2", "production2", "outpack"}}));
  EXPECT_EQ(wanted.problem, "");
}

TEST(Wanted, OfAnOffSiteCopyIsAskedForWhatTheCopiedPoliciesMade) {
  auto one = request();
  one.spec.items[0].from.backup_policy_ref = crds::NameRef{"offsite"};
  auto copy = policy("offsite", "annex2", {"far"});
  copy.spec.source.volumes.clear();
  copy.spec.source.repository = crds::RepositorySource{{{"outpack"}}};
  const auto wanted = wanted_snapshot(one, one.spec.items[0], {copy, policy("outpack", "production2", {"annex2"})}, {});
  EXPECT_EQ(wanted.places, (Places{{"far", "production2", "outpack"}}));
  EXPECT_EQ(wanted.policies, (std::vector<std::string>{"offsite", "outpack"}));
}

TEST(Wanted, OfOneNameFromSeveralHostsIsRefusedWithThePolicyThatMakesEach) {
  auto one = request();
  one.spec.items[0].from.backup_policy_ref = crds::NameRef{"offsite"};
  auto copy = policy("offsite", "annex2", {"far"});
  copy.spec.source.volumes.clear();
  copy.spec.source.repository = crds::RepositorySource{{{"outpack"}, {"outpack-uat"}}};
  std::vector<crds::BackupPolicy> policies{copy, policy("outpack", "production2", {"annex2"}),
                                           policy("outpack-uat", "uat", {"annex2"})};
  EXPECT_THAT(wanted_snapshot(one, one.spec.items[0], policies, {}).problem,
              HasSubstr("from hosts production2, uat; name the policy that makes those you mean in "
                        "from.backupPolicyRef of a new request: outpack (host production2), outpack-uat (host uat)"));
  auto from_uat = snapshot("far", "outpack", "default.b");
  from_uat.source_host = "uat";
  auto by_name = request();
  by_name.spec.items[0].from.backup_policy_ref.reset();
  by_name.spec.items[0].from.backup_ref = crds::NameRef{"weekly"};
  EXPECT_THAT(wanted_snapshot(by_name, by_name.spec.items[0], policies,
                              {backup("weekly", {snapshot("far", "outpack", "default.a"), from_uat})})
                  .problem,
              HasSubstr("Backup weekly holds snapshots of volume outpack from hosts production2, uat"));
  policies[2].spec.source.volumes = {{"logs", {}}};
  EXPECT_EQ(wanted_snapshot(one, one.spec.items[0], policies, {}).problem, "") << "only one of them has that volume";
}

TEST(Wanted, OfAChosenHostIsAskedThere) {
  auto one = request();
  one.spec.items[0].from.host_ref = crds::NameRef{"far"};
  EXPECT_EQ(wanted_snapshot(one, one.spec.items[0], {policy("outpack", "production2", {"annex2", "uat"})}, {}).places,
            (Places{{"far", "production2", "outpack"}}));
}

TEST(Wanted, OfABackupIsItsOwnSnapshot) {
  auto one = request();
  auto& from = one.spec.items[0].from;
  from = {};
  from.backup_ref = crds::NameRef{"a"};
  const auto single =
      wanted_snapshot(one, one.spec.items[0], {}, {backup("a", {snapshot("annex2", "outpack", "x.a")})});
  EXPECT_EQ(single.places, (Places{{"annex2", "production2", "outpack"}}));
  EXPECT_EQ(single.ids, std::vector<std::string>{"x.a"});
  const auto two = backup("a", {snapshot("annex2", "outpack", "x.a"), snapshot("annex2", "logs", "x.a")});
  EXPECT_THAT(wanted_snapshot(one, one.spec.items[0], {}, {two}).problem, HasSubstr("holds volumes logs, outpack"));
  from.volume = "logs";
  const auto named = wanted_snapshot(one, one.spec.items[0], {}, {two});
  EXPECT_EQ(named.places, (Places{{"annex2", "production2", "logs"}}));
  EXPECT_EQ(named.problem, "");
}

TEST(Wanted, SaysWhatToDoWhereThereIsNothingToAskFor) {
  auto one = request();
  const auto& item = one.spec.items[0];
  EXPECT_THAT(wanted_snapshot(one, item, {}, {}).problem, HasSubstr("there is no BackupPolicy outpack"));
  auto base = policy("outpack", "production2", {});
  base.spec.source = {};
  base.spec.source.barman = crds::BarmanBackupSource{{"montagu"}, {}};
  EXPECT_THAT(wanted_snapshot(one, item, {base}, {}).problem, HasSubstr("serverRef: {name: montagu}"));
  one.spec.items[0].from = {};
  one.spec.items[0].from.backup_ref = crds::NameRef{"a"};
  EXPECT_THAT(wanted_snapshot(one, item, {}, {}).problem, HasSubstr("there is no Backup a"));
  auto of_barman = backup("a", {});
  of_barman.status.barman = crds::BarmanBackupResult{};
  of_barman.status.barman->backup_id = "20261101T000003";
  EXPECT_THAT(wanted_snapshot(one, item, {}, {of_barman}).problem, HasSubstr("backupID: 20261101T000003"));
  EXPECT_THAT(wanted_snapshot(one, item, {}, {backup("a", {})}).problem, HasSubstr("holds no snapshot"));
}

SnapshotFound found(const std::string& id, hours age, std::uint64_t unreadable = 0,
                    const std::string& installation = "default", const std::string& by = "outpack") {
  SnapshotFound one{{"annex2", "production2", "outpack"}, {}};
  one.seen.id = id;
  one.seen.origin = mover::to_json(mover::Origin{installation, "default", id, by, "production2", "outpack", {}});
  one.seen.data_as_of = kNoon - age;
  one.seen.unreadable.count = unreadable;
  return one;
}

WantedSnapshot wanted() {
  WantedSnapshot one;
  one.places = {{"annex2", "production2", "outpack"}};
  one.policies = {"outpack"};
  return one;
}

TEST(ChooseSnapshot, TakesTheNewestGoodOneOfThisPolicyAndInstallation) {
  const std::vector<SnapshotFound> there{found("old", hours(20)), found("new", hours(5)), found("holes", hours(4), 3),
                                         found("theirs", hours(3), 0, "another"),
                                         found("other", hours(2), 0, "default", "logs")};
  EXPECT_EQ(choose_snapshot(wanted(), there, "default", "default").found->seen.id, "new");
  auto as_of = wanted();
  as_of.as_of = kNoon - hours(5);
  EXPECT_EQ(choose_snapshot(as_of, there, "default", "default").found->seen.id, "new") << "not after it";
  as_of.as_of = kNoon - hours(6);
  EXPECT_EQ(choose_snapshot(as_of, there, "default", "default").found->seen.id, "old");
  as_of.as_of = kNoon - hours(30);
  EXPECT_THAT(choose_snapshot(as_of, there, "default", "default").problem, HasSubstr("after from.asOf"));
  auto named = wanted();
  named.ids = {"holes"};
  EXPECT_EQ(choose_snapshot(named, there, "default", "default").found->seen.id, "holes") << "asked for by its name";
  named.ids = {"gone"};
  EXPECT_THAT(choose_snapshot(named, there, "default", "default").problem, HasSubstr("no snapshot gone"));
  EXPECT_THAT(choose_snapshot(wanted(), {}, "default", "default").problem, HasSubstr("roadstead backup outpack"));
  EXPECT_THAT(choose_snapshot(wanted(), {found("holes", hours(4), 3)}, "default", "default").problem,
              HasSubstr("lacks files"));
}

TEST(ChooseSnapshot, TakesATimeAsItIsPrinted) {
  auto one = found("new", hours(5));
  one.seen.data_as_of += Millis{345};  // status shows whole seconds
  auto as_of = wanted();
  as_of.as_of = kNoon - hours(5);
  EXPECT_TRUE(choose_snapshot(as_of, {one}, "default", "default").found);
}

ProbeSeen good_snapshot_probe() {
  auto seen = good_probe("outpack", "default.a");
  seen.snapshot = found("default.a", hours(5));
  return seen;
}

struct StrategyCase {
  std::string name;
  RestoreStrategy asked;
  std::function<void(crds::RestoreRequest&, ProbeSeen&)> change;
  RestoreStrategy chosen;
  std::string reason;
  std::string refusal;  ///< Its reason; empty: none.
};
class StrategyOf : public ::testing::TestWithParam<StrategyCase> {};
TEST_P(StrategyOf, IsChosenAndSaidWhy) {
  auto one = request();
  auto seen = good_snapshot_probe();
  one.spec.strategy = GetParam().asked;
  GetParam().change(one, seen);
  const auto judged = judge(one, one.spec.items[0], seen);
  EXPECT_EQ(judged.plan.strategy, GetParam().chosen);
  EXPECT_THAT(judged.plan.strategy_reason, HasSubstr(GetParam().reason));
  EXPECT_EQ(judged.refusals.empty() ? "" : judged.refusals[0].reason, GetParam().refusal);
}
INSTANTIATE_TEST_SUITE_P(
    Restore, StrategyOf,
    ::testing::Values(
        StrategyCase{"Room", RestoreStrategy::Auto, [](auto&, auto&) {}, RestoreStrategy::Staged, "there is room", ""},
        StrategyCase{"Asked", RestoreStrategy::InPlace, [](auto&, auto&) {}, RestoreStrategy::InPlace, "asks for it",
                     ""},
        StrategyCase{"Driver", RestoreStrategy::Auto, [](auto&, auto& seen) { seen.volume_driver = "nfs"; },
                     RestoreStrategy::InPlace, "driver nfs", ""},
        StrategyCase{"DriverStaged", RestoreStrategy::Staged, [](auto&, auto& seen) { seen.volume_driver = "nfs"; },
                     RestoreStrategy::Staged, "", "VolumeUnsupported"},
        StrategyCase{"MountPoint", RestoreStrategy::Auto, [](auto&, auto& seen) { seen.data_is_mount_point = true; },
                     RestoreStrategy::InPlace, "mount point", ""},
        StrategyCase{"NoRoomForTwo", RestoreStrategy::Auto,
                     [](auto&, auto& seen) {
                       seen.free_bytes = 400;
                       seen.allocated_bytes = 450;
                     },
                     RestoreStrategy::InPlace, "no room for a second copy", ""},
        StrategyCase{"NoRoomForWhatItGrowsBy", RestoreStrategy::Auto,
                     [](auto&, auto& seen) {
                       seen.free_bytes = 40;
                       seen.allocated_bytes = 450;
                     },
                     RestoreStrategy::InPlace, "", "NoRoom"},
        StrategyCase{"NoRoomForAMissingVolume", RestoreStrategy::Auto,
                     [](auto&, auto& seen) {
                       seen.volume_exists = false;
                       seen.free_bytes = 400;
                     },
                     RestoreStrategy::Staged, "", "NoRoom"},
        StrategyCase{"NothingStopped", RestoreStrategy::Auto,
                     [](auto& one, auto&) { one.spec.applications.stop.mode = crds::StopMode::None; },
                     RestoreStrategy::InPlace, "nothing is stopped", ""}),
    [](const auto& param) { return param.param.name; });

TEST(Judge, TellsWhoKeepsOldDataWhereThereIsNoRoom) {
  auto one = request();
  auto seen = good_snapshot_probe();
  one.spec.strategy = RestoreStrategy::Staged;
  seen.free_bytes = 1;
  seen.kept = {"restore default/october keeps the data from before it"};
  EXPECT_THAT(judge(one, one.spec.items[0], seen).refusals.at(0).message, HasSubstr("default/october"));
}

TEST(Judge, WarnsOfWhatASnapshotLacksAndOfWhatIsOverwritten) {
  auto one = request();
  auto seen = good_snapshot_probe();
  one.spec.strategy = RestoreStrategy::InPlace;
  seen.snapshot->seen.unreadable = {2, {"a", "b"}};
  seen.snapshot->seen.changed = {1, {"log"}};
  const auto plan = judge(one, one.spec.items[0], seen).plan;
  ASSERT_EQ(plan.warnings.size(), 3u);
  EXPECT_THAT(plan.warnings[0], HasSubstr("nothing of its old data is kept"));
  EXPECT_THAT(plan.warnings[1], HasSubstr("lacks 2 files"));
  EXPECT_THAT(plan.warnings[2], HasSubstr("1 files changed"));
}

TEST(Judge, TwoDatabasesOfOneServerAreNotRestoredInPlaceByOneRequest) {
  auto one = request();
  one.spec.items.push_back(one.spec.items[0]);
  one.spec.items[1].name = "second";
  for (auto& item : one.spec.items) {
    item.from = {};
    item.from.barman = crds::BarmanRestoreSource{{"montagu"}, {.latest = true, .backup_id = {}}};
  }
  auto seen = good_snapshot_probe();
  EXPECT_TRUE(judge(one, one.spec.items[0], seen).refusals.empty());
  one.spec.strategy = RestoreStrategy::InPlace;
  EXPECT_EQ(judge(one, one.spec.items[0], seen).refusals.at(0).reason, "RecoverVolumeShared");
}

}  // namespace
}  // namespace roadstead::reconcilers::restore
