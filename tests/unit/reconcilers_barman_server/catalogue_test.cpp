#include "reconcilers/barman_server/catalogue.h"

#include <gtest/gtest.h>

#include "operator/base/rfc3339.h"
#include "reconcilers/support/backup_names.h"

namespace roadstead::reconcilers::barman_server {
namespace {

crds::BarmanServer montagu() {
  crds::BarmanServer server;
  server.metadata.ns = "default";
  server.metadata.name = "montagu";
  return server;
}

crds::CatalogBackup entry(const std::string& id, const std::string& status, const std::string& name = {}) {
  crds::CatalogBackup backup;
  backup.id = id;
  backup.name = name;
  backup.status = status;
  return backup;
}

crds::Backup object(const std::string& name) {
  crds::Backup backup;
  backup.metadata.ns = "default";
  backup.metadata.name = name;
  return backup;
}

crds::Backup finished(const std::string& name, const std::string& id, const char* condition = "Complete") {
  crds::Backup backup = object(name);
  backup.status.barman = crds::BarmanBackupResult{.server = "montagu", .backup_id = id};
  backup.status.conditions.push_back({condition, crds::ConditionStatus::True, "X", "", std::nullopt, 1});
  return backup;
}

TEST(BackupObjects, OfALostStoreComeBackUnderTheNamesTheyWereMadeUnder) {
  const auto changes = object_changes(
      montagu(),
      {entry("20261101T000003", "DONE", "roadstead.default.montagu-base-20261101t0000z.2"),
       entry("20261023T100000", "DONE", "roadstead.default.by-hand.1"), entry("20261022T100000", "DONE", "nightly")},
      {});
  ASSERT_EQ(changes.create.size(), 3u);
  const auto& scheduled = changes.create[0];
  EXPECT_EQ(scheduled.metadata.name, "montagu-base-20261101t0000z");
  EXPECT_EQ(scheduled.metadata.labels.at(std::string(crds::kPolicyLabel)), "montagu-base");
  EXPECT_EQ(scheduled.spec.policy_ref->name, "montagu-base");
  EXPECT_EQ(scheduled.spec.scheduled_time, parse_rfc3339("2026-11-01T00:00:00Z").value());
  EXPECT_EQ(scheduled.metadata.annotations.at(std::string(kCatalogIdAnnotation)), "20261101T000003");
  EXPECT_EQ(changes.create[1].metadata.name, "by-hand");
  EXPECT_EQ(changes.create[1].spec.source->barman->server_ref.name, "montagu");
  EXPECT_EQ(changes.create[2].metadata.name, "montagu-20261022t100000") << "made by somebody else";
}

TEST(BackupObjects, AreMadeOnlyForGoodBackupsThatHaveNone) {
  const std::vector<crds::CatalogBackup> catalogue{
      entry("3", "STARTED", "roadstead.default.now.1"), entry("2", "FAILED", "roadstead.default.broken.1"),
      entry("1", "DONE", "roadstead.default.running.1"), entry("0", "DONE", "x")};
  const auto changes = object_changes(montagu(), catalogue, {object("running"), finished("renamed", "0")});
  EXPECT_TRUE(changes.create.empty());
  EXPECT_TRUE(changes.remove.empty());
}

TEST(BackupObjects, ComeBackWhenDeletedAndGoWithTheirData) {
  EXPECT_EQ(object_changes(montagu(), {entry("1", "DONE", "roadstead.default.a.1")}, {}).create.size(), 1u);
  const auto changes = object_changes(montagu(), {}, {finished("a", "1"), finished("b", "", "Failed"), object("c")});
  EXPECT_EQ(changes.remove, std::vector<std::string>{"a"}) << "a failed run and one to come have no data to go with";
  auto other = finished("d", "1");
  other.status.barman->server = "packit";
  EXPECT_TRUE(object_changes(montagu(), {}, {other}).remove.empty());
}

TEST(BackupObjects, OfAnotherNamespacesNameAreSomebodyElses) {
  const auto changes = object_changes(montagu(), {entry("20261101T000003", "DONE", "roadstead.other.x.1")}, {});
  EXPECT_EQ(changes.create.at(0).metadata.name, "montagu-20261101t000003");
}

TEST(Leftovers, OfOursAreDeletedOnceTheirFailureIsTakenDown) {
  const std::vector<crds::CatalogBackup> catalogue{entry("2", "FAILED", "roadstead.default.run.1")};
  auto run = object("run");
  run.status.attempt = 1;
  run.status.steps = {{.name = "backup", .attempt = 1, .state = crds::StepState::Running}};
  EXPECT_TRUE(leftovers(montagu(), catalogue, {run}, false).ours.empty()) << "the Backup has not seen it yet";
  run.status.steps[0].state = crds::StepState::Failed;
  EXPECT_EQ(leftovers(montagu(), catalogue, {run}, false).ours, std::vector<std::string>{"2"});
  EXPECT_EQ(leftovers(montagu(), catalogue, {}, false).ours, std::vector<std::string>{"2"}) << "its object was deleted";
}

TEST(Leftovers, ThatOnlyStartedAreDeadWhenNobodyHoldsBarmansLock) {
  const std::vector<crds::CatalogBackup> catalogue{entry("2", "STARTED", "roadstead.default.run.1"),
                                                   entry("1", "DONE", "roadstead.default.a.1"),
                                                   entry("0", "WAITING_FOR_WALS", "x")};
  EXPECT_TRUE(leftovers(montagu(), catalogue, {}, true).ours.empty());
  EXPECT_EQ(leftovers(montagu(), catalogue, {}, false).ours, std::vector<std::string>{"2"});
}

TEST(Leftovers, OfOthersAreOnlyTold) {
  const auto found = leftovers(montagu(), {entry("2", "FAILED", "nightly"), entry("1", "FAILED", "")}, {}, false);
  EXPECT_TRUE(found.ours.empty());
  EXPECT_EQ(found.foreign, (std::vector<std::string>{"2", "1"}));
}

const Time kNoon = parse_rfc3339("2026-11-22T12:00:00Z").value();

TEST(Leftovers, OfOthersThatAreStuckKeepNobodyBusy) {
  const std::vector<crds::CatalogBackup> catalogue{entry("2", "STARTED", "nightly"), entry("1", "DONE")};
  EXPECT_TRUE(leftovers(montagu(), catalogue, {}, true).foreign.empty()) << "it may be alive";
  const auto stuck = leftovers(montagu(), catalogue, {}, false).foreign;
  EXPECT_EQ(stuck, std::vector<std::string>{"2"});
  EXPECT_TRUE(is_busy(catalogue, {}));
  EXPECT_FALSE(is_busy(catalogue, stuck)) << "it stays until somebody deletes it";
  EXPECT_TRUE(is_busy({entry("3", "WAITING_FOR_WALS"), entry("2", "STARTED")}, stuck));
}

TEST(OwnBackup, IsTheFirstAndTheOneAfterAGap) {
  EXPECT_EQ(own_backup(montagu(), {}, {}, "", kNoon)->metadata.name, "montagu-initial");
  EXPECT_FALSE(own_backup(montagu(), {}, {object("montagu-initial")}, "", kNoon)) << "it is made once";
  EXPECT_FALSE(own_backup(montagu(), {entry("1", "DONE")}, {}, "", kNoon));
  EXPECT_FALSE(own_backup(montagu(), {entry("1", "WAITING_FOR_WALS")}, {}, "", kNoon));
  EXPECT_EQ(own_backup(montagu(), {entry("1", "DONE")}, {}, "00000001000000000000000C", kNoon)->metadata.name,
            "montagu-after-gap-00000001000000000000000c");
  auto by_hand = montagu();
  by_hand.spec.initial_backup = false;
  EXPECT_FALSE(own_backup(by_hand, {}, {}, "", kNoon));
}

TEST(OwnBackup, ThatFailedIsTriedAgainUnderAnotherNameAfterAnHourOrAtOnceWhenItIsDeleted) {
  using namespace std::chrono_literals;
  auto first = finished("montagu-initial", "", "Failed");
  first.status.finished_at = kNoon;
  EXPECT_FALSE(own_backup(montagu(), {}, {first}, "", kNoon + 59min));
  const auto failure = own_failure(montagu(), {}, {first}, "");
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->name, "montagu-initial");
  EXPECT_EQ(failure->again, kNoon + 1h);
  EXPECT_EQ(own_backup(montagu(), {}, {}, "", kNoon + 1min)->metadata.name, "montagu-initial") << "it was deleted";

  EXPECT_EQ(own_backup(montagu(), {}, {first}, "", kNoon + 1h)->metadata.name, "montagu-initial-2");
  EXPECT_FALSE(own_backup(montagu(), {}, {first, object("montagu-initial-2")}, "", kNoon + 5h)) << "it is under way";
  EXPECT_FALSE(own_failure(montagu(), {}, {first, object("montagu-initial-2")}, ""));
  auto second = finished("montagu-initial-2", "", "Failed");
  second.status.finished_at = kNoon + 2h;
  EXPECT_FALSE(own_backup(montagu(), {}, {first, second}, "", kNoon + 3h)) << "each pause is longer";
  EXPECT_EQ(own_backup(montagu(), {}, {first, second}, "", kNoon + 4h)->metadata.name, "montagu-initial-3");
  EXPECT_EQ(own_failure(montagu(), {}, {first, second}, "")->name, "montagu-initial-2");
  EXPECT_FALSE(own_failure(montagu(), {entry("1", "DONE")}, {first, second}, "")) << "none is wanted any more";

  auto gap = finished("montagu-after-gap-timeline-2", "", "Failed");
  gap.status.finished_at = kNoon;
  EXPECT_EQ(own_backup(montagu(), {entry("1", "DONE")}, {gap}, "timeline-2", kNoon + 1h)->metadata.name,
            "montagu-after-gap-timeline-2-2");
}

}  // namespace
}  // namespace roadstead::reconcilers::barman_server
