// Whole backups of volumes in a world of memory, with every call of it failing, and the operator killed at every call.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "reconcilers/support/labels.h"
#include "tests/unit/reconcilers_backup/world.h"

namespace roadstead::testing {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kId = mover::snapshot_id("default", "nightly");

std::string told(const World& world, const std::string& name = "nightly") {
  return world.status(name).dump(1).substr(0, 6000);
}

void begin(World& world) {
  world.apply(policy_manifest());
  world.apply(backup_manifest());
}

int index_of(const World& world, const std::string& what) {
  const auto found = std::ranges::find(world.history, what);
  return found == world.history.end() ? -1 : static_cast<int>(found - world.history.begin());
}

/// What holds at the end of every good backup, whatever happened on the way.
void expect_backed_up(World& world, const std::string& when) {
  SCOPED_TRACE(when);
  EXPECT_THAT(world.violations, IsEmpty());
  EXPECT_EQ(world.phase(), "Succeeded") << told(world);
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre(kId));
  EXPECT_THAT(world.kept("annex2", "production2/logs"), ElementsAre(kId));
  EXPECT_EQ(world.bytes_sent, 1200u) << "something was sent twice";
  EXPECT_EQ(world.status()["snapshots"].size(), 2u);
  EXPECT_EQ(world.workers(), 0);
  EXPECT_TRUE(world.backup()["metadata"].value("finalizers", Json::array()).empty());
  EXPECT_GE(world.times("exec save"), 1);
  EXPECT_GE(world.times("exec resume"), 1);
  EXPECT_LT(index_of(world, "exec save"), index_of(world, "copy production2/outpack@annex2"));
  EXPECT_EQ(world.history.back(), "exec resume");
}

TEST(VolumeBackup, CopiesEachVolumeBetweenItsHooksAndLeavesNothingBehind) {
  World world;
  begin(world);
  ASSERT_TRUE(world.run()) << told(world);
  expect_backed_up(world, "without any failure");
  EXPECT_THAT(world.history,
              ElementsAre("exec save", "directory production2/outpack@annex2", "copy production2/outpack@annex2",
                          "directory production2/logs@annex2", "copy production2/logs@annex2", "exec resume"));
  EXPECT_EQ(world.condition("Complete").value("reason", ""), "BackedUp");
  EXPECT_EQ(world.status()["progress"]["percent"], 100);
  EXPECT_EQ(world.status()["progress"]["bytesDone"], 1200);
  EXPECT_EQ(world.status()["progress"]["filesTotal"], 20);
  const auto origin = mover::parse_origin(world.hosts["annex2"].repository["production2/outpack"][0].origin);
  ASSERT_TRUE(origin);
  EXPECT_EQ(origin->installation, "default");
  EXPECT_EQ(origin->backup, "nightly");
  EXPECT_EQ(origin->policy, "outpack");
  EXPECT_EQ(origin->host, "production2");
  EXPECT_EQ(origin->volume, "outpack");
  EXPECT_EQ(world.backup()["metadata"]["labels"]["roadstead.dev/policy"], "outpack");
}

int calls_of_a_whole_backup() {
  World world;
  begin(world);
  world.run();
  return world.calls;
}

std::vector<int> changing_calls_of_a_whole_backup() {
  World world;
  begin(world);
  world.run();
  return world.changing_calls;
}

/// From one call to the next that is broken: all of them only where there is time (`make soak`).
int stride() { return std::getenv("ROADSTEAD_EVERY_CALL") != nullptr ? 1 : 5; }

TEST(VolumeBackup, KilledBeforeAnyCallItGoesOnToTheSameEnd) {
  const int calls = calls_of_a_whole_backup();
  for (int n = 1; n <= calls && !::testing::Test::HasFailure(); n += stride()) {
    World world;
    world.kill_at = n;
    begin(world);
    ASSERT_TRUE(world.run()) << "killed before call " << n << "\n" << told(world);
    expect_backed_up(world, "killed before call " + std::to_string(n));
  }
}

TEST(VolumeBackup, KilledAfterAnyCallItGoesOnToTheSameEnd) {
  const auto calls = changing_calls_of_a_whole_backup();
  for (std::size_t i = 0; i < calls.size(); i += stride() == 1 ? 1 : 2) {
    const int n = calls[i];
    World world;
    world.kill_at = n;
    world.kill_after = true;
    begin(world);
    ASSERT_TRUE(world.run()) << "killed after call " << n << "\n" << told(world);
    expect_backed_up(world, "killed after call " + std::to_string(n));
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(VolumeBackup, AnyCallThatFailsOnceOnlyDelaysIt) {
  const int calls = calls_of_a_whole_backup();
  for (int n = 2; n <= calls && !::testing::Test::HasFailure(); n += stride()) {
    World world;
    world.fail_at = n;
    begin(world);
    for (int i = 0; i < 5 && world.phase() != "Succeeded"; ++i) world.run();
    world.run();
    expect_backed_up(world, "call " + std::to_string(n) + " failed");
  }
}

TEST(VolumeBackup, KilledWithTheStoreLostAtAnyCallItCopiesNothingTwice) {
  const int calls = calls_of_a_whole_backup();
  for (int n = 3; n <= calls && !::testing::Test::HasFailure(); n += stride()) {
    World world;
    world.kill_at = n;
    world.kill_loses_store = true;
    begin(world);
    world.run();
    SCOPED_TRACE("store lost before call " + std::to_string(n));
    EXPECT_THAT(world.violations, IsEmpty());
    EXPECT_EQ(world.phase(), "Succeeded") << told(world);
    EXPECT_EQ(world.bytes_sent, 1200u);
    EXPECT_EQ(world.status()["snapshots"].size(), 2u);
    EXPECT_EQ(world.workers(), 0);
  }
}

TEST(VolumeBackup, ThatIsThereAlreadyIsFoundWithoutHooksAndCopies) {
  World world;
  begin(world);
  ASSERT_TRUE(world.run());
  const auto before = world.history;
  world.lose_store();
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.history, before);
  EXPECT_EQ(world.phase(), "Succeeded");
  EXPECT_EQ(world.status()["snapshots"].size(), 2u);
}

class PrunedWorker : public ::testing::TestWithParam<std::string> {};

TEST_P(PrunedWorker, IsNotMissed) {
  for (const auto how : {World::Pruned::Whole, World::Pruned::Half}) {
    World world;
    begin(world);
    if (GetParam() == "look")  // an engine makes none where the directory is missing
      world.hosts["annex2"].repository = {{"production2/outpack", {}}, {"production2/logs", {}}};
    world.prune(GetParam(), how);
    ASSERT_TRUE(world.run()) << told(world);
    EXPECT_EQ(world.pruned, 1) << "no worker of this step was there to be pruned";
    expect_backed_up(world, GetParam() + " pruned");
    EXPECT_EQ(world.workers(), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryWorker, PrunedWorker, ::testing::Values("look", "directory", "copy-send", "copy-receive"),
                         [](const auto& param) {
                           std::string name = param.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(VolumeBackup, BothMoversPrunedAfterTheCopyItIsFoundInTheRepository) {
  World world;
  begin(world);
  bool pruned = false;
  world.before_call = [&](int) {
    if (pruned || world.kept("annex2", "production2/outpack").empty()) return;
    for (auto& [name, host] : world.hosts)
      pruned =
          std::erase_if(host.containers,
                        [](const auto& one) { return one.second.spec.name.find("copy-") != std::string::npos; }) > 0 ||
          pruned;
  };
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_TRUE(pruned);
  expect_backed_up(world, "both pruned");
  EXPECT_EQ(world.times("copy production2/outpack@annex2"), 1);
  for (const auto& spec : world.created)
    EXPECT_THAT(spec.name, Not(HasSubstr("outpack_at_annex2-copy-send-2"))) << "the volume would be read again";
}

TEST(VolumeBackup, TheHostThatKeepsTheBackupServesWhereBothCould) {
  World world;
  begin(world);
  world.objects["Host//production2"]["spec"]["data"]["ports"] = "10022-10031";
  ASSERT_TRUE(world.run()) << told(world);
  expect_backed_up(world, "both have ports");
  for (const auto& spec : world.created) {
    const bool receives = spec.name.find("-copy-receive-") != std::string::npos;
    EXPECT_EQ(spec.ports.empty(), !receives) << spec.name;
  }
}

TEST(VolumeBackup, AMoverSeesOneDirectoryOfTheRepositoryAndTheSourceReadOnly) {
  World world;
  begin(world);
  ASSERT_TRUE(world.run());
  for (const auto& spec : world.created) {
    const bool sends = spec.name.find("-copy-send-") != std::string::npos;
    const bool receives = spec.name.find("-copy-receive-") != std::string::npos;
    if (!sends && !receives) {
      EXPECT_EQ(spec.network_mode, "none") << spec.name;
      continue;
    }
    ASSERT_EQ(spec.mounts.size(), 1u) << spec.name;
    EXPECT_EQ(spec.mounts[0].read_only, sends) << spec.name;
    EXPECT_THAT(spec.mounts[0].source, HasSubstr(sends ? "" : "/_data/production2/")) << spec.name;
  }
}

/// The keys of all movers that there were while the world ran, by the mover's id.
std::map<std::string, std::string> keys_of(World& world, const std::function<void()>& run) {
  std::map<std::string, std::string> keys;
  world.before_call = [&](int) {
    for (const auto& [name, host] : world.hosts)
      for (const auto& [id, container] : host.containers)
        if (const auto key = container.files.find(std::string(mover::kKeyPath.substr(1))); key != container.files.end())
          keys[id] = key->second;
  };
  run();
  world.before_call = nullptr;
  return keys;
}

TEST(VolumeBackup, MadeAgainUnderItsNameUsesNoKeyAgain) {
  World world;
  const auto back_up = [&] {
    world.apply(policy_manifest({"outpack"}, {"annex2"}, false));
    world.apply(backup_manifest());
    ASSERT_TRUE(world.run()) << told(world);
    EXPECT_EQ(world.phase(), "Succeeded") << told(world);
  };
  std::map<std::string, int> ends;  // by key
  for (int times = 0; times < 2; ++times) {
    for (const auto& [id, key] : keys_of(world, back_up)) ++ends[key];
    world.remove();
    ASSERT_TRUE(world.backup().is_null());
    world.hosts["annex2"].repository.clear();
  }
  EXPECT_EQ(ends.size(), 2u) << "one for each transfer";
  for (const auto& [key, count] : ends) EXPECT_EQ(count, 2) << "both its movers have it";
}

TEST(VolumeBackup, AHookWhoseEndIsNotKnownIsRunAgain) {
  World whole;
  begin(whole);
  ASSERT_TRUE(whole.run());
  World world;
  world.kill_at = whole.exec_calls.front();
  world.kill_after = true;
  begin(world);
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.times("exec save"), 2);
  expect_backed_up(world, "killed right after the command");
}

TEST(VolumeBackup, ToTwoDestinationsIsTwoCopies) {
  World world;
  world.apply(policy_manifest({"outpack"}, {"annex2", "offsite"}));
  world.apply(backup_manifest());
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre(kId));
  EXPECT_THAT(world.kept("offsite", "production2/outpack"), ElementsAre(kId));
  EXPECT_EQ(world.times("exec save"), 1);
  EXPECT_EQ(world.times("exec resume"), 1);
  EXPECT_EQ(world.phase(), "Succeeded");
}

TEST(VolumeBackup, OnTheHostItselfNeedsNoNetwork) {
  World world;
  Json host = world.objects.at("Host//production2");
  host["spec"]["repository"] = {{"volume", "roadstead_repository"}};
  world.apply(host);
  std::vector<std::string> networks;
  world.before_call = [&](int) {
    for (const auto& [id, container] : world.hosts["production2"].containers)
      if (container.spec.name.find("-copy-1") != std::string::npos) networks.push_back(container.spec.network_mode);
  };
  world.apply(policy_manifest({"outpack"}, {"production2"}));
  world.apply(backup_manifest());
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.phase(), "Succeeded");
  EXPECT_THAT(world.kept("production2", "production2/outpack"), ElementsAre(kId));
  ASSERT_THAT(networks, Not(IsEmpty()));
  EXPECT_EQ(networks.front(), "none");
}

// ---- waiting -------------------------------------------------------------------------------------------------------

struct WaitCase {
  std::string name;
  void (*change)(World&);
  std::string reason, says;
  void (*mend)(World&);
};
void PrintTo(const WaitCase& one, std::ostream* out) { *out << one.name; }
class Waits : public ::testing::TestWithParam<WaitCase> {};

TEST_P(Waits, SaysForWhatTouchesNothingAndGoesOnByItself) {
  World world;
  begin(world);
  GetParam().change(world);
  world.run("nightly", 5);
  EXPECT_EQ(world.condition("Blocked").value("status", ""), "True") << told(world);
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), GetParam().reason);
  EXPECT_THAT(world.condition("Blocked").value("message", ""), HasSubstr(GetParam().says));
  EXPECT_EQ(world.condition("Complete").value("reason", ""), GetParam().reason);
  EXPECT_THAT(world.history, IsEmpty());
  GetParam().mend(world);
  ASSERT_TRUE(world.run()) << told(world);
  expect_backed_up(world, GetParam().name);
  EXPECT_EQ(world.condition("Blocked").value("status", ""), "False");
}

INSTANTIATE_TEST_SUITE_P(
    Table, Waits,
    ::testing::Values(
        WaitCase{"a source volume is missing", [](World& w) { w.hosts["production2"].volumes.erase("logs"); },
                 "SourceVolumeMissing", "volume logs is not there on host production2",
                 [](World& w) { w.hosts["production2"].volumes["logs"] = 200; }},
        WaitCase{"the destination keeps no backups",
                 [](World& w) { w.objects["Host//annex2"]["spec"].erase("repository"); }, "NoRepository",
                 "spec.repository.volume",
                 [](World& w) {
                   w.objects["Host//annex2"]["spec"]["repository"] = {{"volume", "roadstead_repository"}};
                 }},
        WaitCase{"nobody can serve", [](World& w) { w.objects["Host//annex2"]["spec"]["data"].erase("ports"); },
                 "NoDataPath", "spec.data.ports",
                 [](World& w) { w.objects["Host//annex2"]["spec"]["data"]["ports"] = "10022-10031"; }},
        WaitCase{"the source host is away", [](World& w) { w.hosts["production2"].reachable = false; },
                 "HostUnreachable", "host production2", [](World& w) { w.hosts["production2"].reachable = true; }},
        WaitCase{"the destination is away", [](World& w) { w.hosts["annex2"].reachable = false; }, "HostUnreachable",
                 "host annex2", [](World& w) { w.hosts["annex2"].reachable = true; }}),
    [](const auto& param) {
      std::string name = param.param.name;
      std::ranges::replace(name, ' ', '_');
      return name;
    });

TEST(VolumeBackup, WaitsForItsHostToBeDeclared) {
  World world;
  const Json host = world.objects.at("Host//annex2");
  world.objects.erase("Host//annex2");
  begin(world);
  world.run("nightly", 3);
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "ReferenceNotFound");
  EXPECT_THAT(world.condition("Blocked").value("message", ""), HasSubstr("annex2"));
  world.objects["Host//annex2"] = host;
  ASSERT_TRUE(world.run());
  expect_backed_up(world, "host declared");
}

TEST(VolumeBackup, AFullDiskIsToldWithNumbersAndGoesOnWhenThereIsRoom) {
  World world;
  begin(world);
  for (int i = 0; i < 5; ++i) world.copy_failures.push_back({"NoSpace", 0, 4096, 1024});
  ASSERT_TRUE(world.run_until([&] { return world.condition("Blocked").value("reason", "") == "NoSpace"; }));
  EXPECT_THAT(world.condition("Blocked").value("message", ""), HasSubstr("4.0 KiB are still to be written"));
  EXPECT_THAT(world.condition("Blocked").value("message", ""), HasSubstr("1.0 KiB are free"));
  EXPECT_THAT(world.condition("Blocked").value("message", ""), HasSubstr("spec.retention"));
  ASSERT_TRUE(world.run()) << told(world);
  expect_backed_up(world, "five times full, more than failures are borne");
}

TEST(VolumeBackup, ALostConnectionThatCarriedSomethingIsNoFailure) {
  World world;
  begin(world);
  for (int i = 0; i < 6; ++i) world.copy_failures.push_back({"ConnectionLost", 10});
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.phase(), "Succeeded") << told(world);
}

TEST(VolumeBackup, ABusyDirectoryIsWaitedFor) {
  World world;
  begin(world);
  for (int i = 0; i < 6; ++i) world.copy_failures.push_back({"Busy"});
  ASSERT_TRUE(world.run()) << told(world);
  expect_backed_up(world, "six times busy");
}

TEST(VolumeBackup, TwoOntoTheSameDirectoryComeOneAfterTheOther) {
  World world;
  world.apply(policy_manifest({"outpack"}, {"annex2"}, false));
  world.apply(backup_manifest("nightly"));
  world.apply(backup_manifest("by-hand"));
  for (int i = 0; i < 100 && (world.phase("nightly") != "Succeeded" || world.phase("by-hand") != "Succeeded"); ++i) {
    (void)world.look("nightly");
    (void)world.look("by-hand");
    world.clock.advance(Millis{1000});
  }
  EXPECT_EQ(world.phase("nightly"), "Succeeded") << told(world);
  EXPECT_EQ(world.phase("by-hand"), "Succeeded") << told(world, "by-hand");
  EXPECT_THAT(world.violations, IsEmpty());
  EXPECT_EQ(world.kept("annex2", "production2/outpack").size(), 2u);
}

TEST(VolumeBackup, AFullHostIsWaitedFor) {
  World world;
  begin(world);
  for (int i = 0; i < 5; ++i) {
    Container other;
    other.id = "other" + std::to_string(i);
    other.state = ContainerState::Running;
    other.looks_left = 1'000'000;
    other.spec.labels = {{"dev.roadstead.installation", "default"}, {"dev.roadstead.role", "worker"}};
    world.hosts["annex2"].containers[other.id] = other;
  }
  world.run("nightly", 30);
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), IsEmpty());
  EXPECT_THAT(world.condition("Complete").value("message", ""), HasSubstr("workers run on host annex2 already"));
  std::erase_if(world.hosts["annex2"].containers, [](const auto& one) { return one.first.starts_with("other"); });
  ASSERT_TRUE(world.run());
  expect_backed_up(world, "places free again");
}

// ---- failures ------------------------------------------------------------------------------------------------------

TEST(VolumeBackup, AVolumeThatFailsForGoodLeavesTheOthers) {
  World world;
  begin(world);
  for (int i = 0; i < 3; ++i) world.copy_failures.push_back({"DiskError"});
  ASSERT_TRUE(world.run()) << told(world);
  EXPECT_EQ(world.phase(), "PartiallyFailed") << told(world);
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), IsEmpty());
  EXPECT_THAT(world.kept("annex2", "production2/logs"), ElementsAre(kId));
  EXPECT_EQ(world.condition("Failed").value("reason", ""), "PartiallyFailed");
  EXPECT_THAT(world.condition("Failed").value("message", ""), HasSubstr("outpack@annex2/copy"));
  EXPECT_EQ(world.history.back(), "exec resume");
  EXPECT_EQ(world.workers(), 0);
}

TEST(VolumeBackup, AVolumeThatVanishesMeanwhileIsNotBackedUpEmpty) {
  World world;
  begin(world);
  ASSERT_TRUE(world.run_until([&] { return world.times("exec save") == 1; }));
  world.hosts["production2"].volumes.erase("logs");
  ASSERT_TRUE(world.run());
  EXPECT_THAT(world.violations, IsEmpty());
  EXPECT_EQ(world.phase(), "PartiallyFailed") << told(world);
  EXPECT_THAT(world.condition("Failed").value("message", ""),
              HasSubstr("volume logs is not there on host production2"));
  EXPECT_THAT(world.kept("annex2", "production2/logs"), IsEmpty());
}

TEST(VolumeBackup, OfWhichNothingCameHasFailed) {
  World world;
  begin(world);
  for (int i = 0; i < 6; ++i) world.copy_failures.push_back({"DiskError"});
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.phase(), "Failed") << told(world);
  EXPECT_EQ(world.condition("Complete").value("status", ""), "False");
  EXPECT_EQ(world.history.back(), "exec resume");
}

TEST(VolumeBackup, FilesThatCannotBeReadAreNamedAndOlderSnapshotsStay) {
  World world;
  begin(world);
  mover::SnapshotSeen older;
  older.id = "default.older";
  world.hosts["annex2"].repository["production2/outpack"] = {older};
  world.unreadable["outpack"] = "archive/2019.tar";
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.phase(), "PartiallyFailed") << told(world);
  EXPECT_THAT(world.condition("Failed").value("message", ""), HasSubstr("volume outpack: archive/2019.tar"));
  EXPECT_EQ(world.status()["snapshots"][0]["unreadable"][0], "archive/2019.tar");
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre("default.older", kId));
  EXPECT_THAT(world.kept("annex2", "production2/logs"), ElementsAre(kId));
}

TEST(VolumeBackup, ASuspiciousShrinkIsAnEvent) {
  World world;
  begin(world);
  mover::SnapshotSeen older;
  older.id = "default.older";
  older.logical_bytes = 100'000;
  older.files = 10;
  world.hosts["annex2"].repository["production2/outpack"] = {older};
  ASSERT_TRUE(world.run());
  EXPECT_EQ(std::ranges::count(world.events, "SourceShrank"), 1);
  EXPECT_EQ(world.phase(), "Succeeded");
}

// ---- hooks ---------------------------------------------------------------------------------------------------------

TEST(VolumeBackup, AHookBeforeThatFailsEndsTheRunBeforeAnythingIsCopied) {
  World world;
  begin(world);
  world.exec_exit_codes["save"] = 1;
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.phase(), "Failed") << told(world);
  EXPECT_EQ(world.condition("Failed").value("reason", ""), "HookFailed");
  EXPECT_THAT(world.condition("Failed").value("message", ""), HasSubstr("no such key"));
  EXPECT_THAT(world.history, ElementsAre("exec save", "exec resume")) << "what the hook before began is ended";
}

TEST(VolumeBackup, NamesEachHookThatFailed) {
  World world;
  begin(world);
  world.exec_exit_codes = {{"save", 1}, {"resume", 1}};
  ASSERT_TRUE(world.run());
  for (const char* type : {"Failed", "HooksSucceeded"}) {
    EXPECT_THAT(world.condition(type).value("message", ""), HasSubstr("before/save")) << type;
    EXPECT_THAT(world.condition(type).value("message", ""), HasSubstr("after/resume")) << type;
  }
}

TEST(VolumeBackup, AHookThatMayFailIsToldAndTheRunGoesOn) {
  World world;
  Json policy = policy_manifest();
  policy["spec"]["source"]["hooks"]["before"][0]["exec"]["onFailure"] = "Continue";
  world.apply(policy);
  world.apply(backup_manifest());
  world.exec_exit_codes["save"] = 1;
  ASSERT_TRUE(world.run());
  expect_backed_up(world, "hook failed");
  EXPECT_EQ(world.condition("HooksSucceeded").value("status", ""), "False");
  EXPECT_THAT(world.condition("HooksSucceeded").value("message", ""), HasSubstr("before/save"));
}

TEST(VolumeBackup, AHookAfterThatFailsIsNotPassedOver) {
  World world;
  begin(world);
  world.exec_exit_codes["resume"] = 3;
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.phase(), "PartiallyFailed") << told(world);
  EXPECT_THAT(world.condition("Failed").value("message", ""), HasSubstr("after/resume"));
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre(kId));
}

TEST(VolumeBackup, ARequestAsHookCountsByItsStatus) {
  World world;
  Json policy = policy_manifest();
  policy["spec"]["source"]["hooks"]["after"] = {{{"name", "tell"}, {"http", {{"url", "http://x/done"}}}}};
  world.apply(policy);
  world.apply(backup_manifest());
  world.http_status = 503;
  ASSERT_TRUE(world.run());
  EXPECT_EQ(world.history.back(), "POST http://x/done");
  EXPECT_THAT(world.condition("Failed").value("message", ""), HasSubstr("answered 503, expected is 200: sorry"));
}

TEST(VolumeBackup, TheHookAfterRunsEvenIfThePolicyIsDeletedMeanwhile) {
  World world;
  begin(world);
  ASSERT_TRUE(world.run_until([&] { return world.times("exec save") == 1; }));
  world.objects.erase("BackupPolicy/default/outpack");
  ASSERT_TRUE(world.run());
  expect_backed_up(world, "policy deleted");
}

// ---- deletion ------------------------------------------------------------------------------------------------------

TEST(VolumeBackup, DeletedWhileItRunsItStopsAndRunsItsHookAfter) {
  World world;
  begin(world);
  ASSERT_TRUE(world.run_until([&] { return world.times("copy production2/outpack@annex2") == 1; }));
  world.remove();
  ASSERT_TRUE(world.run());
  EXPECT_TRUE(world.backup().is_null());
  EXPECT_EQ(world.history.back(), "exec resume");
  EXPECT_EQ(world.workers(), 0);
  EXPECT_THAT(world.violations, IsEmpty());
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre(kId)) << "Retain";
}

TEST(VolumeBackup, DeletedWithRetainLetsGoAtOnce) {
  World world;
  begin(world);
  ASSERT_TRUE(world.run());
  world.hosts["annex2"].reachable = false;
  world.remove();
  EXPECT_TRUE(world.backup().is_null());
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre(kId));
}

Json deleting_backup() {
  Json backup = backup_manifest();
  backup["spec"]["deletionPolicy"] = "Delete";
  return backup;
}

TEST(VolumeBackup, DeletedWithDeleteForgetsItsSnapshotsAndNoOthers) {
  World world;
  world.apply(policy_manifest());
  world.apply(deleting_backup());
  mover::SnapshotSeen older;
  older.id = "default.older";
  world.hosts["annex2"].repository["production2/outpack"] = {older};
  ASSERT_TRUE(world.run());
  ASSERT_EQ(world.backup()["metadata"]["finalizers"].size(), 1u) << "it must be held until its data is gone";
  world.hosts["annex2"].reachable = false;
  world.remove();
  world.run("nightly", 5);
  ASSERT_FALSE(world.backup().is_null());
  EXPECT_THAT(world.condition("Blocked").value("message", ""), HasSubstr("roadstead delete host annex2"));
  world.hosts["annex2"].reachable = true;
  ASSERT_TRUE(world.run());
  EXPECT_TRUE(world.backup().is_null());
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre("default.older"));
  EXPECT_THAT(world.kept("annex2", "production2/logs"), IsEmpty());
  EXPECT_EQ(world.workers(), 0);
}

TEST(VolumeBackup, DeletedBeforeItsEndIsForgottenByOneWorkerHoweverLongThatTakes) {
  World world;
  world.apply(policy_manifest());
  world.apply(deleting_backup());
  ASSERT_TRUE(world.run_until([&] { return world.kept("annex2", "production2/outpack").size() == 1; }));
  world.forget_looks = 12;
  world.created.clear();
  world.remove();
  ASSERT_TRUE(world.run());
  EXPECT_TRUE(world.backup().is_null());
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), IsEmpty());
  std::map<std::string, int> made;
  for (const ContainerSpec& one : world.created)
    if (reconcilers::value_of(one.labels, reconcilers::label::kStep) == "forget") ++made[one.name];
  EXPECT_FALSE(made.empty());
  for (const auto& [name, times] : made) EXPECT_EQ(times, 1) << name;
  EXPECT_EQ(world.workers(), 0);
}

TEST(VolumeBackup, DeletedWithDeleteThoughItIsKeptStaysUntilKeepIsTakenAway) {
  World world;
  world.apply(policy_manifest());
  world.apply(deleting_backup());
  ASSERT_TRUE(world.run());
  world.objects["Backup/default/nightly"]["spec"]["keep"] = true;
  world.hosts["annex2"].repository["production2/outpack"][0].kept = true;
  world.remove();
  world.run("nightly", 5);
  ASSERT_FALSE(world.backup().is_null());
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "Kept");
  EXPECT_THAT(world.condition("Blocked").value("message", ""),
              HasSubstr("take keep away first: `kubectl --kubeconfig DATA/admin.kubeconfig patch backup nightly -n "
                        "default --type merge -p "
                        R"('{"spec":{"keep":false}}'`)"));
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre(kId));
  Json& backup = world.objects["Backup/default/nightly"];
  backup["spec"]["keep"] = false;
  backup["metadata"]["resourceVersion"] = "9999";
  ASSERT_TRUE(world.run());
  EXPECT_TRUE(world.backup().is_null());
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), IsEmpty());
}

Json unfinished_restore(Json from, Json pinned = Json::array()) {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "RestoreRequest"},
          {"metadata", {{"name", "uat"}, {"namespace", "default"}}},
          {"spec",
           {{"target", {{"hostRef", {{"name", "uat"}}}}},
            {"items", {{{"name", "a"}, {"from", std::move(from)}, {"to", {{"volume", "v"}}}}}}}},
          {"status", {{"pinned", std::move(pinned)}}}};
}

TEST(VolumeBackup, DeletedWithDeleteWhileARestoreUsesItWaitsForTheRestoresEnd) {
  const Json pin = {
      {"item", "a"},
      {"target", "Name"},
      {"snapshot", {{"host", "annex2"}, {"sourceHost", "production2"}, {"volume", "outpack"}, {"id", kId}}}};
  for (const Json& restore :
       {unfinished_restore({{"backupRef", {{"name", "nightly"}}}, {"volume", "outpack"}}),
        unfinished_restore({{"backupPolicyRef", {{"name", "outpack"}}}, {"volume", "outpack"}}, Json::array({pin}))}) {
    SCOPED_TRACE(restore.dump());
    World world;
    world.apply(policy_manifest());
    world.apply(deleting_backup());
    ASSERT_TRUE(world.run());
    world.apply(restore);
    world.objects["RestoreRequest/default/uat"]["status"] = restore["status"];
    world.remove();
    world.run("nightly", 5);
    ASSERT_FALSE(world.backup().is_null());
    EXPECT_EQ(world.condition("Blocked").value("reason", ""), "InUse");
    EXPECT_THAT(
        world.condition("Blocked").value("message", ""),
        AllOf(
            HasSubstr("RestoreRequest uat"), HasSubstr("`roadstead describe restorerequest uat -n default`"),
            HasSubstr("`kubectl --kubeconfig DATA/admin.kubeconfig patch restorerequest uat -n default --type merge -p "
                      "'{\"spec\":{\"cancel\":true}}'`")));
    EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre(kId));
    world.objects["RestoreRequest/default/uat"]["status"]["conditions"] =
        Json::parse(R"([{"type":"Complete","status":"True"}])");
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.backup().is_null());
    EXPECT_THAT(world.kept("annex2", "production2/outpack"), IsEmpty());
  }
}

TEST(VolumeBackup, DeletedWithDeleteWhileARestoreHasNotSaidWhatItUsesWaits) {
  World world;
  world.apply(policy_manifest());
  world.apply(deleting_backup());
  ASSERT_TRUE(world.run());
  Json restore = unfinished_restore({{"backupPolicyRef", {{"name", "outpack"}}}, {"volume", "outpack"}});
  restore.erase("status");  // as after a lost store
  world.apply(restore);
  world.remove();
  world.run("nightly", 5);
  ASSERT_FALSE(world.backup().is_null());
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "InUse");
  EXPECT_THAT(world.condition("Blocked").value("message", ""),
              HasSubstr("RestoreRequest uat has not said yet which snapshots it uses"));
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre(kId));
  // It goes on, and uses another.
  world.objects["RestoreRequest/default/uat"]["status"] = Json::parse(
      R"({"steps":[{"name":"pin","attempt":1,"state":"Succeeded"}],"pinned":[{"item":"a","target":"Name",
          "snapshot":{"host":"annex2","sourceHost":"production2","volume":"outpack","id":"default.other"}}]})");
  ASSERT_TRUE(world.run());
  EXPECT_TRUE(world.backup().is_null());
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), IsEmpty());
}

TEST(VolumeBackup, DeletedWithDeleteBeforeItFoundItsSnapshotAgainWaitsForWhoPinnedIt) {
  World world;
  world.apply(policy_manifest());
  world.apply(deleting_backup());
  ASSERT_TRUE(world.run());
  world.lose_store();
  world.apply(unfinished_restore({{"backupPolicyRef", {{"name", "outpack"}}}, {"volume", "outpack"}}));
  world.objects["RestoreRequest/default/uat"]["status"] = Json::parse(
      R"({"steps":[{"name":"pin","attempt":1,"state":"Succeeded"}],"pinned":[{"item":"a","target":"Name",
          "snapshot":{"host":"annex2","sourceHost":"production2","volume":"outpack"}}]})");
  world.objects["RestoreRequest/default/uat"]["status"]["pinned"][0]["snapshot"]["id"] = kId;
  ASSERT_TRUE(world.run_until([&] { return world.status().contains("steps"); }));
  Json& backup = world.objects["Backup/default/nightly"];
  backup["metadata"]["finalizers"] = {"roadstead.dev/backup"};
  backup["status"].erase("snapshots");
  backup["status"].erase("conditions");
  backup["status"].erase("phase");
  backup["status"].erase("finishedAt");
  world.remove();
  world.run("nightly", 5);
  ASSERT_FALSE(world.backup().is_null());
  EXPECT_EQ(world.condition("Blocked").value("reason", ""), "InUse");
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre(kId));
}

TEST(VolumeBackup, DeletedWithDeleteAtAnyCallOfItsRunLeavesNothing) {
  const int calls = calls_of_a_whole_backup();
  for (int n = 5; n <= calls && !::testing::Test::HasFailure(); n += 3) {
    World world;
    world.apply(policy_manifest());
    world.apply(deleting_backup());
    bool removed = false;
    world.before_call = [&](int call) {
      if (call != n || removed) return;
      removed = true;
      world.remove();
    };
    for (int i = 0; i < 200 && !world.backup().is_null(); ++i) {
      world.run("nightly", 1);
      // Finished before it was deleted: held, nothing more to do.
      if (!removed && world.phase() == "Succeeded") break;
    }
    if (!removed) break;
    SCOPED_TRACE("deleted at call " + std::to_string(n));
    EXPECT_TRUE(world.backup().is_null());
    EXPECT_THAT(world.kept("annex2", "production2/outpack"), IsEmpty());
    EXPECT_THAT(world.kept("annex2", "production2/logs"), IsEmpty());
    EXPECT_EQ(world.workers(), 0);
    EXPECT_EQ(world.times("exec save") > 0, world.times("exec resume") > 0);
  }
}

TEST(VolumeBackup, ThatIsKeptAfterAllIsNotForgotten) {
  World world;
  world.apply(policy_manifest());
  world.apply(deleting_backup());
  ASSERT_TRUE(world.run());
  world.objects["Backup/default/nightly"]["spec"]["deletionPolicy"] = "Retain";
  ASSERT_TRUE(world.run());
  EXPECT_TRUE(world.backup()["metadata"].value("finalizers", Json::array()).empty());
  world.remove();
  EXPECT_THAT(world.kept("annex2", "production2/outpack"), ElementsAre(kId));
}

// ---- copies of copies ----------------------------------------------------------------------------------------------

Json offsite_policy() {
  Json policy = policy_manifest({}, {"offsite"}, false);
  policy["metadata"]["name"] = "offsite-copy";
  policy["spec"]["source"] = {{"hostRef", {{"name", "annex2"}}},
                              {"repository", {{"policyRefs", {{{"name", "outpack"}}}}}}};
  return policy;
}

mover::SnapshotSeen snapshot(const std::string& id, const std::string& policy, int day,
                             const std::string& installation = "default") {
  mover::SnapshotSeen seen;
  seen.id = id;
  seen.origin = mover::to_json(mover::Origin{installation, "default", id, policy, "production2", "outpack", {}});
  seen.data_bytes = seen.logical_bytes = 50;
  seen.data_as_of = Time(std::chrono::hours(24 * day));
  return seen;
}

TEST(OffsiteCopy, BringsWhatIsMissingOldestFirstAndKeepsWhoseItIs) {
  World world;
  world.hosts["annex2"].repository["production2/outpack"] = {snapshot("a", "outpack", 1), snapshot("b", "outpack", 2),
                                                             snapshot("other", "redis", 2), snapshot("c", "outpack", 3),
                                                             snapshot("foreign", "outpack", 3, "elsewhere")};
  world.hosts["offsite"].repository["production2/outpack"] = {snapshot("a", "outpack", 1)};
  world.apply(policy_manifest());
  world.apply(offsite_policy());
  world.apply(backup_manifest("weekly", "offsite-copy"));
  ASSERT_TRUE(world.run("weekly")) << told(world, "weekly");
  EXPECT_EQ(world.phase("weekly"), "Succeeded") << told(world, "weekly");
  EXPECT_THAT(world.kept("offsite", "production2/outpack"), ElementsAre("a", "b", "c"));
  EXPECT_EQ(world.bytes_sent, 100u);
  const auto origin = mover::parse_origin(world.hosts["offsite"].repository["production2/outpack"][1].origin);
  ASSERT_TRUE(origin);
  EXPECT_EQ(origin->policy, "outpack");
  EXPECT_EQ(origin->host, "production2");
  EXPECT_EQ(world.status("weekly")["snapshots"].size(), 2u);
  EXPECT_EQ(world.status("weekly")["snapshots"][0]["sourceHost"], "production2");
  EXPECT_EQ(world.workers(), 0);
  EXPECT_THAT(world.violations, IsEmpty());
}

TEST(OffsiteCopy, DeletedWithDeleteLeavesTheMarksOfOtherBackups) {
  World world;
  world.hosts["annex2"].repository["production2/outpack"] = {snapshot("a", "outpack", 1)};
  world.apply(policy_manifest());
  world.apply(offsite_policy());
  Json copies = backup_manifest("weekly", "offsite-copy");
  copies["spec"]["deletionPolicy"] = "Delete";
  world.apply(copies);
  ASSERT_TRUE(world.run("weekly"));
  auto& there = world.hosts["offsite"].repository["production2/outpack"];
  ASSERT_EQ(there.size(), 1u);
  there[0].kept = true;
  world.remove("weekly");
  world.run("weekly", 5);
  ASSERT_FALSE(world.backup("weekly").is_null());
  EXPECT_EQ(world.condition("Blocked", "weekly").value("reason", ""), "Kept");
  EXPECT_THAT(world.kept("offsite", "production2/outpack"), ElementsAre("a"));
  there[0].kept = false;
  ASSERT_TRUE(world.run("weekly"));
  EXPECT_TRUE(world.backup("weekly").is_null());
  EXPECT_THAT(world.kept("offsite", "production2/outpack"), IsEmpty());
}

TEST(OffsiteCopy, WithNothingMissingSucceedsAtOnce) {
  World world;
  world.apply(policy_manifest());
  world.apply(offsite_policy());
  world.apply(backup_manifest("weekly", "offsite-copy"));
  ASSERT_TRUE(world.run("weekly"));
  EXPECT_EQ(world.phase("weekly"), "Succeeded") << told(world, "weekly");
  EXPECT_EQ(world.condition("Complete", "weekly").value("reason", ""), "NothingToCopy");
}

/// A policy thins out this directory of the host and is not ready with it.
void begin_forget(World& world, const std::string& host, const std::string& directory) {
  Container forget;
  forget.id = forget.spec.name = "forget";
  forget.state = ContainerState::Running;
  forget.looks_left = 1'000'000;
  forget.spec.labels = reconcilers::owner_labels("default", {"BackupPolicy", "default", "outpack"});
  forget.spec.labels["dev.roadstead.role"] = "worker";
  forget.spec.labels["dev.roadstead.step"] = "forget";
  forget.spec.mounts.push_back(
      {MountSpec::Type::Bind, "/var/lib/docker/volumes/roadstead_repository/_data/" + directory, "/repository", false});
  world.hosts[host].containers[forget.id] = forget;
}

void begin_offsite(World& world) {
  world.hosts["annex2"].repository["production2/outpack"] = {snapshot("a", "outpack", 1), snapshot("b", "outpack", 2)};
  world.apply(policy_manifest());
  world.apply(offsite_policy());
  world.apply(backup_manifest("weekly", "offsite-copy"));
}

int copies_begun(const World& world) {
  return static_cast<int>(std::ranges::count_if(world.created, [](const ContainerSpec& spec) {
    return reconcilers::value_of(spec.labels, reconcilers::label::kStep).starts_with("copy");
  }));
}

TEST(OffsiteCopy, WaitsForWhoeverForgetsWhereItReadsAndSaysSo) {
  World world;
  begin_offsite(world);
  begin_forget(world, "annex2", "production2/outpack");
  world.run("weekly", 50);
  EXPECT_EQ(copies_begun(world), 0);
  EXPECT_EQ(world.phase("weekly"), "Running") << told(world, "weekly");
  EXPECT_THAT(world.condition("Complete", "weekly").value("message", ""),
              HasSubstr("Waits for BackupPolicy default/outpack, which works on the same repository directory of host "
                        "annex2"));
  world.hosts["annex2"].containers.erase("forget");
  ASSERT_TRUE(world.run("weekly"));
  EXPECT_EQ(world.phase("weekly"), "Succeeded") << told(world, "weekly");
  EXPECT_THAT(world.kept("offsite", "production2/outpack"), ElementsAre("a", "b"));
}

TEST(OffsiteCopy, GoesOnAgainAndAgainWhereTheMoverFindsTheDirectoryLocked) {
  World world;
  begin_offsite(world);
  for (int i = 0; i < 6; ++i) world.copy_failures.push_back({"Busy"});
  ASSERT_TRUE(world.run("weekly"));
  EXPECT_EQ(world.phase("weekly"), "Succeeded") << told(world, "weekly");
  EXPECT_THAT(world.kept("offsite", "production2/outpack"), ElementsAre("a", "b"));
}

TEST(OffsiteCopy, BetweenTwoDirectoriesThatTakeLongToListListsEachOnce) {
  World world;
  begin_offsite(world);
  world.hosts["offsite"].repository["production2/outpack"] = {snapshot("a", "outpack", 1)};
  world.list_looks = 10;
  ASSERT_TRUE(world.run("weekly"));
  EXPECT_EQ(world.phase("weekly"), "Succeeded") << told(world, "weekly");
  EXPECT_THAT(world.kept("offsite", "production2/outpack"), ElementsAre("a", "b"));
  EXPECT_EQ(
      std::ranges::count_if(world.created,
                            [](const ContainerSpec& spec) {
                              return reconcilers::value_of(spec.labels, reconcilers::label::kStep).starts_with("look");
                            }),
      2);
  EXPECT_EQ(world.workers(), 0);
}

TEST(OffsiteCopy, OfASnapshotThatRetentionForgotSinceTheLookIsNoLoss) {
  World world;
  begin_offsite(world);
  ASSERT_TRUE(world.run_until([&] { return copies_begun(world) > 0; }, "weekly"));
  auto& there = world.hosts["annex2"].repository["production2/outpack"];
  there.erase(there.begin());
  ASSERT_TRUE(world.run("weekly"));
  EXPECT_EQ(world.phase("weekly"), "Succeeded") << told(world, "weekly");
  EXPECT_THAT(world.kept("offsite", "production2/outpack"), ElementsAre("b"));
  EXPECT_THAT(told(world, "weekly"), HasSubstr("Snapshot a is not kept on host annex2 any more and needs no copy"));
  EXPECT_EQ(world.workers(), 0);
}

TEST(OffsiteCopy, OutOfADirectoryThatIsGoneSinceTheLookDoesNotSucceed) {
  World world;
  begin_offsite(world);
  world.copy_failures.push_back({"NotFound"});
  ASSERT_TRUE(world.run_until([&] { return copies_begun(world) > 0; }, "weekly"));
  world.hosts["annex2"].repository.clear();
  world.run("weekly");
  EXPECT_NE(world.phase("weekly"), "Succeeded") << told(world, "weekly");
}

TEST(OffsiteCopy, NamesSnapshotsThatCannotBeReadAtTheirSourceAndCopiesTheOthers) {
  World world;
  begin_offsite(world);
  world.hosts["annex2"].spoilt["production2/outpack"] = {"default.bad", "default.copied", "other.bad"};
  world.hosts["offsite"].repository["production2/outpack"] = {snapshot("default.copied", "outpack", 1)};
  ASSERT_TRUE(world.run("weekly"));
  EXPECT_EQ(world.phase("weekly"), "PartiallyFailed") << told(world, "weekly");
  EXPECT_THAT(world.kept("offsite", "production2/outpack"), ElementsAre("default.copied", "a", "b"));
  EXPECT_EQ(world.condition("Failed", "weekly").value("reason", ""), "PartiallyFailed");
  EXPECT_THAT(world.condition("Failed", "weekly").value("message", ""),
              HasSubstr("cannot be read in directory production2/outpack of host annex2 are not copied (default.bad)"));
  // Nothing else is missing any more: that is no success either.
  world.apply(backup_manifest("again", "offsite-copy"));
  ASSERT_TRUE(world.run("again"));
  EXPECT_EQ(world.phase("again"), "Failed") << told(world, "again");
  EXPECT_EQ(world.condition("Failed", "again").value("reason", ""), "SourceUnreadable");
  EXPECT_THAT(world.condition("Failed", "again").value("message", ""), HasSubstr("default.bad"));
}

TEST(OffsiteCopy, OfADirectoryThatIsGoneThoughItWasCopiedBeforeDoesNotSucceed) {
  World world;
  begin_offsite(world);
  world.hosts["annex2"].repository.clear();
  world.hosts["offsite"].repository["production2/outpack"] = {snapshot("a", "outpack", 1)};
  ASSERT_TRUE(world.run("weekly"));
  EXPECT_EQ(world.phase("weekly"), "Failed") << told(world, "weekly");
  EXPECT_THAT(world.condition("Failed", "weekly").value("message", ""),
              HasSubstr("host annex2 has no directory production2/outpack in its repository"));
  EXPECT_THAT(world.kept("offsite", "production2/outpack"), ElementsAre("a"));
}

TEST(OffsiteCopy, KilledBeforeAnyCallItSendsNothingTwice) {
  const auto set_up = [](World& world) {
    world.hosts["annex2"].repository["production2/outpack"] = {snapshot("a", "outpack", 1),
                                                               snapshot("b", "outpack", 2)};
    world.apply(policy_manifest());
    world.apply(offsite_policy());
    world.apply(backup_manifest("weekly", "offsite-copy"));
  };
  World whole;
  set_up(whole);
  whole.run("weekly");
  for (int n = 1; n <= whole.calls && !::testing::Test::HasFailure(); n += stride()) {
    World world;
    world.kill_at = n;
    set_up(world);
    ASSERT_TRUE(world.run("weekly")) << n;
    SCOPED_TRACE("killed before call " + std::to_string(n));
    EXPECT_EQ(world.phase("weekly"), "Succeeded") << told(world, "weekly");
    EXPECT_THAT(world.kept("offsite", "production2/outpack"), ElementsAre("a", "b"));
    EXPECT_EQ(world.bytes_sent, 100u);
    EXPECT_EQ(world.workers(), 0);
  }
}

}  // namespace
}  // namespace roadstead::testing
