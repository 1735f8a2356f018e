// Restores of a database in a world of memory: what goes wrong on the way, and what is said of it. Every call of them
// failing is in volume_restore_test.cpp.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/reconcilers_restore_request/world.h"

namespace roadstead::testing {
namespace {

using Json = nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string told(const World& world) { return world.status().dump(1).substr(0, 6000); }

/// What holds at the end of every good restore, whatever happened on the way.
void expect_restored(World& world, const std::string& when) {
  SCOPED_TRACE(when);
  EXPECT_THAT(world.violations, IsEmpty());
  EXPECT_EQ(world.phase(), "Succeeded") << told(world);
  EXPECT_EQ(world.target_volume().data.content, "point");
  EXPECT_TRUE(world.target_volume().data.finished);
  EXPECT_TRUE(world.applications_run());
  EXPECT_THAT(world.kept, IsEmpty());
  const auto& beside = world.target_volume().beside.at("default.uat-november.db");
  EXPECT_FALSE(beside.tree) << "the old tree is still there";
  EXPECT_THAT(beside.mark.value_or(""), HasSubstr("\"state\":\"Receipt\""));
}

TEST(Restore, BringsTheDatabaseToTheOtherHostAndLeavesNothingBehind) {
  World world;
  world.apply(request_manifest());
  ASSERT_TRUE(world.run()) << told(world);
  expect_restored(world, "without any failure");
  EXPECT_EQ(world.workers(), 0);
  EXPECT_EQ(world.bytes_sent, 1000u);
  EXPECT_EQ(world.restore_points, 1);
  EXPECT_EQ(world.history, (std::vector<std::string>{"stop montagu-web", "stop montagu-db", "exchange",
                                                     "start montagu-db", "start montagu-web"}));
  EXPECT_TRUE(world.request()["metadata"]["finalizers"].empty());
  EXPECT_EQ(world.condition("Complete").value("status", ""), "True");
  EXPECT_EQ(world.request()["status"]["checks"][0]["passed"], true);
}

TEST(Restore, ARequestThatEndedIsNotDoneAgainAfterTheStoreWasLost) {
  World world;
  world.apply(request_manifest());
  ASSERT_TRUE(world.run());
  const auto before = world.history;
  world.lose_store();
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.history, before);
  EXPECT_EQ(world.phase(), "Succeeded");
  EXPECT_EQ(world.condition("Complete").value("reason", ""), "AlreadyDone");
  EXPECT_THAT(world.condition("Complete").value("message", ""), HasSubstr("give it a new name"));
  EXPECT_EQ(world.restore_points, 1);
}

class PrunedWorker : public ::testing::TestWithParam<std::string> {};

TEST_P(PrunedWorker, IsRunAgain) {
  for (const auto how : {World::Pruned::Whole, World::Pruned::Half}) {
    World world;
    world.apply(request_manifest());
    world.prune(GetParam(), how);
    ASSERT_TRUE(world.run()) << told(world);
    EXPECT_EQ(world.pruned, 1) << "no worker of this step was there to be pruned";
    expect_restored(world, GetParam() + " pruned");
    EXPECT_EQ(world.bytes_sent, 1000u);
    EXPECT_EQ(world.workers(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryWorker, PrunedWorker,
                         ::testing::Values("connect-target", "inspect", "mark", "prepare", "replay", "copy-send",
                                           "copy-receive", "finish", "exchange", "inspect-db", "mark-db-3",
                                           "discard-db", "receipt-db"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(Restore, AnEngineThatRestartsInTheMiddleCostsAnAttemptThatIsNotCounted) {
  for (const std::string& step :
       {std::string("prepare"), std::string("replay"), std::string("copy-receive"), std::string("copy-send")}) {
    World world;
    world.apply(request_manifest());
    int left = 5;  // more often than failures are borne
    world.before_call = [&](int) {
      for (auto& [name, host] : world.hosts)
        for (auto& [id, one] : host.containers)
          if (left > 0 && one.state == ContainerState::Running &&
              one.spec.name.find("-" + step + "-") != std::string::npos) {
            one.state = ContainerState::Exited;
            one.exit_code = 255;
            --left;
          }
    };
    ASSERT_TRUE(world.run()) << told(world);
    expect_restored(world, step + " interrupted");
    EXPECT_EQ(left, 0);
  }
}

TEST(Restore, AHostThatVanishesIsToldAndWaitedFor) {
  for (const std::string& host : {std::string("uat"), std::string("annex2")}) {
    World world;
    world.apply(request_manifest());
    ASSERT_TRUE(world.run_until_step("db/copy"));
    world.hosts.at(host).reachable = false;
    const Time since = world.clock.now();
    for (int i = 0; i < 20; ++i) {
      auto action = world.look();
      ASSERT_TRUE(action) << action.error().message;
      world.clock.advance(action->requeue_after.value_or(Millis{1000}));
      if (world.condition(host == "uat" ? "TargetReachable" : "SourceReachable").value("status", "") == "False") break;
    }
    const Json condition = world.condition(host == "uat" ? "TargetReachable" : "SourceReachable");
    EXPECT_EQ(condition.value("reason", ""), "HostUnavailable") << host;
    EXPECT_LE(world.clock.now() - since, std::chrono::seconds(30));
    for (int i = 0; i < 50; ++i) {
      auto action = world.look();
      world.clock.advance(action && action->requeue_after ? *action->requeue_after : Millis{1000});
    }
    EXPECT_EQ(world.phase(), "Copying") << host;
    world.hosts.at(host).reachable = true;
    ASSERT_TRUE(world.run());
    expect_restored(world, host + " was away");
  }
}

TEST(Restore, CopyThatFailsForGoodLeavesTheOldDataRunningAndSaysWhy) {
  World world;
  world.copy_failure = "SourceUnreadable";
  world.apply(request_manifest());
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.phase(), "Failed");
  EXPECT_EQ(world.condition("Failed").value("reason", ""), "SourceUnreadable");
  EXPECT_EQ(world.target_volume().data.content, "old");
  EXPECT_THAT(world.history, IsEmpty()) << "nothing was stopped";
  EXPECT_THAT(world.kept, IsEmpty());
  EXPECT_FALSE(world.target_volume().beside.at("default.uat-november.db").tree);
  EXPECT_EQ(world.workers(), 0);
}

TEST(Restore, AClockThatIsSetBackHoldsUpNeitherTheNextAttemptNorTheNextLook) {
  using std::chrono::hours;
  World world;
  world.copy_failure = "DiskError";
  world.hosts.at("uat").free_bytes = 1;
  Json manifest = request_manifest();
  manifest["spec"]["strategy"] = "Staged";
  world.apply(manifest);
  ASSERT_TRUE(world.run_until([&] { return world.phase() == "Blocked"; }));
  world.hosts.at("uat").free_bytes = 1'000'000'000;
  world.clock.advance(-hours(5));
  Time set_back = world.clock.now();
  const auto has_failed = [&] {
    return std::ranges::any_of(world.status().value("steps", Json::array()), [](const Json& step) {
      return step.at("name") == "db/copy" && step.at("state") == "Failed";
    });
  };
  ASSERT_TRUE(world.run_until(has_failed)) << told(world);
  EXPECT_LT(world.clock.now() - set_back, hours(1)) << "it was blocked until the clock had caught up";
  world.copy_failure.clear();
  world.clock.advance(-hours(5));
  set_back = world.clock.now();
  ASSERT_TRUE(world.run_until([&] { return world.phase() == "Succeeded"; })) << told(world);
  EXPECT_LT(world.clock.now() - set_back, hours(1)) << "it waited until the clock had caught up";
  ASSERT_TRUE(world.run());
  expect_restored(world, "the clock was set back");
}

TEST(Restore, AWayBackThatIsNotKnownIsToldWithWhatToDoByHand) {
  World world;
  world.apply(request_manifest());
  ASSERT_TRUE(world.run_until_step("db/exchange"));
  // An end was decided after the exchange, and what had been there before stands nowhere any more.
  Json& status = world.objects.at("RestoreRequest/default/uat-november")["status"];
  status["receipt"] = {{"result", "Failed"}};
  for (Json& mark : status["marks"]) mark.erase("oldInode");
  for (Json& step : status["steps"])
    if (step.at("name") == "db/exchange") {
      step["state"] = "Failed";
      step["result"] = {{"exchanging", true}};
    }
  const auto is_told = [&] { return world.condition("Blocked").value("reason", "") == "DataNotWhole"; };
  ASSERT_TRUE(world.run_until(is_told)) << told(world);
  const std::string message = world.condition("Blocked").value("message", "");
  for (const char* part :
       {"`docker -H unix:///uat volume inspect montagu_db_volume`", ".roadstead/default.uat-november.db/tree",
        "`docker -H unix:///uat update --restart ", "`docker -H unix:///uat start ",
        "`roadstead delete restorerequest uat-november -n default --wait=false`",
        "`kubectl --kubeconfig DATA/admin.kubeconfig patch restorerequest uat-november -n default --type merge -p "
        "'{\"metadata\":{\"finalizers\":null}}'`"})
    EXPECT_THAT(message, HasSubstr(part));
  const Json ledger = world.status().at("ledger");
  EXPECT_FALSE(ledger.empty());
  for (const Json& entry : ledger) {
    const std::string name = entry.at("name"), policy = entry.at("restartPolicy");
    EXPECT_THAT(message, HasSubstr(fmt::format(" update --restart {} {}`", policy, name)));
  }
  EXPECT_EQ(world.target_volume().data.content, "old") << "nobody guesses";

  world.objects.erase("Host//uat");
  world.clock.advance(std::chrono::minutes(1));
  ASSERT_TRUE(world.look());
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "DataNotWhole") << "also without the Host: " << told(world);
}

TEST(Restore, AFullDiskIsWaitedForAndNotCounted) {
  World world;
  world.copy_failure = "NoSpace";
  world.apply(request_manifest());
  int told_so = 0;
  for (int i = 0; i < 100; ++i) {
    auto action = world.look();
    ASSERT_TRUE(action && action->requeue_after) << told(world);
    if (world.phase() == "Blocked" && world.condition("Blocked").value("reason", "") == "NoSpace") ++told_so;
    world.clock.advance(std::max(*action->requeue_after, Millis{1}));
  }
  EXPECT_GT(told_so, 3) << "tried again and again, more often than failures are borne";
  world.copy_failure.clear();
  ASSERT_TRUE(world.run());
  expect_restored(world, "after room was made");
}

TEST(Restore, ReplayThatEndedEarlyIsNeverCopied) {
  // pg_controldata decides, whatever the worker says of itself.
  World world;
  world.apply(request_manifest());
  world.before_call = [&](int) {
    for (auto& [id, one] : world.hosts.at("annex2").containers)
      for (auto& line : one.log)
        if (const auto at = line.find("0/3000100"); at != std::string::npos) line.replace(at, 9, "0/2000100");
  };
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.phase(), "Failed");
  EXPECT_EQ(world.condition("Failed").value("reason", ""), "ReplayIncomplete");
  EXPECT_EQ(world.bytes_sent, 0u);
  EXPECT_TRUE(world.applications_run());
}

class Cancelled : public ::testing::TestWithParam<std::string> {};

TEST_P(Cancelled, PutsThingsBackWhereverItComes) {
  for (const bool by_deletion : {false, true}) {
    World world;
    world.apply(request_manifest());
    ASSERT_TRUE(world.run_until_step(GetParam()));
    if (by_deletion) {
      Json& object = world.objects.at("RestoreRequest/default/uat-november");
      object["metadata"]["deletionTimestamp"] = "2026-11-22T10:00:00Z";
      object["metadata"]["resourceVersion"] = std::to_string(++world.version);
    } else {
      world.patch_spec("uat-november", "cancel", true);
    }
    ASSERT_TRUE(world.run()) << told(world);
    if (by_deletion)
      EXPECT_TRUE(world.request().is_null());
    else
      EXPECT_EQ(world.phase(), "Cancelled") << told(world);
    EXPECT_THAT(world.violations, IsEmpty());
    EXPECT_EQ(world.target_volume().data.content, "old");
    EXPECT_TRUE(world.applications_run());
    EXPECT_THAT(world.kept, IsEmpty());
    EXPECT_EQ(world.workers(), 0);
    const auto beside = world.target_volume().beside.find("default.uat-november.db");
    if (beside != world.target_volume().beside.end()) {
      EXPECT_FALSE(beside->second.tree);
      EXPECT_THAT(beside->second.mark.value_or(""), HasSubstr("Cancelled"));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(BeforeTheExchange, Cancelled,
                         ::testing::Values("db/probe", "db/pin", "db/mark", "db/prepare", "db/replay", "db/copy",
                                           "db/finish", "stop"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::ranges::replace(name, '/', '_');
                           return name;
                         });

TEST(Restore, ACancelAfterTheExchangeComesTooLateAndSaysSo) {
  World world;
  world.apply(request_manifest());
  ASSERT_TRUE(world.run_until_step("db/exchange"));
  world.patch_spec("uat-november", "cancel", true);
  ASSERT_TRUE(world.run());
  expect_restored(world, "cancelled too late");
  EXPECT_EQ(world.condition("Cancellable").value("reason", ""), "TooLate");
}

/// Until everything is stopped and the exchange is next.
bool run_until_stopped(World& world) {
  return world.kill_once([&] {
    return std::ranges::any_of(world.status().value("steps", Json::array()), [](const Json& step) {
      return step.at("name") == "stop" && step.at("state") == "Succeeded";
    });
  });
}

TEST(Restore, ACancelWhileTheExchangeOnlyWaitsBringsTheApplicationBack) {
  // Somebody's `docker run --rm` on the volume came after the stop: it must not be stopped, so the exchange waits.
  World world;
  world.apply(request_manifest());
  ASSERT_TRUE(run_until_stopped(world));
  Container guest;
  guest.id = world.next_id();
  guest.spec.name = "guest";
  guest.spec.mounts = {{MountSpec::Type::Volume, "montagu_db_volume", "/pgdata", false}};
  guest.state = ContainerState::Running;
  guest.auto_remove = true;
  world.hosts.at("uat").containers[guest.id] = guest;
  for (int i = 0; i < 5; ++i) {
    auto action = world.look();
    ASSERT_TRUE(action && action->requeue_after);
    world.clock.advance(*action->requeue_after);
  }
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "AutoRemove") << told(world);
  world.patch_spec("uat-november", "cancel", true);
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.phase(), "Cancelled");
  EXPECT_EQ(world.target_volume().data.content, "old");
  EXPECT_TRUE(world.applications_run());
}

TEST(Restore, WhoElseWorksOnTheVolumeIsAskedForWhenItDoesNotHoldTheNewData) {
  World world;
  world.apply(request_manifest());
  ASSERT_TRUE(run_until_stopped(world));
  world.target_volume().undone = true;
  std::string said;
  ASSERT_TRUE(world.kill_once([&] {
    for (const Json& step : world.status().value("steps", Json::array()))
      if (step.at("name") == "db/exchange" && step.at("state") == "Failed") said = step.at("message");
    return !said.empty();
  })) << told(world);
  EXPECT_THAT(said, AllOf(HasSubstr("the data of volume montagu_db_volume on host uat is not the new one"),
                          HasSubstr(" ps --all --filter volume=montagu_db_volume`")));
  world.target_volume().undone = false;
  ASSERT_TRUE(world.run()) << told(world);
  expect_restored(world, "once nobody else works on it");
}

TEST(Restore, AContainerThatCannotBeStartedDoesNotKeepTheOthersDown) {
  // An engine answers some refusals like a failure of its own; that it still answers shows the difference.
  for (const auto kind : {ErrorKind::Internal, ErrorKind::Unavailable}) {
    World world;
    world.apply(request_manifest());
    world.unstartable["montagu-db"] = kind;
    ASSERT_TRUE(world.run()) << told(world);
    EXPECT_EQ(world.condition("Failed").value("reason", ""), "StartFailed");
    EXPECT_THAT(world.condition("Failed").value("message", ""), HasSubstr("container montagu-db: "));
    EXPECT_EQ(world.application("montagu-web").state, ContainerState::Running);
    EXPECT_EQ(world.application("montagu-web").restart_policy, "always");
  }
}

TEST(Restore, WhatWasPausedIsPausedAgain) {
  World world;
  world.apply(request_manifest());
  world.application("montagu-web").state = ContainerState::Paused;
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.phase(), "Succeeded");
  EXPECT_EQ(world.application("montagu-web").state, ContainerState::Paused);
  EXPECT_EQ(world.application("montagu-web").restart_policy, "always");
}

TEST(Restore, WhatCouldNotBeStartedAgainOnTheWayOutIsSaidInTheEnd) {
  World world;
  world.apply(request_manifest());
  ASSERT_TRUE(run_until_stopped(world));
  world.unstartable["montagu-web"] = ErrorKind::Internal;
  world.patch_spec("uat-november", "cancel", true);
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.phase(), "Cancelled");
  EXPECT_EQ(world.application("montagu-db").state, ContainerState::Running);
  EXPECT_THAT(world.condition("Failed").value("message", ""), HasSubstr("start it on host uat by hand"));
}

TEST(Restore, AWrongAnswerOfACheckIsAFailureWithTheApplicationRunning) {
  World world;
  world.check_answer = "f";
  world.apply(request_manifest());
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.phase(), "Failed");
  EXPECT_EQ(world.condition("Failed").value("reason", ""), "CheckFailed");
  EXPECT_THAT(world.condition("Failed").value("message", ""), HasSubstr("the answer is \"f\""));
  EXPECT_TRUE(world.applications_run());
}

TEST(Restore, ADatabaseThatStaysInRecoveryFailsTheCheckInTime) {
  World world;
  world.in_recovery = true;
  world.apply(request_manifest());
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.condition("Failed").value("reason", ""), "CheckFailed");
  EXPECT_THAT(world.condition("Failed").value("message", ""), HasSubstr("still in recovery"));
}

TEST(Restore, ADryRunTouchesNothing) {
  World world;
  Json manifest = request_manifest();
  manifest["spec"]["dryRun"] = true;
  world.apply(manifest);
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.condition("Complete").value("reason", ""), "Planned");
  EXPECT_THAT(world.history, IsEmpty());
  EXPECT_EQ(world.restore_points, 0);
  EXPECT_THAT(world.kept, IsEmpty());
  EXPECT_THAT(world.target_volume().beside, IsEmpty());
  EXPECT_EQ(world.workers(), 0);
  EXPECT_EQ(world.request()["status"]["plan"]["stops"], Json({"montagu-web", "montagu-db"}));
  EXPECT_FALSE(world.request()["metadata"].contains("finalizers") &&
               !world.request()["metadata"]["finalizers"].empty());
}

TEST(Restore, AGapInTheWalIsToldBeforeAnythingIsTouched) {
  World world;
  world.segments = {"000000010000000000000001", "000000010000000000000003"};
  world.apply(request_manifest());
  EXPECT_FALSE(world.run("uat-november", 40));
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "WalGap") << told(world);
  EXPECT_THAT(world.condition("Blocked").value("message", ""), HasSubstr("000000010000000000000002"));
  EXPECT_THAT(world.history, IsEmpty());
  EXPECT_EQ(world.restore_points, 0);
}

TEST(Restore, AProtectedHostWantsAConfirmationAndTakesIt) {
  World world;
  world.objects.at("Host//uat")["spec"]["protected"] = true;
  world.apply(request_manifest());
  EXPECT_FALSE(world.run("uat-november", 20));
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "ConfirmationRequired");
  EXPECT_THAT(world.condition("Blocked").value("message", ""),
              HasSubstr("confirm: {host: uat, volumes: [montagu_db_volume]}"));
  world.patch_spec("uat-november", "confirm", {{"host", "uat"}, {"volumes", {"montagu_db_volume"}}});
  ASSERT_TRUE(world.run());
  expect_restored(world, "confirmed");
}

TEST(Restore, WithoutRoomItWaitsWithTheNumbers) {
  World world;
  world.hosts.at("uat").free_bytes = 10;
  Json manifest = request_manifest();
  manifest["spec"]["strategy"] = "Staged";
  world.apply(manifest);
  EXPECT_FALSE(world.run("uat-november", 20));
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "NoRoom");
  world.hosts.at("uat").free_bytes = 1'000'000'000;
  ASSERT_TRUE(world.run());
  expect_restored(world, "with room");
}

TEST(Restore, AContainerThatWouldVanishWhenStoppedIsNamed) {
  World world;
  world.application("montagu-db").auto_remove = true;
  world.apply(request_manifest());
  EXPECT_FALSE(world.run("uat-november", 20));
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "AutoRemove");
  EXPECT_THAT(world.condition("Blocked").value("message", ""), HasSubstr("montagu-db"));
}

TEST(Restore, TheSecondRequestForAVolumeWaitsForTheFirst) {
  World world;
  world.apply(request_manifest());
  world.apply(request_manifest("uat-second"));
  ASSERT_TRUE(world.run_until_step("db/copy"));
  EXPECT_FALSE(world.run("uat-second", 10));
  EXPECT_EQ(world.condition("Blocked", "uat-second").value("reason", ""), "WaitsForAnother");
  EXPECT_THAT(
      world.condition("Blocked", "uat-second").value("message", ""),
      AllOf(HasSubstr("`roadstead describe restorerequest uat-november -n default`"),
            HasSubstr("patch restorerequest uat-november -n default"), HasSubstr(R"({"spec":{"cancel":true}})")));
  EXPECT_THAT(world.condition("Blocked", "uat-second").value("message", ""), HasSubstr("default/uat-november"));
  ASSERT_TRUE(world.run());
  ASSERT_TRUE(world.run("uat-second"));
  EXPECT_EQ(world.phase("uat-second"), "Succeeded");
  EXPECT_EQ(world.restore_points, 2) << "the second one is pinned when it goes on, not when it was written";
  EXPECT_THAT(world.violations, IsEmpty());
}

TEST(Restore, WithoutProductionWhatWasReceivedIsRestored) {
  World world;
  world.production_reachable = false;
  world.apply(request_manifest());
  ASSERT_TRUE(world.run()) << told(world);
  expect_restored(world, "production away");
  const Json pinned = world.request()["status"]["pinned"][0];
  EXPECT_EQ(pinned["target"], "EndOfWal");
  EXPECT_EQ(pinned["targetLSN"], "0/3000100") << pinned.dump();
  EXPECT_TRUE(pinned.contains("dataAsOf"));
}

TEST(Restore, AContainerStartedBetweenStopAndExchangeIsStoppedToo) {
  World world;
  world.apply(request_manifest());
  ASSERT_TRUE(world.run_until_step("db/exchange"));
  Container& database = world.application("montagu-db");
  if (database.state != ContainerState::Running && world.target_volume().data.content == "old") {
    database.state = ContainerState::Running;
    database.started_at = world.clock.now();
  }
  ASSERT_TRUE(world.run());
  expect_restored(world, "started in between");
}

TEST(Restore, AVolumeThatIsNotThereIsMade) {
  World world;
  world.hosts.at("uat").volumes.clear();
  std::erase_if(world.hosts.at("uat").containers,
                [](const auto& pair) { return pair.second.spec.name == "montagu-db"; });
  Json manifest = request_manifest();
  manifest["spec"].erase("checks");
  world.apply(manifest);
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.phase(), "Succeeded");
  EXPECT_EQ(world.target_volume().data.content, "point");
}

TEST(Restore, TheProgressOfAStepNeverGoesBackwards) {
  World world;
  world.apply(request_manifest());
  std::map<std::string, std::int64_t> highest;
  for (int i = 0; i < 400; ++i) {
    auto action = world.look();
    ASSERT_TRUE(action);
    const Json status = world.request()["status"];
    for (const auto& item : status.value("items", Json::array()))
      if (item.contains("percent")) {
        const auto percent = item["percent"].get<std::int64_t>();
        EXPECT_GE(percent, highest[item["step"]]);
        highest[item["step"]] = percent;
      }
    int running = 0;
    for (const auto& step : status.value("steps", Json::array())) running += step["state"] == "Running" ? 1 : 0;
    EXPECT_LE(running, 1);
    if (!action->requeue_after) return;
    world.clock.advance(std::max(*action->requeue_after, Millis{1}));
  }
  FAIL() << "no end";
}

}  // namespace
}  // namespace roadstead::testing
