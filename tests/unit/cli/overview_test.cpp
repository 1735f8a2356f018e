#include "operator/cli/overview.h"

#include <gtest/gtest.h>

#include "operator/base/rfc3339.h"

namespace roadstead::cli {
namespace {

using namespace std::chrono_literals;

const Time kNow = parse_rfc3339("2026-11-22T10:00:00Z").value();

crds::Condition condition(const std::string& type, crds::ConditionStatus status, const std::string& message = {}) {
  crds::Condition made;
  made.type = type;
  made.status = status;
  made.reason = "Test";
  made.message = message;
  return made;
}

// The whole screen: a host that does not answer says why, policies tell ages, a restore draws its bar, and what has
// ended is not shown as running.
TEST(OverviewTest, SaysAllOnOneScreen) {
  Overview overview;
  crds::Host annex;
  annex.metadata.name = "annex2";
  annex.status.conditions = {condition("Reachable", crds::ConditionStatus::True)};
  annex.status.engine_version = "20.10.24";
  annex.status.last_seen = kNow - 4s;
  annex.status.summary = crds::HostSummary{"412.0 GiB of 1.8 TiB"};
  crds::Host production;
  production.metadata.name = "production2";
  production.spec.is_protected = true;
  production.status.conditions = {condition("Reachable", crds::ConditionStatus::False, "ssh: connection refused")};
  overview.hosts = {annex, production};
  crds::BackupPolicy policy;
  policy.metadata.name = "montagu-base";
  policy.metadata.ns = "default";
  policy.status.last_success_time = kNow - 72h;
  policy.status.next_run_time = kNow + 26h;
  overview.policies = {policy};
  crds::RestoreRequest restore;
  restore.metadata.name = "uat-november";
  restore.metadata.ns = "default";
  restore.status.phase = crds::RestorePhase::Copying;
  crds::RestoreItemStatus item;
  item.name = "montagu-db";
  item.step = "copy";
  item.progress.percent = 61;
  item.progress.bytes_per_second = 412 << 20;
  item.progress.eta_seconds = 130;
  restore.status.items = {item};
  crds::RestoreRequest old = restore;
  old.metadata.name = "old";
  old.status.conditions = {condition("Complete", crds::ConditionStatus::True)};
  overview.restores = {restore, old};
  EXPECT_EQ(
      screen(overview, kNow),
      "HOST                      REACHABLE   ENGINE     FREE                   LAST SEEN\n"
      "annex2                    yes         20.10.24   412.0 GiB of 1.8 TiB   4s ago\n"
      "production2 (protected)   no          -          -                      never       ssh: connection refused\n"
      "\n"
      "No barman servers\n"
      "\n"
      "POLICY         STATE   LAST SUCCESS   NEXT RUN   MISSED\n"
      "montagu-base   ok      3d ago         in 26h     0\n"
      "\n"
      "RUNNING\n"
      "restore uat-november   Copying: montagu-db/copy   [############--------]  61%   412.0 MiB/s   2m10s left\n"
      "\n");
}

// No percent, no moving bar.
TEST(OverviewTest, DrawsNoBarWithoutATotal) {
  EXPECT_EQ(bar(std::nullopt), "[--------------------]");
  EXPECT_EQ(bar(0), "[--------------------]   0%");
  EXPECT_EQ(bar(50), "[##########----------]  50%");
  EXPECT_EQ(bar(100), "[####################] 100%");
}

}  // namespace
}  // namespace roadstead::cli
