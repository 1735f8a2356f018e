#include "reconcilers/barman_server/decide.h"

#include <gtest/gtest.h>

#include <cmath>

#include "operator/base/rfc3339.h"
#include "reconcilers/barman_server/checks.h"

namespace roadstead::reconcilers::barman_server {
namespace {

using namespace std::chrono_literals;
using Truth = crds::ConditionStatus;

const Time kNoon = parse_rfc3339("2026-11-22T12:00:00Z").value();

crds::BarmanServer montagu() {
  crds::BarmanServer server;
  server.metadata.ns = "default";
  server.metadata.name = "montagu";
  server.metadata.generation = 2;
  server.spec.host_ref.name = "annex2";
  server.spec.source.host_ref.name = "production2";
  server.spec.source.backup_user = {"barman", {.file = "/secrets/barman"}};
  server.spec.source.streaming_user = {"streaming_barman", {.file = "/secrets/streaming"}};
  server.spec.volumes = {"barman_data", "barman_recover"};
  server.spec.objectives = crds::BarmanObjectives{86400, 1000};
  return server;
}

/// Everything as it should be.
Observed healthy() {
  Observed seen;
  seen.container = {ContainerState::Running, "c1", kNoon - 1h, {}};
  seen.container_name = "standing";
  seen.spec_hash = "h";
  seen.last_cron = crds::LastCron{kNoon - 31s, kNoon - 30s, 0};
  ProductionState production;
  production.version = "17.11";
  production.version_number = 170011;
  production.system_id = "77";
  production.current_lsn = 0xB000148;
  production.slot = crds::ReplicationSlot{"barman", true, "reserved", "0/B000000", std::nullopt};
  production.receiver = WalReceiver{"streaming", Lsn{0xB000100}, std::nullopt, std::nullopt};
  seen.production = production;
  seen.checks = std::vector<crds::BarmanCheck>{
      {"postgresql", true, ""}, {"receive_wal_running", true, ""}, {"failed_backups", true, ""}};
  ListedBackup backup;
  backup.backup = {
      .id = "20261122T080000", .type = "full", .status = "DONE", .end_time = kNoon - 4h, .size_bytes = 100};
  backup.wal_bytes = 20;
  seen.listed = std::vector<ListedBackup>{backup};
  BackupDetails details;
  details.backup = backup.backup;
  details.backup.begin_lsn = "0/A000028";
  details.backup.begin_wal = "00000001000000000000000A";
  seen.details = {details};
  seen.archive = ArchiveSeen{{}, "20261122T080000"};
  return seen;
}

ProductionState& production_of(Observed& seen) { return **seen.production; }

struct Next {
  std::string name;
  void (*change)(Observed&);
  Act act;
};
void PrintTo(const Next& next, std::ostream* out) { *out << next.name; }
class BarmanServerNext : public testing::TestWithParam<Next> {};

TEST_P(BarmanServerNext, IsTheOneThingThatLeadsOn) {
  Observed seen = healthy();
  GetParam().change(seen);
  EXPECT_EQ(to_string(decide(montagu(), seen, kNoon)), to_string(GetParam().act)) << GetParam().name;
}

INSTANTIATE_TEST_SUITE_P(
    Table, BarmanServerNext,
    testing::Values(
        Next{"all is well", [](Observed&) {}, Act::None},
        Next{"the spec cannot be used",
             [](Observed& s) {
               s.unusable = Error{ErrorKind::NotFound, "no"};
               s.container = {};
             },
             Act::None},
        Next{"the host is gone",
             [](Observed& s) {
               s.host_error = Error{ErrorKind::Unavailable, "no"};
               s.container = {};
             },
             Act::None},
        Next{"nothing is there", [](Observed& s) { s.container = {}; }, Act::MakeContainer},
        Next{"made from another spec", [](Observed& s) { s.container.state = ContainerState::Stale; },
             Act::RemakeContainer},
        Next{"its files may be missing", [](Observed& s) { s.container.state = ContainerState::Broken; },
             Act::RemakeContainer},
        Next{"somebody stopped it", [](Observed& s) { s.container.state = ContainerState::Stopped; },
             Act::StartContainer},
        Next{"somebody else's container has the name", [](Observed& s) { s.container.state = ContainerState::Foreign; },
             Act::None},
        Next{"it crashes", [](Observed& s) { s.container.state = ContainerState::Restarting; }, Act::None},
        Next{"production is down",
             [](Observed& s) { s.production = Result<ProductionState>(fail(ErrorKind::Unavailable, "refused")); },
             Act::None},
        Next{"too old",
             [](Observed& s) {
               production_of(s).version_number = 110022;
               production_of(s).slot.reset();
             },
             Act::None},
        Next{"a standby",
             [](Observed& s) {
               production_of(s).in_recovery = true;
               production_of(s).slot.reset();
             },
             Act::None},
        Next{"no slot",
             [](Observed& s) {
               production_of(s).slot.reset();
               s.streaming = Result<void>{};
             },
             Act::CreateSlot},
        Next{"no slot, and the streaming password is wrong",
             [](Observed& s) {
               production_of(s).slot.reset();
               s.streaming = Result<void>(fail(ErrorKind::Forbidden, "password"));
             },
             Act::None},
        Next{"nobody streams", [](Observed& s) { production_of(s).slot->active = false; }, Act::StartReceiver},
        Next{"nobody streams yet",
             [](Observed& s) {
               production_of(s).slot->active = false;
               s.receiver_kicked = true;
             },
             Act::None},
        Next{"the WAL it needs is gone",
             [](Observed& s) {
               production_of(s).slot->active = false;
               s.wal_removed = true;
             },
             Act::ResetReceiver},
        Next{"the slot is lost",
             [](Observed& s) {
               production_of(s).slot->active = false;
               production_of(s).slot->wal_status = "lost";
             },
             Act::ResetReceiver},
        Next{"it was just begun behind the gap",
             [](Observed& s) {
               production_of(s).slot->active = false;
               s.wal_removed = true;
               s.receiver_kicked = true;
             },
             Act::None},
        Next{"the archive is empty",
             [](Observed& s) {
               (**s.checks).push_back({"wal_archive", false, "empty"});
             },
             Act::ArchiveFirst}));

TEST(BarmanServer, OfAnotherClusterGetsNoSlot) {
  auto server = montagu();
  server.status.system_id = "78";
  server.status.backups.push_back({.id = "20261122T080000", .status = "DONE"});
  Observed seen = healthy();
  production_of(seen).slot.reset();
  EXPECT_EQ(decide(server, seen, kNoon), Act::None);
  const auto status = status_after(server, seen, kNoon);
  EXPECT_EQ(crds::find_condition(status.conditions, "Ready")->reason, "SystemIdChanged");
  EXPECT_EQ(status.system_id, "78") << "what the backups are of is not overwritten";
}

TEST(BarmanServer, RestartsForAnOrphanedReceiverOnlyAfterBarmansOwnMinuteHadItsTurn) {
  auto server = montagu();
  Observed seen = healthy();
  (**seen.checks)[1].passed = false;
  EXPECT_EQ(decide(server, seen, kNoon), Act::None) << "seen for the first time";
  server.status = status_after(server, seen, kNoon);
  EXPECT_EQ(decide(server, seen, kNoon + 30s), Act::None);
  EXPECT_EQ(decide(server, seen, kNoon + 76s), Act::RestartContainer);
}

TEST(BarmanServer, OfAnotherClusterWithAnEmptyCatalogueIsOfThatOneFromNowOn) {
  auto server = montagu();
  server.status.system_id = "78";
  server.status.backups.push_back({.id = "20261122T080000", .status = "DONE"});
  Observed seen = healthy();
  seen.listed = std::vector<ListedBackup>{};
  seen.details.clear();
  seen.archive.reset();
  server.status = status_after(server, seen, kNoon);  // the data volume was changed for an empty one
  EXPECT_EQ(crds::find_condition(server.status.conditions, "Ready")->reason, "SystemIdChanged");
  server.status = status_after(server, seen, kNoon + 15s);
  EXPECT_TRUE(crds::is_true(server.status.conditions, "Postgresql"));
  EXPECT_EQ(server.status.system_id, "77");
}

TEST(BarmanServer, DoesNotRestartForAClientThatIsNotItsOwn) {
  auto server = montagu();
  Observed seen = healthy();
  (**seen.checks)[1].passed = false;
  server.status = status_after(server, seen, kNoon);
  EXPECT_EQ(decide(server, seen, kNoon + 76s), Act::RestartContainer);
  seen.container.started_at = kNoon + 77s;
  server.status = status_after(server, seen, kNoon + 90s);
  EXPECT_EQ(decide(server, seen, kNoon + 90s), Act::None) << "the new one has not had its minute";
  EXPECT_TRUE(crds::is_true(server.status.conditions, "Streaming"));
  const Time later = kNoon + 77s + kOrphanPatience;
  server.status = status_after(server, seen, later);
  EXPECT_EQ(decide(server, seen, later), Act::None);
  const auto* streaming = crds::find_condition(server.status.conditions, "Streaming");
  EXPECT_EQ(streaming->reason, "SlotInUse");
  EXPECT_NE(streaming->message.find("SELECT pid, client_addr, application_name FROM pg_stat_replication"),
            std::string::npos)
      << streaming->message;
  EXPECT_EQ(crds::find_condition(server.status.conditions, "Ready")->reason, "SlotInUse");
  Observed unchecked = seen;
  unchecked.checks.reset();
  EXPECT_FALSE(crds::is_true(status_after(server, unchecked, later + 5s).conditions, "Streaming"));
  (**seen.checks)[1].passed = true;
  server.status = status_after(server, seen, later + 30s);
  server.status = status_after(server, seen, later + 45s);
  EXPECT_TRUE(crds::is_true(server.status.conditions, "Streaming"));
}

TEST(BarmanServer, ForgetsAFailureOnceItStreamsAndNothingIsToBeDone) {
  Observed seen = healthy();
  EXPECT_TRUE(is_settled(Act::None, seen));
  EXPECT_FALSE(is_settled(Act::ArchiveFirst, seen));
  production_of(seen).slot->active = false;
  EXPECT_FALSE(is_settled(Act::None, seen));
  EXPECT_FALSE(is_settled(Act::None, {}));
}

TEST(BarmanServer, NamesItsOwnBackupThatFailedAndHowToTryAtOnce) {
  Observed seen = healthy();
  seen.archive = ArchiveSeen{{{"00000001000000000000000B", "00000001000000000000000C", 2}}, ""};
  seen.own_failure = OwnFailure{"montagu-after-gap-00000001000000000000000c", kNoon + 1h};
  auto status = status_after(montagu(), seen, kNoon);
  const std::string gap = crds::find_condition(status.conditions, "WalGap")->message;
  EXPECT_EQ(gap.find("is being made"), std::string::npos) << gap;
  for (const char* part :
       {"roadstead describe backup montagu-after-gap-00000001000000000000000c -n default",
        "roadstead delete backup montagu-after-gap-00000001000000000000000c -n default", "2026-11-22T13:00:00Z"})
    EXPECT_NE(gap.find(part), std::string::npos) << gap;
  seen.listed = std::vector<ListedBackup>{};
  seen.details.clear();
  seen.archive.reset();
  seen.own_failure->name = "montagu-initial-2";
  status = status_after(montagu(), seen, kNoon);
  const std::string none = crds::find_condition(status.conditions, "BackupsHealthy")->message;
  EXPECT_NE(none.find("roadstead delete backup montagu-initial-2 -n default"), std::string::npos) << none;
}

TEST(BarmanServer, ThatCannotDropItsSlotSaysWhatToDoInWorkingOrder) {
  const Error error{ErrorKind::Unavailable, "host annex2: connection refused"};
  const std::string gone = slot_not_dropped(montagu(), "standing", error, true, "roadstead.dev/abandon-slot");
  const auto remove = gone.find("on host annex2 run `docker rm -f standing`"),
             drop = gone.find("SELECT pg_drop_replication_slot('barman')"),
             abandon = gone.find("abandon-slot: \"true\"");
  ASSERT_NE(abandon, std::string::npos) << gone;
  EXPECT_LT(remove, drop) << "a slot in use cannot be dropped";
  EXPECT_LT(drop, abandon);
  const std::string stopped = slot_not_dropped(montagu(), "standing", error, false, "roadstead.dev/abandon-slot");
  EXPECT_EQ(stopped.find("docker rm"), std::string::npos) << stopped;
}

TEST(Series, OfChecksThatAreNoLongerPrintedGo) {
  EXPECT_EQ(checks_gone({{"postgresql", true, ""}, {"wal_archive", false, ""}}, {{"postgresql", true, ""}}),
            std::vector<std::string>{"wal_archive"});
  EXPECT_TRUE(checks_gone({}, {{"postgresql", true, ""}}).empty());
}

TEST(Series, OfANumberThatIsNotKnownDoNotSayThatAllIsWell) {
  EXPECT_EQ(shown(7), 7.0);
  EXPECT_TRUE(std::isnan(shown(std::nullopt)));
}

TEST(BarmanServer, ThatIsHealthySaysSoWithItsNumbers) {
  const auto status = status_after(montagu(), healthy(), kNoon);
  for (const char* type : {"Ready", "HostReachable", "StandingContainer", "Postgresql", "SlotPresent", "Streaming",
                           "WalArchiving", "BackupsHealthy", "CheckPostgresql"})
    EXPECT_TRUE(crds::is_true(status.conditions, type)) << type;
  for (const char* type : {"WalGap", "CronLate"})
    EXPECT_EQ(crds::find_condition(status.conditions, type)->status, Truth::False) << type;
  EXPECT_EQ(status.wal_lag_bytes, 0x48);
  EXPECT_EQ(status.wal_since_base_backup_bytes, 0xB000148 - 0xA000028);
  EXPECT_EQ(status.archive_bytes, 120);
  EXPECT_EQ(status.last_backup->id, "20261122T080000");
  EXPECT_EQ(status.first_recoverability_point, kNoon - 4h);
  EXPECT_EQ(status.observed_generation, 2);
}

struct Trouble {
  std::string name;
  void (*change)(Observed&);
  std::string type, reason;
  std::string says;  ///< A part of the message: the cause or the next command.
};
void PrintTo(const Trouble& trouble, std::ostream* out) { *out << trouble.name; }
class BarmanServerTroubles : public testing::TestWithParam<Trouble> {};

TEST_P(BarmanServerTroubles, AreAConditionWithTheCauseAndWhatToDo) {
  Observed seen = healthy();
  GetParam().change(seen);
  const auto status = status_after(montagu(), seen, kNoon);
  const auto* condition = crds::find_condition(status.conditions, GetParam().type);
  ASSERT_NE(condition, nullptr);
  EXPECT_EQ(condition->reason, GetParam().reason);
  EXPECT_NE(condition->message.find(GetParam().says), std::string::npos) << condition->message;
}

const auto kWrongPassword = "connection to server failed: FATAL: password authentication failed for user \"barman\"";
INSTANTIATE_TEST_SUITE_P(
    Table, BarmanServerTroubles,
    testing::Values(
        Trouble{"host",
                [](Observed& s) {
                  s.host_error = Error{ErrorKind::Unavailable, "refused"};
                },
                "Ready", "HostUnreachable", "roadstead describe host annex2"},
        Trouble{"secret",
                [](Observed& s) {
                  s.unusable = Error{ErrorKind::NotFound, "no file"};
                },
                "Ready", "ReferenceNotFound", "no file"},
        Trouble{"image",
                [](Observed& s) {
                  s.container = {};
                  s.act_error = Error{ErrorKind::NotFound, "image x is not on host annex2"};
                },
                "Ready", "NotFound", "image x"},
        Trouble{"password",
                [](Observed& s) {
                  s.production = Result<ProductionState>(fail(ErrorKind::Forbidden, "{}", kWrongPassword));
                },
                "Postgresql", "PasswordRefused", "file /secrets/barman"},
        Trouble{"password is Ready's reason too",
                [](Observed& s) {
                  s.production = Result<ProductionState>(fail(ErrorKind::Forbidden, "{}", kWrongPassword));
                },
                "Ready", "PasswordRefused", "ALTER ROLE barman"},
        Trouble{"consequences are not told as causes",
                [](Observed& s) { s.production = Result<ProductionState>(fail(ErrorKind::Unavailable, "refused")); },
                "Streaming", "PostgresqlUnavailable", "production"},
        Trouble{"old",
                [](Observed& s) {
                  production_of(s).version_number = 110022;
                  production_of(s).version = "11.22";
                },
                "Postgresql", "PostgresVersionUnsupported", "12"},
        Trouble{"standby", [](Observed& s) { production_of(s).in_recovery = true; }, "Postgresql", "InRecovery",
                "primary"},
        Trouble{"no slot", [](Observed& s) { production_of(s).slot.reset(); }, "SlotPresent", "SlotMissing",
                "receive-wal --create-slot montagu"},
        Trouble{"streaming password",
                [](Observed& s) {
                  production_of(s).slot->active = false;
                  s.streaming = Result<void>(fail(ErrorKind::Forbidden, "password authentication failed"));
                },
                "Streaming", "PasswordRefused", "file /secrets/streaming"},
        Trouble{"senders",
                [](Observed& s) {
                  production_of(s).slot->active = false;
                  s.streaming = Result<void>(fail(
                      ErrorKind::Unavailable, "number of requested standby connections exceeds \"max_wal_senders\""));
                },
                "Streaming", "TooManySenders", "ALTER SYSTEM SET max_wal_senders"},
        Trouble{"privileges",
                [](Observed& s) {
                  s.checks = Result<std::vector<crds::BarmanCheck>>(
                      fail(ErrorKind::Unavailable, "Postgres user 'barman' is missing required privileges"));
                },
                "ChecksRun", "PrivilegesMissing", "GRANT EXECUTE ON FUNCTION pg_backup_start"},
        Trouble{"full",
                [](Observed& s) {
                  s.checks =
                      Result<std::vector<crds::BarmanCheck>>(fail(ErrorKind::NoSpace, "No space left on device"));
                },
                "Ready", "NoSpace", "barman_data"},
        Trouble{"a check",
                [](Observed& s) {
                  (**s.checks).push_back({"archiver_errors", false, "1 file"});
                },
                "CheckArchiverErrors", "Failed", "docker exec -u 999:999 standing"},
        Trouble{"a check makes it not ready",
                [](Observed& s) {
                  (**s.checks).push_back({"systemid_coherence", false, "changed"});
                },
                "Ready", "CheckSystemidCoherence", "new name"},
        Trouble{"lag", [](Observed& s) { production_of(s).receiver->sent = Lsn{0xA000000}; }, "WalArchiving", "Late",
                "barman_data"},
        Trouble{"minute", [](Observed& s) { s.last_cron->finished_at = kNoon - 4min; }, "CronLate", "MinuteLate",
                "docker restart standing"},
        Trouble{"no backup",
                [](Observed& s) {
                  s.listed = std::vector<ListedBackup>{};
                  s.details.clear();
                  s.archive.reset();
                },
                "BackupsHealthy", "NoBaseBackup", "montagu-initial"},
        Trouble{"old backup",
                [](Observed& s) { (**s.listed)[0].backup.end_time = s.details[0].backup.end_time = kNoon - 25h; },
                "BackupsHealthy", "TooOld", "older than 24h"},
        Trouble{"somebody's failed backup", [](Observed& s) { s.foreign_failures = {"20261122T090000"}; },
                "BackupsHealthy", "FailedBackups", "barman delete montagu 20261122T090000"},
        Trouble{"somebody's backup that is stuck",
                [](Observed& s) {
                  ListedBackup stuck;
                  stuck.backup = {.id = "20261122T090000", .status = "STARTED"};
                  (**s.listed).insert((**s.listed).begin(), stuck);
                  s.foreign_failures = {"20261122T090000"};
                },
                "BackupsHealthy", "Unfinished", "barman delete montagu 20261122T090000"},
        Trouble{"the volume is full, barman says",
                [](Observed& s) {
                  production_of(s).slot->active = false;
                  s.act_error = Error{ErrorKind::NoSpace, "barman cron: No space left on device"};
                },
                "Streaming", "NoSpace", "the volume barman_data on host annex2"},
        Trouble{"the volume is full, the receiver says",
                [](Observed& s) {
                  production_of(s).slot->active = false;
                  s.volume_full = true;
                },
                "Ready", "NoSpace", "docker system df"},
        Trouble{"the receiver cannot be started",
                [](Observed& s) {
                  production_of(s).slot->active = false;
                  s.act_error = Error{ErrorKind::Unavailable, "barman cron: exit code 1"};
                },
                "Streaming", "ReceiverNotRunning", "barman cron: exit code 1"},
        Trouble{"a minute that fails", [](Observed& s) { s.last_cron->exit_code = 1; }, "CronLate", "MinuteFailed",
                "exit code 1"},
        Trouble{"a minute that fails is not ready", [](Observed& s) { s.last_cron->exit_code = 1; }, "Ready",
                "MinuteFailed", "docker logs --tail 50 standing"},
        Trouble{"production was itself restored",
                [](Observed& s) {
                  s.archive = ArchiveSeen{{}, "", Error{ErrorKind::Invalid, "timeline 2 goes on from before it"}, 2};
                },
                "WalGap", "TimelineLeft", "timeline 2 goes on from before it; a new base backup is being made"},
        Trouble{"a history file is missing",
                [](Observed& s) {
                  s.archive = ArchiveSeen{{}, "", Error{ErrorKind::NotFound, "00000002.history is not there"}, 2};
                },
                "Ready", "HistoryMissing", "00000002.history"},
        Trouble{"gap",
                [](Observed& s) {
                  s.archive = ArchiveSeen{{{"00000001000000000000000B", "00000001000000000000000C", 2}}, ""};
                },
                "WalGap", "WalMissing", "00000001000000000000000C"},
        Trouble{"gap is not ready",
                [](Observed& s) {
                  s.archive = ArchiveSeen{{{"00000001000000000000000B", "00000001000000000000000C", 2}}, ""};
                },
                "Ready", "WalMissing", "new base backup"}));

TEST(BarmanServer, WithoutABackupIsReadyToMakeTheFirst) {
  Observed seen = healthy();
  seen.listed = std::vector<ListedBackup>{};
  seen.details.clear();
  seen.archive.reset();
  (**seen.checks)[2].passed = false;
  EXPECT_TRUE(crds::is_true(status_after(montagu(), seen, kNoon).conditions, "Ready"));
}

TEST(BarmanServer, SaysWhatItDoesNotKnowWhileTheHostIsAway) {
  auto server = montagu();
  server.status = status_after(server, healthy(), kNoon);
  Observed away;
  away.host_error = Error{ErrorKind::Unavailable, "refused"};
  server.status = status_after(server, away, kNoon + 20s);
  for (const char* type : {"Postgresql", "Streaming", "SlotPresent", "CheckPostgresql"})
    EXPECT_EQ(crds::find_condition(server.status.conditions, type)->status, Truth::Unknown) << type;
  EXPECT_EQ(server.status.backups.size(), 1u) << "the catalogue as last seen stays";
  EXPECT_EQ(slot_state(server.status), "unknown");
  EXPECT_TRUE(crds::is_true(status_after(server, healthy(), kNoon + 40s).conditions, "Ready"));
}

TEST(BarmanServer, ForgetsAConditionOfACheckThatIsOnlyPrintedWhileItFails) {
  auto server = montagu();
  Observed seen = healthy();
  (**seen.checks).push_back({"wal_archive", false, "empty"});
  server.status = status_after(server, seen, kNoon);
  EXPECT_NE(crds::find_condition(server.status.conditions, "CheckWalArchive"), nullptr);
  server.status = status_after(server, healthy(), kNoon + 15s);
  EXPECT_EQ(crds::find_condition(server.status.conditions, "CheckWalArchive"), nullptr);
  EXPECT_TRUE(crds::is_true(server.status.conditions, "Ready"));
}

TEST(Receiver, ThatBeganToStreamAgainNoLongerLacksWal) {
  const auto line = [](const char* text) { return LogLine{kNoon, true, text}; };
  const auto begins = line("INFO: montagu: pg_receivewal: starting log streaming at 0/5E000000 (timeline 1)");
  const auto removed = line(
      "montagu: pg_receivewal: error: unexpected termination of replication stream: ERROR:  requested WAL segment "
      "00000001000000000000005E has already been removed");
  EXPECT_FALSE(says_wal_removed({begins}));
  EXPECT_TRUE(says_wal_removed({begins, removed}));
  EXPECT_FALSE(says_wal_removed({begins, removed, begins}));
  EXPECT_TRUE(says_wal_removed({begins, removed, begins, removed}));
}

TEST(Receiver, OfAProductionThatWasItselfRestoredLacksWalToo) {
  const auto line = [](const char* text) { return LogLine{kNoon, true, text}; };
  const auto begins = line("INFO: montagu: pg_receivewal: starting log streaming at 0/F000000 (timeline 1)");
  for (const char* refusal :
       {"pg_receivewal: error: could not send replication command \"START_REPLICATION\": ERROR:  requested starting "
        "point 0/F000000 on timeline 1 is not in this server's history",
        "pg_receivewal: error: could not send replication command \"START_REPLICATION\": ERROR:  requested starting "
        "point 0/F000000 is ahead of the WAL flush position of this server 0/A000148"}) {
    EXPECT_TRUE(says_wal_removed({begins, line(refusal)})) << refusal;
    EXPECT_FALSE(says_wal_removed({begins, line(refusal), begins})) << refusal;
  }
}

TEST(Receiver, ThatCannotWriteSaysSoUntilItBeginsAnew) {
  const auto line = [](const char* text) { return LogLine{kNoon, true, text}; };
  const auto begins = line("INFO: montagu: pg_receivewal: starting log streaming at 0/F000000 (timeline 1)");
  const auto full = line(
      "ERROR: montagu: pg_receivewal: error: could not write 8192 bytes to WAL file "
      "\"00000001000000000000000F.partial\": "
      "No space left on device");
  EXPECT_TRUE(says_volume_full({begins, full}));
  EXPECT_FALSE(says_volume_full({full, begins}));
}

TEST(Checks, BecomeConditionTypes) {
  EXPECT_EQ(condition_type("receive_wal_running"), "CheckReceiveWalRunning");
  EXPECT_EQ(condition_type("pg_basebackup"), "CheckPgBasebackup");
}

crds::CatalogBackup good(const std::string& id, const std::string& begin_wal) {
  crds::CatalogBackup backup;
  backup.id = id;
  backup.status = "DONE";
  backup.begin_wal = begin_wal;
  return backup;
}

TEST(Archive, IsRestorableFromTheOldestBackupWithAnUnbrokenWay) {
  const std::vector<crds::CatalogBackup> backups{good("c", "000000010000000000000006"),
                                                 good("b", "000000010000000000000004"),
                                                 good("a", "000000010000000000000001")};
  WalListing present{{"000000010000000000000001", "000000010000000000000002", "000000010000000000000004",
                      "000000010000000000000005", "000000010000000000000006", "000000010000000000000007"},
                     {},
                     {}};
  auto seen = archive_seen(backups, present, kDefaultWalSegmentBytes);
  EXPECT_TRUE(seen.gaps_since_newest.empty());
  EXPECT_EQ(seen.first_restorable, "b") << "3 is missing: from a on only up to it";
  present.segments.insert("000000010000000000000009");
  seen = archive_seen(backups, present, kDefaultWalSegmentBytes);
  ASSERT_EQ(seen.gaps_since_newest.size(), 1u);
  EXPECT_EQ(seen.gaps_since_newest.front().last, "000000010000000000000008");
  EXPECT_TRUE(seen.first_restorable.empty());
}

TEST(Archive, OfAProductionThatWasItselfRestoredIsNotContiguous) {
  // Timeline 2 goes on from segment 3; the newest base backup was made on timeline 1 behind it.
  const std::vector<crds::CatalogBackup> backups{good("b", "000000010000000000000005"),
                                                 good("a", "000000010000000000000002")};
  WalListing present{
      {"000000010000000000000002", "000000010000000000000003", "000000010000000000000004", "000000010000000000000005",
       "000000010000000000000006", "000000010000000000000007", "000000020000000000000003", "000000020000000000000004"},
      {"000000020000000000000005"},
      {{2, "1\t0/3000158\tx\n"}}};
  auto seen = archive_seen(backups, present, kDefaultWalSegmentBytes);
  ASSERT_TRUE(seen.broken) << "timeline 1 has more segments, but is not where production is";
  EXPECT_EQ(interruption(seen), "timeline-2");
  EXPECT_TRUE(seen.first_restorable.empty());

  // Its first segments lie before the oldest base backup, so that they are not even listed.
  seen = archive_seen({backups[0]}, {{"000000010000000000000005"}, {}, present.histories}, kDefaultWalSegmentBytes);
  EXPECT_TRUE(seen.broken);
  EXPECT_EQ(interruption(seen), "timeline-2");

  // One that ends behind the fork is no whole base backup on timeline 2.
  auto across = good("c", "000000010000000000000003");
  across.end_wal = "000000010000000000000004";
  EXPECT_TRUE(archive_seen({across}, present, kDefaultWalSegmentBytes).broken);

  seen = archive_seen({good("d", "000000020000000000000004"), backups[0]}, present, kDefaultWalSegmentBytes);
  EXPECT_FALSE(seen.broken) << "the new base backup closes it";
  EXPECT_EQ(interruption(seen), "");
  EXPECT_EQ(seen.first_restorable, "d");
}

TEST(Archive, WhoseHistoryHasJustArrivedBeforeItsFirstSegmentHasNoGap) {
  const WalListing present{{"000000010000000000000002"}, {"000000010000000000000003"}, {{2, "1\t0/3000158\tx\n"}}};
  const auto seen = archive_seen({good("a", "000000010000000000000002")}, present, kDefaultWalSegmentBytes);
  EXPECT_FALSE(seen.broken);
  EXPECT_TRUE(seen.gaps_since_newest.empty());
}

TEST(Archive, ShowsAGapAsSoonAsWalIsReceivedBehindIt) {
  const WalListing present{{"000000010000000000000004"}, {"000000010000000000000007"}, {}};
  const auto seen = archive_seen({good("a", "000000010000000000000004")}, present, kDefaultWalSegmentBytes);
  ASSERT_EQ(seen.gaps_since_newest.size(), 1u);
  EXPECT_EQ(describe(seen.gaps_since_newest.front()),
            "000000010000000000000005 to 000000010000000000000006 (2 segments)");
}

TEST(Catalogue, KeepsWhatIsKnownOfGoodBackupsAndAsksOnlyOnce) {
  ListedBackup done, failed;
  done.backup = {.id = "2", .status = "DONE"};
  failed.backup = {.id = "1", .status = "FAILED"};
  EXPECT_EQ(unknown_details({}, {done, failed}), (std::vector<std::string>{"2", "1"}));
  BackupDetails details;
  details.backup = good("2", "000000010000000000000006");
  BackupDetails why;
  why.backup = {.id = "1", .status = "FAILED", .error = "disk"};
  const auto known = merge_catalogue({}, {done, failed}, {details, why});
  EXPECT_EQ(known[0].begin_wal, "000000010000000000000006");
  EXPECT_EQ(known[1].error, "disk");
  EXPECT_TRUE(unknown_details(known, {done, failed}).empty());
  EXPECT_EQ(merge_catalogue(known, {done}, {}).size(), 1u) << "what retention deleted goes";
  done.backup.status = "FAILED";
  EXPECT_EQ(merge_catalogue(known, {done}, {})[0].status, "FAILED");
}

}  // namespace
}  // namespace roadstead::reconcilers::barman_server
