// Which directories a policy has, whether it can run at all, which part is verified when: tables of pure functions.
#include "reconcilers/backup_policy/upkeep.h"

#include <gtest/gtest.h>

#include "operator/base/rfc3339.h"

namespace roadstead::reconcilers::backup_policy {
namespace {

Time at(const char* text) { return parse_rfc3339(text).value(); }

crds::Host host(const std::string& name, bool keeps_backups) {
  crds::Host one;
  one.metadata.name = name;
  if (keeps_backups) one.spec.repository = crds::RepositoryAccess{"roadstead_repository"};
  return one;
}

crds::BackupPolicy outpack() {
  crds::BackupPolicy policy;
  policy.metadata.ns = "default";
  policy.metadata.name = "outpack";
  policy.spec.source.host_ref = crds::NameRef{"production2"};
  policy.spec.source.volumes = {{"outpack", {}}, {"logs", {}}};
  policy.spec.destinations = {{{"annex2"}}, {{"annex3"}}};
  return policy;
}

Named site() {
  Named named;
  for (const auto& one :
       {host("production2", false), host("annex2", true), host("annex3", true), host("offsite", true)})
    named.hosts.emplace(one.metadata.name, one);
  named.policies.emplace("outpack", outpack());
  return named;
}

std::vector<std::string> told(const Scope& scope) {
  std::vector<std::string> all;
  for (const Place& place : scope.places) all.push_back(to_text(place));
  return all;
}

using Lines = std::vector<std::string>;

TEST(Scope, OfVolumesIsEveryVolumeAtEveryDestination) {
  const Scope scope = scope_of(outpack(), site());
  EXPECT_TRUE(scope.ready) << scope.ready.error().message;
  EXPECT_EQ(told(scope), (Lines{"annex2/production2/outpack", "annex2/production2/logs", "annex3/production2/outpack",
                                "annex3/production2/logs"}));
  EXPECT_EQ(scope.policies, std::set<std::string>{"outpack"});
}

crds::BackupPolicy copying(const std::string& from = "annex2", const std::string& to = "offsite") {
  crds::BackupPolicy policy;
  policy.metadata.ns = "default";
  policy.metadata.name = "elsewhere";
  policy.spec.source.host_ref = crds::NameRef{from};
  policy.spec.source.repository = crds::RepositorySource{{{"outpack"}}};
  policy.spec.destinations = {{{to}}};
  return policy;
}

TEST(Scope, OfACopyIsWhatTheOthersBackUpUnderTheirNames) {
  const Scope scope = scope_of(copying(), site());
  EXPECT_TRUE(scope.ready) << scope.ready.error().message;
  EXPECT_EQ(told(scope), (Lines{"offsite/production2/outpack", "offsite/production2/logs"}));
  EXPECT_EQ(scope.policies, std::set<std::string>{"outpack"});
}

TEST(Scope, SaysWhyNothingCanRunAndWhatToDo) {
  const auto why = [](const crds::BackupPolicy& policy, const Named& named) {
    const Scope scope = scope_of(policy, named);
    return scope.ready ? std::string() : scope.ready.error().message;
  };
  Named named = site();
  named.hosts.erase("production2");
  EXPECT_EQ(why(outpack(), named),
            "spec.source.hostRef: there is no Host production2, so the runs wait; apply it, or correct the name (see: "
            "roadstead get hosts)");
  named = site();
  named.hosts.at("annex3").spec.repository.reset();
  EXPECT_EQ(why(outpack(), named),
            "spec.destinations[1].hostRef: Host annex3 keeps no backups; name a volume for them in its "
            "spec.repository.volume");
  named = site();
  crds::Host& production = named.hosts.at("production2");
  production.status.volumes = {{"outpack", "local", {}, {}}};
  EXPECT_EQ(why(outpack(), named), "") << "a host that does not answer says nothing about its volumes";
  production.status.conditions.push_back({"Reachable", crds::ConditionStatus::True, "", "", {}, 0});
  EXPECT_EQ(why(outpack(), named),
            "spec.source.volumes[1]: there is no volume logs on host production2; create it, or correct the name (see: "
            "roadstead describe host production2)");
  named = site();
  named.policies.clear();
  EXPECT_EQ(why(copying(), named),
            "spec.source.repository.policyRefs[0]: there is no BackupPolicy outpack in namespace default; apply it, or "
            "correct the name (see: roadstead get backuppolicies -n default)");
  EXPECT_EQ(why(copying("offsite", "annex2"), site()),
            "spec.source.repository.policyRefs[0]: BackupPolicy outpack keeps its snapshots on host annex2 itself, and "
            "two policies would thin them out; take the host out of one of them");
  named = site();
  named.policies.at("outpack").spec.destinations = {{{"annex3"}}};
  EXPECT_EQ(why(copying(), named),
            "spec.source.repository.policyRefs[0]: BackupPolicy outpack keeps nothing on host annex2 (its "
            "spec.destinations)");
}

struct Turns {
  const char* cron;
  std::uint32_t parts;
};
void PrintTo(const Turns& turns, std::ostream* out) { *out << turns.cron << " in " << turns.parts; }
class PartsTakeTurns : public testing::TestWithParam<Turns> {};

TEST_P(PartsTakeTurns, SoThatEachIsReadOnceBeforeAnyIsReadTwice) {
  const auto schedule = read_schedule({GetParam().cron, "Europe/London"}).value();
  Time time = at("2026-02-03T04:05:06Z");
  std::vector<std::uint32_t> parts;
  for (std::uint32_t i = 0; i < 2 * GetParam().parts; ++i) {
    time = schedule.cron.next_after(time, *schedule.zone).value();
    parts.push_back(part_at(schedule, time, GetParam().parts));
  }
  for (std::uint32_t i = 1; i < parts.size(); ++i) EXPECT_EQ(parts[i], (parts[i - 1] + 1) % GetParam().parts) << i;
}
INSTANTIATE_TEST_SUITE_P(Schedules, PartsTakeTurns,
                         testing::Values(Turns{"0 3 * * *", 10}, Turns{"@weekly", 4}, Turns{"0 4 1 * *", 12},
                                         Turns{"0 3 * * 1,4", 7}, Turns{"30 1 * * *", 30}, Turns{"0 * * * *", 50},
                                         Turns{"*/10 * * * *", 40}, Turns{"@daily", 1}));

TEST(Parts, AreTheSameForWhoeverAsks) {
  const auto schedule = read_schedule({"@daily", "UTC"}).value();
  const Time time = at("2026-11-20T00:00:00Z");
  EXPECT_EQ(part_at(schedule, time, 10), part_at(schedule, time, 10));
}

class Following : public testing::Test {
 protected:
  Following() {
    mover::SnapshotSeen seen;
    seen.id = "default.b10";
    seen.origin = mover::to_json(mover::Origin{"default", "default", "b10", "outpack", "production2", "outpack", {}});
    listing_.begun = at("2026-11-20T12:00:00Z");
    listing_.data.snapshots.push_back(seen);
  }
  static crds::Backup ended(const std::string& name, const char* when) {
    crds::Backup one;
    one.metadata.name = name;
    one.status.finished_at = at(when);
    one.status.conditions.push_back({"Complete", crds::ConditionStatus::True, "", "", {}, 0});
    one.status.snapshots.push_back(
        {.volume = "outpack", .source_host = "production2", .host = "annex2", .id = "default." + name});
    return one;
  }
  ObjectChanges changes(const std::vector<crds::Backup>& objects, bool fresh = true) const {
    return object_changes({"default", "default", {"outpack"}}, {"annex2", "production2", "outpack"}, listing_, objects,
                          fresh);
  }
  Listing listing_;
};

TEST_F(Following, AListingJudgesNoBackupThatEndedAfterIt) {
  const auto gone = changes({ended("b10", "2026-11-10T00:00:00Z"), ended("b19", "2026-11-20T11:59:59Z")}).remove;
  ASSERT_EQ(gone.size(), 1U);
  EXPECT_EQ(gone[0].metadata.name, "b19");
  EXPECT_TRUE(gone[0].status.snapshots.empty()) << "its deletion must find nothing to forget";
  EXPECT_EQ(changes(gone).remove.size(), 1U) << "an operator that ended in between goes on";
  EXPECT_TRUE(changes({ended("b10", "2026-11-10T00:00:00Z"), ended("b20", "2026-11-20T12:00:00Z")}).remove.empty());
  crds::Backup running = ended("b19", "2026-11-20T11:00:00Z");
  running.status.conditions.clear();
  EXPECT_TRUE(changes({running}).remove.empty());
}

TEST_F(Following, OnlyAFreshListingMakesObjects) {
  ASSERT_EQ(changes({}).create.size(), 1U);
  EXPECT_FALSE(changes({}).lacks_objects);
  EXPECT_TRUE(changes({}, false).create.empty()) << "its snapshot may have been forgotten with its object";
  EXPECT_TRUE(changes({}, false).lacks_objects);
  crds::Backup going = ended("b10", "2026-11-10T00:00:00Z");
  going.metadata.deletion_timestamp = at("2026-11-20T12:00:01Z");
  EXPECT_TRUE(changes({going}).create.empty());
}

TEST_F(Following, ASnapshotOfAnotherInstallationOrNamespaceIsNoneOfOurs) {
  for (const char* origin : {R"({"installation":"other","namespace":"default","backup":"b10","policy":"outpack"})",
                             R"({"installation":"default","namespace":"other","backup":"b10","policy":"outpack"})",
                             R"({"installation":"default","namespace":"default","policy":"outpack"})", "{}"}) {
    listing_.data.snapshots[0].origin = origin;
    EXPECT_TRUE(changes({}).create.empty()) << origin;
  }
}

TEST_F(Following, AManifestThatCannotBeReadIsStillThere) {
  listing_.data.snapshots.clear();
  listing_.data.unreadable = {"default.b10"};
  EXPECT_TRUE(changes({ended("b10", "2026-11-10T00:00:00Z")}).remove.empty());
}

TEST_F(Following, APartialSnapshotIsFoundAsOne) {
  listing_.data.snapshots[0].unreadable = {2, {"a", "b"}};
  const auto made = changes({}).create;
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made[0].status.phase, crds::BackupPhase::PartiallyFailed);
  EXPECT_EQ(crds::find_condition(made[0].status.conditions, "Failed")->reason, "PartiallyFailed");
  EXPECT_EQ(made[0].status.snapshots[0].unreadable, (Lines{"a", "b"}));
}

TEST(Spent, BackupsThatLeftNothingGoBeyondTheNewest) {
  std::vector<crds::Backup> all;
  for (int i = 0; i < 5; ++i) {
    crds::Backup& one = all.emplace_back();
    one.metadata.name = "b" + std::to_string(i);
    one.metadata.labels[std::string(crds::kPolicyLabel)] = "outpack";
    one.status.finished_at = at("2026-11-20T00:00:00Z") + std::chrono::hours(i);
    one.status.conditions.push_back({"Failed", crds::ConditionStatus::True, "", "", {}, 0});
  }
  all[0].status.snapshots.emplace_back();
  all[1].spec.keep = true;
  EXPECT_EQ(spent_objects("outpack", all, 2), Lines{"b2"});
  EXPECT_TRUE(spent_objects("other", all, 0).empty());
}

}  // namespace
}  // namespace roadstead::reconcilers::backup_policy
