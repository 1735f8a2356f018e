#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "operator/base/rfc3339.h"
#include "reconcilers/host/decide.h"
#include "reconcilers/host/reconciler.h"
#include "reconcilers/support/hosts.h"

namespace roadstead::reconcilers::host {
namespace {

const Time kNoon = parse_rfc3339("2026-11-22T12:00:00Z").value();

crds::Host uat() {
  crds::Host host;
  host.metadata.name = "uat";
  host.metadata.generation = 3;
  host.spec.engine.endpoint = "ssh://deploy@uat.example.org";
  return host;
}

Observed answering() {
  Observed seen;
  seen.info = EngineInfo{.id = "A", .version = "20.10.24", .api_version = "1.41", .root_directory = "/var/lib/docker"};
  return seen;
}

struct Refusal {
  ErrorKind kind;
  std::string reason;
};
class HostRefusals : public testing::TestWithParam<Refusal> {};

TEST_P(HostRefusals, AreToldByCauseWithTheCommandThatShowsTheSame) {
  Observed seen;
  seen.info = fail(GetParam().kind, "connect to uat.example.org:22: refused");
  const auto status = status_after(uat(), seen, kNoon);
  const auto* condition = crds::find_condition(status.conditions, "Reachable");
  ASSERT_NE(condition, nullptr);
  EXPECT_EQ(condition->status, crds::ConditionStatus::False);
  EXPECT_EQ(condition->reason, GetParam().reason);
  EXPECT_EQ(condition->message,
            "connect to uat.example.org:22: refused; try: docker -H ssh://deploy@uat.example.org version.");
  EXPECT_EQ(condition->observed_generation, 3);
}

INSTANTIATE_TEST_SUITE_P(ByKind, HostRefusals,
                         testing::Values(Refusal{ErrorKind::Unavailable, "EngineUnreachable"},
                                         Refusal{ErrorKind::Timeout, "EngineUnreachable"},
                                         Refusal{ErrorKind::Forbidden, "CredentialsRefused"},
                                         Refusal{ErrorKind::Invalid, "EndpointInvalid"},
                                         Refusal{ErrorKind::NotFound, "SecretNotFound"}));

TEST(Host, ThatVanishesKeepsWhatWasKnownOfIt) {
  crds::Host host = uat();
  Observed seen = answering();
  seen.space = Space{10, 20};
  seen.volumes = std::vector<VolumeInfo>{{.name = "b", .driver = "local"}, {.name = "a", .driver = "local"}};
  host.status = status_after(host, seen, kNoon);
  Observed gone;
  gone.info = fail(ErrorKind::Unavailable, "connection refused");
  const auto status = status_after(host, gone, kNoon + std::chrono::seconds(20));
  EXPECT_FALSE(crds::is_true(status.conditions, "Reachable"));
  EXPECT_EQ(status.last_seen, kNoon);
  EXPECT_EQ(status.data_root->free_bytes, 10);
  ASSERT_EQ(status.volumes.size(), 2U);
  EXPECT_EQ(status.volumes[0].name, "a");
}

TEST(Host, ShowsRestoresThatLeftAMarkAndForgetsThemWhenTheyHaveEnded) {
  crds::Host host = uat();
  Observed seen = answering();
  take_survey(seen, {10, 20, {{"db_volume", "default", "november", "Stopping"}, {"odd", "", "", "Unreadable"}}});
  host.status = status_after(host, seen, kNoon);
  EXPECT_EQ(host.status.data_root->free_bytes, 10);
  ASSERT_EQ(host.status.unfinished_restores.size(), 2U);
  EXPECT_EQ(host.status.unfinished_restores[0].volume, "db_volume");
  EXPECT_EQ(host.status.unfinished_restores[0].request, "default/november");
  EXPECT_EQ(host.status.unfinished_restores[0].phase, "Stopping");
  EXPECT_EQ(host.status.unfinished_restores[1].phase, "Unreadable");

  host.status = status_after(host, answering(), kNoon + std::chrono::seconds(15));
  EXPECT_EQ(host.status.unfinished_restores.size(), 2U) << "a look without a survey knows nothing new";
  take_survey(seen, {10, 20, {}});
  host.status = status_after(host, seen, kNoon + std::chrono::minutes(5));
  EXPECT_TRUE(host.status.unfinished_restores.empty());
}

TEST(Host, ThatIsQuietChangesItsStatusOnlyOnceAMinute) {
  crds::Host host = uat();
  host.status = status_after(host, answering(), kNoon);
  const auto soon = status_after(host, answering(), kNoon + std::chrono::seconds(59));
  EXPECT_EQ(soon.last_seen, kNoon);
  const auto later = status_after(host, answering(), kNoon + std::chrono::seconds(60));
  EXPECT_EQ(later.last_seen, kNoon + std::chrono::seconds(60));
}

TEST(Host, IsShownFromItsFirstLookOnAlsoOneThatNeverAnswered) {
  Observed gone;
  gone.info = fail(ErrorKind::Unavailable, "connection refused");
  crds::Host host = uat();
  host.status = status_after(host, gone, kNoon);
  EXPECT_EQ(shown(host.status).reachable, 0);
  EXPECT_EQ(shown(host.status).last_seen, Time{});
  EXPECT_TRUE(std::isnan(shown(host.status).free_bytes)) << "not measured is not full";
  Observed seen = answering();
  seen.space = Space{10, 20};
  host.status = status_after(host, seen, kNoon);
  host.status = status_after(host, gone, kNoon + std::chrono::minutes(5));
  EXPECT_EQ(shown(host.status).last_seen, kNoon) << "an operator that starts anew knows it from the status";
  EXPECT_EQ(shown(host.status).free_bytes, 10);
}

TEST(Host, IsSeenAtOnceWhereTheClockWasSetBack) {
  crds::Host host = uat();
  host.status = status_after(host, answering(), kNoon);
  host.status = status_after(host, answering(), kNoon - std::chrono::hours(3));
  EXPECT_EQ(host.status.last_seen, kNoon - std::chrono::hours(3));
}

TEST(Host, ThatComesBackIsSeenAtOnce) {
  crds::Host host = uat();
  host.status = status_after(host, answering(), kNoon);
  Observed gone;
  gone.info = fail(ErrorKind::Unavailable, "connection refused");
  host.status = status_after(host, gone, kNoon + std::chrono::seconds(10));
  const auto status = status_after(host, answering(), kNoon + std::chrono::seconds(20));
  EXPECT_TRUE(crds::is_true(status.conditions, "Reachable"));
  EXPECT_EQ(status.last_seen, kNoon + std::chrono::seconds(20));
}

crds::BackupPolicy policy_of(const std::string& name, const std::string& host,
                             const std::vector<std::string>& volumes) {
  crds::BackupPolicy policy;
  policy.metadata.ns = "default";
  policy.metadata.name = name;
  policy.spec.source.host_ref = crds::NameRef{host};
  for (const auto& volume : volumes) policy.spec.source.volumes.push_back({volume, {}});
  return policy;
}

TEST(Host, TellsWhichOfItsVolumesNoPolicyBacksUp) {
  crds::Host host = uat();
  host.spec.repository = crds::RepositoryAccess{"roadstead_repository"};
  crds::BarmanServer server;
  server.spec.host_ref.name = "uat";
  server.spec.volumes = {"barman_data", "barman_recover"};
  Observed seen = answering();
  seen.volumes.emplace();
  for (const char* name : {"outpack", "logs", "roadstead_repository", "barman_data", "barman_recover",
                           "roadstead_marks", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"})
    seen.volumes->push_back({.name = name, .driver = "local"});
  seen.coverage = coverage_of(host,
                              {policy_of("weekly", "uat", {"outpack"}), policy_of("daily", "uat", {"outpack"}),
                               policy_of("elsewhere", "production2", {"logs"})},
                              {server});
  host.status = status_after(host, seen, kNoon);
  const auto* condition = crds::find_condition(host.status.conditions, "VolumesCovered");
  ASSERT_NE(condition, nullptr);
  EXPECT_EQ(condition->status, crds::ConditionStatus::False);
  EXPECT_EQ(condition->message,
            "No policy backs up logs; name what is worth keeping in spec.source.volumes of a BackupPolicy with "
            "spec.source.hostRef.name uat.");
  EXPECT_EQ(host.status.summary->uncovered, "1 of 2");
  EXPECT_EQ(shown(host.status).uncovered, 1);
  for (const auto& volume : host.status.volumes) {
    if (volume.name == "outpack") {
      EXPECT_EQ(volume.policies, (std::vector<std::string>{"default/daily", "default/weekly"}));
    }
  }
  Observed again = answering();
  again.volumes = seen.volumes;
  host.status = status_after(host, again, kNoon + std::chrono::seconds(15));
  EXPECT_EQ(host.status.summary->uncovered, "1 of 2") << "a look that could not ask changes nothing";
  again.coverage = coverage_of(host, {policy_of("all", "uat", {"outpack", "logs"})}, {server});
  host.status = status_after(host, again, kNoon + std::chrono::seconds(30));
  EXPECT_TRUE(crds::is_true(host.status.conditions, "VolumesCovered"));
  EXPECT_EQ(host.status.summary->uncovered, "0 of 2");
}

TEST(Host, IsLookedAtWhenAPolicyOfItsVolumesChanges) {
  const auto wakes = host_wakes({{"kind", "BackupPolicy"},
                                 {"metadata", {{"name", "p"}}},
                                 {"spec", {{"source", {{"hostRef", {{"name", "uat"}}}}}}}});
  ASSERT_EQ(wakes.size(), 1U);
  EXPECT_EQ(wakes[0].kind, "Host");
  EXPECT_EQ(wakes[0].name, "uat");
  EXPECT_TRUE(
      host_wakes({{"kind", "BackupPolicy"}, {"metadata", {{"name", "p"}}}, {"spec", {{"source", {}}}}}).empty());
}

TEST(PortRange, IsOnePortOrTwoInOrderAndNothingElse) {
  const auto range = parse_port_range("10022-10031");
  ASSERT_TRUE(range);
  EXPECT_EQ(range->first, 10022);
  EXPECT_EQ(range->last, 10031);
  const auto one = parse_port_range("10022");
  ASSERT_TRUE(one);
  EXPECT_EQ(one->first, 10022);
  EXPECT_EQ(one->last, 10022);
  for (const char* text : {"", "-", "0", "0-5", "10022-", "-10031", "10031-10022", "10022-10031-", "10022-10031x",
                           "10022 - 10031", "65536", "1-65536", "ssh"})
    EXPECT_FALSE(parse_port_range(text)) << text;
}

}  // namespace
}  // namespace roadstead::reconcilers::host
