#include "reconcilers/support/barman.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "operator/base/rfc3339.h"
#include "reconcilers/support/backup_names.h"

namespace roadstead::reconcilers {
namespace {

crds::BarmanServer montagu() {
  crds::BarmanServer server;
  server.metadata.ns = "default";
  server.metadata.name = "montagu";
  server.spec.host_ref.name = "annex2";
  server.spec.source.host_ref.name = "production2";
  server.spec.source.address = "production2.example.org";
  server.spec.source.backup_user = {"barman", {.file = "/secrets/barman"}};
  server.spec.source.streaming_user = {"streaming_barman", {.file = "/secrets/streaming"}};
  server.spec.volumes = {"barman_data", "barman_recover"};
  server.spec.retention = crds::BarmanRetention{90, 2};
  server.spec.objectives = crds::BarmanObjectives{3024000, 268435456};
  return server;
}

crds::Host production2(const std::string& address) {
  crds::Host host;
  host.metadata.name = "production2";
  host.spec.data = crds::DataAccess{address, std::nullopt};
  return host;
}

BarmanSetup setup_of(const crds::BarmanServer& server) {
  return barman_setup(server, production2("10.0.0.11"), "pass:word", "back\\slash").value();
}

TEST(BarmanConfiguration, IsTheOneThatWasProved) {
  EXPECT_EQ(setup_of(montagu()).config,
            "[montagu]\n"
            "description = roadstead default/montagu\n"
            "conninfo = host=production2.example.org port=5432 user=barman dbname=postgres connect_timeout=5\n"
            "streaming_conninfo = host=production2.example.org port=5432 user=streaming_barman dbname=postgres "
            "connect_timeout=5\n"
            "backup_method = postgres\n"
            "streaming_archiver = on\n"
            "slot_name = barman\n"
            "create_slot = manual\n"
            "immediate_checkpoint = true\n"
            "path_prefix = /usr/lib/postgresql/17/bin\n"
            "compression = gzip\n"
            "retention_policy = RECOVERY WINDOW OF 90 DAYS\n"
            "minimum_redundancy = 2\n")
      << "objectives are judged by the operator: a change of them must not restart what streams";
}

TEST(BarmanConfiguration, KeepsPasswordsInAFileThatOnlyBarmanReads) {
  const BarmanSetup setup = setup_of(montagu());
  EXPECT_EQ(setup.pgpass,
            "production2.example.org:5432:*:barman:pass\\:word\nproduction2.example.org:5432:*:streaming_barman:"
            "back\\\\slash\n");
  EXPECT_EQ((setup.config + setup.connection + setup.streaming_connection).find("word"), std::string::npos);
  for (const ArchiveFile& file : barman_files(setup))
    if (file.content == setup.pgpass) {
      EXPECT_EQ("/" + file.path, kPgpassPath);
      EXPECT_EQ(file.mode, 0600u);
      EXPECT_EQ(file.uid, 999u);
    }
}

TEST(BarmanConfiguration, GivesEveryContainerTheSameNameForProduction) {
  const auto server = montagu();
  const auto setup = setup_of(server);
  EXPECT_EQ(setup.extra_hosts, std::vector<std::string>{"production2.example.org:10.0.0.11"});
  EXPECT_EQ(standing_container("default", server, setup, "h").extra_hosts,
            barman_worker_container(server, setup, {"true"}).extra_hosts);
  EXPECT_TRUE(barman_setup(server, production2("production2.example.org"), "a", "b")->extra_hosts.empty())
      << "a name is resolved as everywhere";
  auto by_host = montagu();
  by_host.spec.source.address.reset();
  EXPECT_EQ(barman_setup(by_host, production2("10.0.0.11"), "a", "b")->address, "10.0.0.11");
}

TEST(BarmanConfiguration, RefusesWhatWouldBreakItsOwnLines) {
  auto server = montagu();
  server.spec.source.backup_user.name = "bar\nman";
  const auto refused = barman_setup(server, production2("10.0.0.11"), "a", "b");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::Invalid);
  EXPECT_NE(refused.error().message.find("spec.source.backupUser.name"), std::string::npos);
  server = montagu();
  server.metadata.name = "all";
  EXPECT_FALSE(barman_setup(server, production2("10.0.0.11"), "a", "b"));
}

TEST(StandingContainer, IsMadeAgainWhenAnythingItIsMadeFromChanges) {
  const auto server = montagu();
  const std::string hash = standing_spec_hash("secret", server, setup_of(server));
  EXPECT_EQ(hash, standing_spec_hash("secret", server, setup_of(server)));
  auto other_image = server;
  other_image.spec.image = "roadstead/barman:3.20-pg17";
  EXPECT_NE(hash, standing_spec_hash("secret", other_image, setup_of(other_image)));
  auto other_retention = server;
  other_retention.spec.retention->recovery_window_days = 30;
  EXPECT_NE(hash, standing_spec_hash("secret", other_retention, setup_of(other_retention)));
  EXPECT_NE(hash, standing_spec_hash("secret", server,
                                     barman_setup(server, production2("10.0.0.11"), "new", "back\\slash").value()));
  EXPECT_NE(hash, standing_spec_hash("another", server, setup_of(server)))
      << "a digest nobody can try passwords against";
}

TEST(BackupNames, LeadBackToTheObject) {
  EXPECT_EQ(barman_backup_name("default", "montagu-base-20261101t0000z", 2),
            "roadstead.default.montagu-base-20261101t0000z.2");
  EXPECT_EQ(parse_barman_backup_name("roadstead.default.a.b.2"), (BarmanBackupName{"default", "a.b", 2}));
  for (const char* foreign :
       {"", "nightly", "roadstead.default.2", "roadstead.default.x.0", "roadstead.default.x.y", "roadstead..x.1"})
    EXPECT_FALSE(parse_barman_backup_name(foreign)) << foreign;
  const Time first = parse_rfc3339("2026-11-01T00:00:00Z").value();
  EXPECT_EQ(scheduled_backup_name("montagu-base", first), "montagu-base-20261101t0000z");
  const auto scheduled = parse_scheduled_backup_name("montagu-base-20261101t0000z");
  ASSERT_TRUE(scheduled);
  EXPECT_EQ(scheduled->policy, "montagu-base");
  EXPECT_EQ(scheduled->scheduled, first);
  for (const char* other :
       {"montagu-base", "montagu-initial", "x-20261301t0000z", "x-2026110xt0000z", "-20261101t0000z"})
    EXPECT_FALSE(parse_scheduled_backup_name(other)) << other;
}

// Recorded from barman 3.19.1.
constexpr const char* kList =
    R"({"montagu": [{"backup_id": "20261123T024430", "backup_name": "roadstead.default.montagu-initial.1", "backup_type": "full",
  "end_time": "Mon Nov 23 02:44:32 2026", "end_time_timestamp": "1795401872", "retention_status": "-", "size": "37.2 MiB", "size_bytes": 39011540,
  "status": "DONE", "wal_size": "377.7 KiB", "wal_size_bytes": 386722}, {"backup_id": "20261123T030000", "backup_type": "full", "status": "STARTED"}]})";
constexpr const char* kShow =
    R"({"montagu": {"backup_id": "20261123T024430", "backup_type": "full", "base_backup_information": {"backup_method": "postgres",
  "backup_size": "37.1 MiB", "backup_size_bytes": 38947976, "backup_size_with_wals_bytes": 39011540, "begin_lsn": "0/70001A8", "begin_time_timestamp": "1795401870",
  "begin_wal": "000000010000000000000007", "end_lsn": "0/8004858", "end_time_timestamp": "1795401872", "end_wal": "000000010000000000000008", "timeline": 1,
  "wal_size_bytes": 63564}, "cluster_size_bytes": 39233640, "postgresql_version": 170012, "status": "DONE", "system_id": "7711189993995882521", "tablespaces": []}})";

Result<nlohmann::json> printed(const std::string& out, int exit_code = 0, const std::string& err = {}) {
  return parse_barman_output({exit_code, out, err}, "barman x montagu");
}

TEST(BarmanOutput, ListIsReadNewestFirst) {
  const auto list = parse_list(printed(kList).value(), "montagu");
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 2u);
  EXPECT_EQ(list->front().backup.status, "STARTED");
  const auto& done = list->back();
  EXPECT_EQ(done.backup.name, "roadstead.default.montagu-initial.1");
  EXPECT_EQ(done.backup.end_time, parse_rfc3339("2026-11-23T02:44:32Z").value());
  EXPECT_EQ(done.backup.size_bytes, 39011540);
  EXPECT_EQ(done.wal_bytes, 386722);
}

TEST(BarmanOutput, DetailsAreRead) {
  const auto details = parse_details(printed(kShow).value(), "montagu");
  ASSERT_TRUE(details);
  EXPECT_EQ(details->backup.begin_lsn, "0/70001A8");
  EXPECT_EQ(details->backup.end_wal, "000000010000000000000008");
  EXPECT_EQ(details->backup.size_bytes, 38947976);
  EXPECT_EQ(details->cluster_size_bytes, 39233640);
  EXPECT_EQ(details->postgres_version, 170012);
  EXPECT_EQ(details->timeline, 1u);
  EXPECT_TRUE(details->tablespaces.empty());
}

TEST(BarmanOutput, FailedChecksAreNoErrorOfTheCall) {
  const auto checks =
      parse_checks(printed(R"({"montagu": {"postgresql": {"hint": "", "status": "OK"}, "replication_slot":
      {"hint": "replication slot 'barman' doesn't exist.\nPlease execute 'barman receive-wal --create-slot montagu'", "status": "FAILED"}}})",
                           1)
                       .value(),
                   "montagu");
  ASSERT_TRUE(checks);
  ASSERT_EQ(checks->size(), 2u);
  EXPECT_TRUE(checks->front().passed);
  EXPECT_FALSE(checks->back().passed);
  EXPECT_EQ(checks->back().hint.find('\n'), std::string::npos);
}

struct Failure {
  std::string out, err;
  int exit_code;
  ErrorKind kind;
  std::string message;
};
class BarmanFailures : public testing::TestWithParam<Failure> {};

TEST_P(BarmanFailures, AreErrorsWithBarmansOwnWords) {
  const auto output = printed(GetParam().out, GetParam().exit_code, GetParam().err);
  ASSERT_FALSE(output);
  EXPECT_EQ(output.error().kind, GetParam().kind);
  EXPECT_EQ(output.error().message, GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    Recorded, BarmanFailures,
    testing::Values(
        Failure{R"({"_ERROR": ["Unknown backup '20200101T000000' for server 'montagu'"]})", "", 1, ErrorKind::NotFound,
                "barman x montagu: Unknown backup '20200101T000000' for server 'montagu'"},
        Failure{R"({"_ERROR": ["Another backup process is running"]})", "", 1, ErrorKind::Conflict,
                "barman x montagu: Another backup process is running"},
        Failure{R"({"_EXCEPTION": ["[Errno 28] No space left on device", "See log file for more details."]})", "", 1,
                ErrorKind::NoSpace,
                "barman x montagu: [Errno 28] No space left on device; See log file for more details"},
        Failure{R"({"_EXCEPTION": ["Postgres user 'barman' is missing required privileges"]})", "", 1,
                ErrorKind::Unavailable, "barman x montagu: Postgres user 'barman' is missing required privileges"},
        Failure{"", "usage: barman [-h]\nbarman: error: unrecognized arguments: --name\n", 2, ErrorKind::Unavailable,
                "barman x montagu: exit code 2: barman: error: unrecognized arguments: --name"}));

TEST(BarmanOutput, SilenceIsSuccess) { EXPECT_TRUE(printed("")); }

struct Refused {
  int exit_code;
  std::string words;
  ErrorKind kind;
};
class PsqlRefusals : public testing::TestWithParam<Refused> {};
TEST_P(PsqlRefusals, AreToldApart) {
  EXPECT_EQ(psql_error(GetParam().exit_code, GetParam().words).kind, GetParam().kind);
}
INSTANTIATE_TEST_SUITE_P(Recorded, PsqlRefusals,
                         testing::Values(Refused{2,
                                                 "psql: error: connection to server at \"10.0.0.11\", port 5432 "
                                                 "failed: FATAL:  password authentication failed for user \"barman\"\n",
                                                 ErrorKind::Forbidden},
                                         Refused{2,
                                                 "psql: error: connection to server at \"10.0.0.11\", port 5432 "
                                                 "failed: FATAL:  no pg_hba.conf entry for host \"10.0.0.12\"\n",
                                                 ErrorKind::Forbidden},
                                         Refused{2,
                                                 "psql: error: connection to server at \"10.0.0.11\", port 5432 "
                                                 "failed: Connection refused\n\tIs the server running?\n",
                                                 ErrorKind::Unavailable},
                                         Refused{1, "ERROR:  permission denied for function pg_switch_wal\n",
                                                 ErrorKind::Forbidden},
                                         Refused{1, "ERROR:  syntax error at or near \"x\"\n", ErrorKind::Invalid}));

TEST(Production, IsReadWithAndWithoutASlot) {
  const auto with = parse_production(nlohmann::json::parse(
      R"json({"version": "17.11 (Debian 17.11-1)", "version_number": 170011, "system_id": "77", "in_recovery": false,
    "current_lsn": "0/B000148", "current_segment": "00000001000000000000000B", "segment_bytes": 16777216, "checkpoint_timeout": 300, "database_bytes": 39233640,
    "slot": {"name": "barman", "active": true, "restart_lsn": "0/B000000", "wal_status": "reserved", "safe_wal_size": null},
    "receiver": {"state": "streaming", "sent": "0/B000148", "written": "0/B000000", "flushed": "0/B000000"}})json"));
  ASSERT_TRUE(with);
  EXPECT_EQ(with->current_lsn, Lsn{0xB000148});
  ASSERT_TRUE(with->slot);
  EXPECT_TRUE(with->slot->active);
  EXPECT_FALSE(with->slot->safe_wal_size_bytes);
  EXPECT_EQ(with->receiver->sent, Lsn{0xB000148});
  const auto without = parse_production(
      nlohmann::json::parse(R"({"version": "11.2", "version_number": 110002, "slot": null, "receiver": null})"));
  ASSERT_TRUE(without);
  EXPECT_FALSE(without->slot);
  EXPECT_FALSE(parse_production(nlohmann::json::object()));
}

TEST(LastCron, IsReadFromTheStamp) {
  const auto cron = parse_last_cron(
      R"({"event":"cron","started":"2026-11-23T02:50:00Z","finished":"2026-11-23T02:50:01Z","exitCode":0})");
  ASSERT_TRUE(cron);
  EXPECT_EQ(cron->finished_at, parse_rfc3339("2026-11-23T02:50:01Z").value());
  EXPECT_EQ(cron->exit_code, 0);
  EXPECT_FALSE(parse_last_cron("{\"event\":"));
}

}  // namespace
}  // namespace roadstead::reconcilers
