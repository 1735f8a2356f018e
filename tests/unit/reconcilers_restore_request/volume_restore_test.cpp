// Whole restores of each kind in a world of memory: every call of them failing, the operator killed at every call, with
// its store lost too; then what comes after the end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "tests/unit/reconcilers_restore_request/world.h"

namespace roadstead::testing {
namespace {

using Json = nlohmann::json;
using std::chrono::hours;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string told(const World& world) { return world.status().dump(1).substr(0, 8000); }

Json in_place(Json manifest) {
  manifest["spec"]["strategy"] = "InPlace";
  manifest["spec"]["keepPreviousSeconds"] = 0;
  return manifest;
}

struct Scenario {
  std::string name;
  Json manifest;
  std::string volume, item, content;
  bool is_staged = false;
  int stride = 10;  ///< From one call to the next that is broken, where there is no time for all.
  void prepare(World& world) const {
    world.add_snapshot("older", hours(30));
    world.add_snapshot("newest", hours(6));
    world.apply(manifest);
  }
};

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all{
      {"SnapshotStaged", volume_manifest(), "outpack", "files", content_of_snapshot("default.newest"), true},
      {"SnapshotInPlace", in_place(volume_manifest()), "outpack", "files", content_of_snapshot("default.newest")},
      {"DatabaseInPlace", in_place(request_manifest()), "montagu_db_volume", "db", "point"},
      {"DatabaseStaged", request_manifest(), "montagu_db_volume", "db", "point", true, 4}};
  return all;
}

/// What holds at the end of every good restore, whatever happened on the way.
void expect_restored(World& world, const Scenario& scenario, const std::string& when) {
  SCOPED_TRACE(scenario.name + ", " + when);
  EXPECT_THAT(world.violations, IsEmpty()) << told(world);
  EXPECT_EQ(world.phase(), "Succeeded") << told(world);
  EXPECT_EQ(world.volume(scenario.volume).data.content, scenario.content);
  EXPECT_TRUE(scenario.content != "point" || world.volume(scenario.volume).data.finished);
  EXPECT_TRUE(world.applications_run());
  EXPECT_THAT(world.kept, IsEmpty());
  const auto& beside = world.volume(scenario.volume).beside.at("default.uat-november." + scenario.item);
  EXPECT_FALSE(beside.tree) << "the old tree is still there";
  EXPECT_THAT(beside.mark.value_or(""), HasSubstr("\"state\":\"Receipt\""));
}

/// What was copied is not copied again, and the data is not exchanged there and back.
void expect_done_once(const World& world, const Scenario& scenario, const std::string& when) {
  if (!scenario.is_staged) return;
  EXPECT_EQ(world.bytes_sent, 1000u) << when;
  EXPECT_EQ(std::ranges::count(world.history, "exchange"), 1) << when;
}

/// From one call to the next that is broken: all of them only where there is time (`make soak`).
int stride_of(const Scenario& scenario) { return std::getenv("ROADSTEAD_EVERY_CALL") != nullptr ? 1 : scenario.stride; }

class WholeRestore : public ::testing::TestWithParam<Scenario> {
 protected:
  [[nodiscard]] World& whole() {
    if (!whole_) {
      whole_ = std::make_unique<World>();
      GetParam().prepare(*whole_);
      EXPECT_TRUE(whole_->run()) << told(*whole_);
    }
    return *whole_;
  }

 private:
  std::unique_ptr<World> whole_;
};

TEST_P(WholeRestore, BringsTheDataAndLeavesNothingBehind) {
  World& world = whole();
  expect_restored(world, GetParam(), "without any failure");
  EXPECT_EQ(world.workers(), 0);
  EXPECT_EQ(world.bytes_sent, 1000u);
  EXPECT_TRUE(world.request()["metadata"]["finalizers"].empty());
}

TEST_P(WholeRestore, KilledBeforeAnyCallItGoesOnToTheSameEnd) {
  const int calls = whole().calls;
  for (int n = 1; n <= calls && !HasFailure(); n += stride_of(GetParam())) {
    World world;
    world.kill_at = n;
    GetParam().prepare(world);
    ASSERT_TRUE(world.run()) << "killed before call " << n << "\n" << told(world);
    expect_restored(world, GetParam(), "killed before call " + std::to_string(n));
    expect_done_once(world, GetParam(), "killed before call " + std::to_string(n));
  }
}

TEST_P(WholeRestore, KilledAfterAnyCallItGoesOnToTheSameEnd) {
  const auto calls = whole().changing_calls;
  for (std::size_t i = 0; i < calls.size() && !HasFailure(); i += static_cast<std::size_t>(stride_of(GetParam()))) {
    World world;
    world.kill_at = calls[i];
    world.kill_after = true;
    GetParam().prepare(world);
    ASSERT_TRUE(world.run()) << "killed after call " << calls[i] << "\n" << told(world);
    expect_restored(world, GetParam(), "killed after call " + std::to_string(calls[i]));
    expect_done_once(world, GetParam(), "killed after call " + std::to_string(calls[i]));
  }
}

TEST_P(WholeRestore, AnyCallThatFailsOnceOnlyDelaysIt) {
  const int calls = whole().calls;
  for (int n = 2; n <= calls && !HasFailure(); n += stride_of(GetParam())) {
    World world;
    world.fail_at = n;
    GetParam().prepare(world);
    for (int i = 0; i < 5 && world.phase() != "Succeeded"; ++i) world.run();
    expect_restored(world, GetParam(), "call " + std::to_string(n) + " failed");
  }
}

TEST_P(WholeRestore, KilledBeforeAnyCallWithTheStoreLostItComesToTheSameEnd) {
  const int calls = whole().calls;
  for (int n = 3; n <= calls && !HasFailure(); n += stride_of(GetParam())) {
    World world;
    world.kill_at = n;
    world.kill_loses_store = true;
    GetParam().prepare(world);
    EXPECT_TRUE(world.run());
    EXPECT_EQ(world.kills, 1);
    expect_restored(world, GetParam(), "store lost before call " + std::to_string(n));
    expect_done_once(world, GetParam(), "store lost before call " + std::to_string(n));
  }
}

TEST_P(WholeRestore, KilledAfterAnyCallWithTheStoreLostItComesToTheSameEnd) {
  const auto calls = whole().changing_calls;
  for (std::size_t i = 0; i < calls.size() && !HasFailure(); i += static_cast<std::size_t>(stride_of(GetParam()))) {
    World world;
    world.kill_at = calls[i];
    world.kill_after = true;
    world.kill_loses_store = true;
    GetParam().prepare(world);
    EXPECT_TRUE(world.run());
    EXPECT_EQ(world.kills, 1);
    expect_restored(world, GetParam(), "store lost after call " + std::to_string(calls[i]));
    expect_done_once(world, GetParam(), "store lost after call " + std::to_string(calls[i]));
  }
}

/// A step that gives the volume the new data has ended.
bool has_new_data(World& world) {
  const Json status = world.request().at("status");
  return std::ranges::any_of(status.at("steps"), [](const Json& entry) {
    const std::string name = entry.at("name");
    return (name.ends_with("/exchange") || name.ends_with("/overwrite")) && entry.at("state") == "Succeeded";
  });
}

TEST_P(WholeRestore, HeldByASuspendBeforeAnyStepItGoesOnWhenItIsLet) {
  std::vector<std::string> steps;
  const Json status = whole().status();
  for (const auto& entry : status.at("steps")) steps.push_back(entry.at("name"));
  for (const auto& step : steps) {
    World world;
    GetParam().prepare(world);
    ASSERT_TRUE(world.run_until_step(step)) << step;
    world.patch_spec("uat-november", "suspend", true);
    ASSERT_TRUE(world.run()) << step;
    if (world.phase() != "Succeeded") {
      EXPECT_EQ(world.condition("Suspended").value("status", ""), "True") << step;
      EXPECT_THAT(world.condition("Suspended").value("message", ""),
                  HasSubstr("`kubectl --kubeconfig DATA/admin.kubeconfig patch restorerequest uat-november -n default "
                            "--type merge -p "
                            "'{\"spec\":{\"suspend\":false}}'`"));
      const bool ends = world.condition("Suspended").value("message", "").find(R"("cancel":true)") != std::string::npos;
      EXPECT_EQ(ends, !has_new_data(world)) << "a cancel is named where it is heard, held in " << step;
      EXPECT_TRUE(world.applications_run()) << "nobody is left stopped, suspended in " << step;
      const auto before = world.request()["status"]["steps"];
      world.clock.advance(hours(1));
      ASSERT_TRUE(world.run());
      EXPECT_EQ(world.request()["status"]["steps"], before) << "nothing is done meanwhile";
    }
    world.patch_spec("uat-november", "suspend", false);  // what is kept of the old data goes only then
    ASSERT_TRUE(world.run());
    expect_restored(world, GetParam(), "suspended in " + step);
  }
}

INSTANTIATE_TEST_SUITE_P(Of, WholeRestore, ::testing::ValuesIn(scenarios()),
                         [](const auto& param) { return param.param.name; });

void prepare_kept(World& world) {
  world.add_snapshot("newest", hours(6));
  Json manifest = volume_manifest();
  manifest["spec"]["keepPreviousSeconds"] = 3600;
  world.apply(manifest);
  ASSERT_TRUE(world.run_until([&] { return world.phase() == "Succeeded"; })) << told(world);
  auto action = world.look();
  ASSERT_TRUE(action && action->requeue_after) << "it is looked at again when the old data may go";
}

void expect_rolled_back(World& world, const std::string& when) {
  SCOPED_TRACE(when);
  EXPECT_THAT(world.violations, IsEmpty());
  EXPECT_EQ(world.phase(), "RolledBack") << told(world);
  EXPECT_EQ(world.condition("RolledBack").value("status", ""), "True");
  EXPECT_EQ(world.volume("outpack").data.content, "old");
  EXPECT_TRUE(world.applications_run());
  const auto& beside = world.volume("outpack").beside.at("default.uat-november.files");
  EXPECT_FALSE(beside.tree) << "the restored tree is still there";
  EXPECT_THAT(beside.mark.value_or(""), HasSubstr("RolledBack"));
  EXPECT_EQ(std::ranges::count(world.history, "exchange"), 2) << "there and back";
  EXPECT_TRUE(world.request()["metadata"]["finalizers"].empty());
  EXPECT_FALSE(world.request()["status"]["receipt"].contains("keptUntil"));
}

TEST(KeptData, IsThereUntilItsTimeIsOverAndThenGoes) {
  World world;
  prepare_kept(world);
  const auto& beside = world.volume("outpack").beside.at("default.uat-november.files");
  ASSERT_TRUE(beside.tree);
  EXPECT_EQ(beside.tree->content, "old");
  EXPECT_TRUE(world.request()["status"]["receipt"].contains("keptUntil"));
  EXPECT_THAT(world.condition("Complete").value("message", ""), HasSubstr("rollback: true"));
  EXPECT_EQ(world.request()["metadata"]["finalizers"].size(), 1u) << "a deletion must not leave it behind";
  ASSERT_TRUE(world.run());
  EXPECT_FALSE(beside.tree);
  EXPECT_FALSE(world.request()["status"]["receipt"].contains("keptUntil"));
  EXPECT_TRUE(world.request()["metadata"]["finalizers"].empty());
  EXPECT_EQ(world.phase(), "Succeeded");
  EXPECT_EQ(world.workers(), 0);
  world.patch_spec("uat-november", "rollback", true);
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.condition("RolledBack").value("reason", ""), "NothingKept");
  EXPECT_EQ(world.volume("outpack").data.content, content_of_snapshot("default.newest"));
}

TEST(KeptData, GoesAtOnceWhenNobodyWantsItAnyMore) {
  World world;
  prepare_kept(world);
  const Time before = world.clock.now();
  world.patch_spec("uat-november", "keepPreviousSeconds", 0);
  ASSERT_TRUE(world.run());
  EXPECT_FALSE(world.volume("outpack").beside.at("default.uat-november.files").tree);
  EXPECT_LT(world.clock.now() - before, std::chrono::minutes(1));
}

TEST(KeptData, GoesWithItsRequest) {
  World world;
  prepare_kept(world);
  Json& object = world.objects.at("RestoreRequest/default/uat-november");
  object["metadata"]["deletionTimestamp"] = "2026-11-22T10:00:00Z";
  object["metadata"]["resourceVersion"] = std::to_string(++world.version);
  ASSERT_TRUE(world.run());
  EXPECT_TRUE(world.request().is_null());
  EXPECT_FALSE(world.volume("outpack").beside.at("default.uat-november.files").tree);
}

TEST(KeptData, IsKnownAfterTheStoreWasLostAndGoesInItsTime) {
  World world;
  prepare_kept(world);
  world.lose_store();
  ASSERT_TRUE(world.look());
  EXPECT_EQ(world.condition("Complete").value("reason", ""), "AlreadyDone");
  EXPECT_TRUE(world.volume("outpack").beside.at("default.uat-november.files").tree);
  ASSERT_TRUE(world.run());
  EXPECT_FALSE(world.volume("outpack").beside.at("default.uat-november.files").tree);
  EXPECT_EQ(std::ranges::count(world.history, "exchange"), 1);
}

TEST(KeptData, OfAnEarlierRequestOfTheSameNameIsNotTakenForAStagedTree) {
  World world;
  prepare_kept(world);
  world.objects.erase("RestoreRequest/default/uat-november");
  world.add_snapshot("later", hours(1));
  Json manifest = volume_manifest();
  manifest["spec"]["strategy"] = "Staged";  // another spec, so the receipt is not its own
  world.apply(manifest);
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.phase(), "Succeeded") << told(world);
  EXPECT_EQ(world.volume("outpack").data.content, content_of_snapshot("default.later"));
  EXPECT_EQ(world.bytes_sent, 2000u);
}

TEST(Rollback, BringsTheOldDataBackAndStartsWhatRan) {
  World world;
  prepare_kept(world);
  const std::size_t before = world.history.size();
  world.patch_spec("uat-november", "rollback", true);
  ASSERT_TRUE(world.run());
  expect_rolled_back(world, "without any failure");
  EXPECT_EQ(std::vector<std::string>(world.history.begin() + static_cast<std::ptrdiff_t>(before), world.history.end()),
            (std::vector<std::string>{"stop outpack-server", "exchange", "start outpack-server"}));
  EXPECT_EQ(world.workers(), 0);
}

TEST(Rollback, KilledAtAnyCallComesToTheSameEndWithTheStoreLostToo) {
  World whole;
  prepare_kept(whole);
  const int first = whole.calls;
  whole.patch_spec("uat-november", "rollback", true);
  ASSERT_TRUE(whole.run());
  const int calls = whole.calls - first;
  for (const bool after : {false, true})
    for (const bool lost : {false, true})
      for (int n = 1; n <= calls && !::testing::Test::HasFailure(); n += stride_of(scenarios().front())) {
        World world;
        prepare_kept(world);
        world.patch_spec("uat-november", "rollback", true);
        world.kill_at = world.calls + n;
        world.kill_after = after;
        world.kill_loses_store = lost;
        EXPECT_TRUE(world.run());
        expect_rolled_back(
            world, fmt::format("killed {} call {}{}", after ? "after" : "before", n, lost ? ", its store lost" : ""));
      }
}

TEST(Rollback, OfDataThatIsGoneOrReplacedIsRefusedInWordsAndTouchesNothing) {
  for (const bool gone : {true, false}) {
    World world;
    prepare_kept(world);
    if (gone)
      world.volume("outpack").beside.at("default.uat-november.files").tree.reset();
    else
      world.volume("outpack").data = {world.next_inode(), "old", true};
    const auto history = world.history;
    world.patch_spec("uat-november", "rollback", true);
    for (int i = 0; i < 10 && world.condition("RolledBack").empty(); ++i) {
      auto action = world.look();
      world.clock.advance(Millis{1000});
    }
    EXPECT_EQ(world.condition("RolledBack").value("reason", ""), gone ? "NothingKept" : "Superseded") << told(world);
    EXPECT_THAT(world.condition("RolledBack").value("message", ""), HasSubstr("nothing was touched"));
    EXPECT_EQ(world.history, history);
    EXPECT_EQ(world.phase(), "Succeeded");
  }
}

TEST(Rollback, OfARequestThatNeverBeganIsToldBeforeItRestoresAnything) {
  World world;
  world.add_snapshot("newest", hours(6));
  Json manifest = volume_manifest();
  manifest["spec"]["rollback"] = true;
  world.apply(manifest);
  EXPECT_FALSE(world.run("uat-november", 10));
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "NothingToRollBack");
  EXPECT_EQ(world.volume("outpack").data.content, "old");
}

TEST(Rollback, OfWhatWasOverwrittenSaysThatNothingIsKept) {
  World world;
  world.add_snapshot("newest", hours(6));
  world.apply(in_place(volume_manifest()));
  ASSERT_TRUE(world.run());
  world.patch_spec("uat-november", "rollback", true);
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.condition("RolledBack").value("reason", ""), "NothingKept");
  EXPECT_THAT(world.condition("RolledBack").value("message", ""), HasSubstr("overwritten in place"));
}

TEST(InPlace, ThatCannotBeFinishedKeepsTheApplicationStoppedAndGoesOnUntilItIsWhole) {
  World world;
  world.add_snapshot("newest", hours(6));
  world.apply(in_place(volume_manifest()));
  ASSERT_TRUE(world.run_until_step("files/overwrite"));
  world.copy_failure = "DiskError";
  for (int i = 0; i < 60; ++i) {
    auto action = world.look();
    ASSERT_TRUE(action && action->requeue_after) << told(world);
    world.clock.advance(std::max(*action->requeue_after, Millis{1}));
  }
  EXPECT_EQ(world.phase(), "Blocked");
  EXPECT_THAT(world.condition("Blocked").value("message", ""), HasSubstr("the applications stay stopped"));
  EXPECT_EQ(world.volume("outpack").data.content, "half");
  EXPECT_EQ(world.application("outpack-server").state, ContainerState::Exited);
  world.patch_spec("uat-november", "cancel", true);
  for (int i = 0; i < 5; ++i) {
    auto action = world.look();
    world.clock.advance(Millis{30'001});
  }
  EXPECT_EQ(world.condition("Cancellable").value("reason", ""), "TooLate");
  EXPECT_EQ(world.application("outpack-server").state, ContainerState::Exited);
  world.copy_failure.clear();
  ASSERT_TRUE(world.run());
  expect_restored(world, scenarios()[1], "after the disk was mended");
}

TEST(InPlace, CancelledBeforeAnythingIsOverwrittenLeavesTheOldData) {
  for (const char* step : {"files/compare", "stop"}) {
    World world;
    world.add_snapshot("newest", hours(6));
    world.apply(in_place(volume_manifest()));
    ASSERT_TRUE(world.run_until_step(step));
    world.patch_spec("uat-november", "cancel", true);
    ASSERT_TRUE(world.run()) << told(world);
    EXPECT_EQ(world.phase(), "Cancelled");
    EXPECT_EQ(world.volume("outpack").data.content, "old");
    EXPECT_TRUE(world.applications_run());
    EXPECT_EQ(world.workers(), 0);
  }
}

TEST(InPlace, IsWhatAutoTakesForAVolumeOfAnotherKindWithTheMarksInAVolumeOfTheirOwn) {
  for (const bool lost : {false, true}) {
    World world;
    world.add_snapshot("newest", hours(6));
    world.volume("outpack").options = {{"type", "nfs"}};
    world.apply(volume_manifest());
    if (lost) {
      ASSERT_TRUE(world.run_until_step("files/overwrite"));
      world.lose_store();
    }
    ASSERT_TRUE(world.run()) << told(world);
    expect_restored(world, scenarios()[1], "of a volume with options");
    EXPECT_TRUE(world.hosts.at("uat").volumes.contains("roadstead_marks"));
    if (!lost) {
      EXPECT_EQ(world.request()["status"]["plan"]["strategy"], "InPlace");
      EXPECT_THAT(world.request()["status"]["plan"]["strategyReason"].get<std::string>(), HasSubstr("with options"));
    }
    world.lose_store();
    ASSERT_TRUE(world.run());
    EXPECT_EQ(world.condition("Complete").value("reason", ""), "AlreadyDone");
  }
}

TEST(InPlace, IsWhatAutoTakesWithoutRoomForTwo) {
  World world;
  world.add_snapshot("newest", hours(6));
  world.hosts.at("uat").free_bytes = 600;
  world.allocated_bytes = 400;
  world.apply(volume_manifest());
  ASSERT_TRUE(world.run()) << told(world);
  expect_restored(world, scenarios()[1], "without room for two");
  EXPECT_EQ(world.request()["status"]["plan"]["spaceNeededBytes"], 600);
}

TEST(InPlace, WithStopModeNoneStopsNobody) {
  World world;
  world.overwrites_while_running = true;
  world.add_snapshot("newest", hours(6));
  Json manifest = volume_manifest();
  manifest["spec"]["applications"] = {{"stop", {{"mode", "None"}}}};
  world.apply(manifest);
  ASSERT_TRUE(world.run()) << told(world);
  expect_restored(world, scenarios()[1], "under a running application");
  EXPECT_EQ(world.history, std::vector<std::string>{"overwrite"});
}

TEST(Transfers, OutOfARepositoryThatIsBeingSweptAreWaitedForHoweverLongThatTakes) {
  World world;
  world.add_snapshot("newest", hours(6));
  world.copy_failure = "Busy";
  world.apply(volume_manifest());
  bool says_so = false;
  for (int looks = 0; looks < 100; ++looks) {
    world.run("uat-november", 1);
    says_so |= world.condition("Complete").value("message", "").starts_with("Waits on host");
  }
  EXPECT_EQ(world.phase(), "Copying") << told(world);
  EXPECT_TRUE(says_so);
  world.copy_failure.clear();
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.phase(), "Succeeded") << told(world);
}

TEST(Transfers, OfARequestThatIsMadeAgainUnderItsNameUseNoKeyAgain) {
  World world;
  world.add_snapshot("newest", hours(6));
  world.copy_failure = "ChecksumMismatch";
  world.apply(volume_manifest());
  ASSERT_TRUE(world.run());
  ASSERT_EQ(world.phase(), "Failed") << told(world);
  const auto keys = world.keys.size();
  ASSERT_GE(keys, 1u);
  world.objects.erase("RestoreRequest/default/uat-november");
  world.volume("outpack").beside.clear();  // or its receipt would tell the next of its end
  world.copy_failure.clear();
  world.apply(volume_manifest());
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.phase(), "Succeeded") << told(world);
  EXPECT_EQ(world.keys.size(), keys + 1);
  EXPECT_THAT(world.violations, IsEmpty());
}

TEST(Snapshots, AsOfATimeTheNewestBeforeItIsTaken) {
  World world;
  world.add_snapshot("older", hours(30));
  world.add_snapshot("newest", hours(6));
  Json manifest = volume_manifest();
  manifest["spec"]["items"][0]["from"]["asOf"] = "2026-11-22T12:00:00Z";
  world.apply(manifest);
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.volume("outpack").data.content, content_of_snapshot("default.older")) << told(world);
  EXPECT_EQ(world.request()["status"]["pinned"][0]["snapshot"],
            (Json{{"host", "annex2"}, {"sourceHost", "production2"}, {"volume", "outpack"}, {"id", "default.older"}}));
}

TEST(Snapshots, OneThatIsForgottenBeforeItWasPinnedIsChosenAgain) {
  World world;
  world.add_snapshot("older", hours(30));
  world.add_snapshot("newest", hours(6));
  world.apply(volume_manifest());
  bool forgotten = false;
  world.before_call = [&](int) {
    const Json pinned = world.request().value("status", Json::object()).value("pinned", Json::array());
    if (forgotten || pinned.empty()) return;
    forgotten = true;
    world.snapshots["annex2:production2/outpack"].pop_back();
  };
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_TRUE(forgotten);
  EXPECT_EQ(world.phase(), "Succeeded") << told(world);
  EXPECT_EQ(world.volume("outpack").data.content, content_of_snapshot("default.older"));
}

TEST(Snapshots, AHostThatIsAwayIsPassedOverWhereAnotherHoldsOne) {
  World world;
  world.objects.at("BackupPolicy/default/outpack")["spec"]["destinations"] =
      Json::parse(R"([{"hostRef":{"name":"annex2"}},{"hostRef":{"name":"production2"}}])");
  world.objects.at("Host//production2")["spec"]["repository"] = {{"volume", "roadstead_repository"}};
  world.objects.at("Host//production2")["spec"]["data"]["ports"] = "10022-10031";
  world.hosts.at("production2").volumes["roadstead_repository"] = {
      "roadstead_repository", {}, {world.next_inode(), "repository", true}, false, {}};
  world.add_snapshot("there", hours(3), "production2");
  world.hosts.at("annex2").reachable = false;
  world.apply(volume_manifest());
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.phase(), "Succeeded") << told(world);
  EXPECT_EQ(world.volume("outpack").data.content, content_of_snapshot("default.there"));
}

TEST(Snapshots, AVolumeThatIsMissingIsMadeAsAPlainOne) {
  World world;
  world.add_snapshot("newest", hours(6));
  Json manifest = volume_manifest();
  manifest["spec"]["items"][0]["to"]["volume"] = "scratch";
  world.apply(manifest);
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.phase(), "Succeeded") << told(world);
  EXPECT_EQ(world.volume("scratch").data.content, content_of_snapshot("default.newest"));
}

TEST(Snapshots, WithoutAnyItIsToldHowToMakeOneAndItGoesOnWhenItIsThere) {
  World world;
  world.apply(volume_manifest());
  EXPECT_FALSE(world.run("uat-november", 10));
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "NoBackup") << told(world);
  EXPECT_THAT(world.condition("Blocked").value("message", ""), HasSubstr("roadstead backup outpack"));
  world.add_snapshot("newest", hours(0));
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.phase(), "Succeeded");
}

}  // namespace
}  // namespace roadstead::testing
