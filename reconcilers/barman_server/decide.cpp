#include "reconcilers/barman_server/decide.h"

#include <algorithm>
#include <array>
#include <limits>

#include "operator/base/quantity.h"
#include "operator/base/rfc3339.h"
#include "reconcilers/barman_server/checks.h"

namespace roadstead::reconcilers::barman_server {
namespace {

using crds::BarmanServer;
using crds::BarmanServerStatus;
using Truth = crds::ConditionStatus;

bool failed(const std::vector<crds::BarmanCheck>& checks, std::string_view name) {
  return std::any_of(checks.begin(), checks.end(),
                     [&](const auto& check) { return check.name == name && !check.passed; });
}

bool is_other_cluster(const BarmanServer& server, const ProductionState& production) {
  // Without a backup there is nothing that the other cluster's could be mixed up with.
  return !server.status.backups.empty() && !server.status.system_id.empty() && !production.system_id.empty() &&
         server.status.system_id != production.system_id;
}

/// Since when barman has no receiver of its own while the slot is in use.
std::optional<Time> without_receiver_since(const BarmanServer& server, const Observed& seen) {
  const bool looked = seen.checks && *seen.checks;
  if (!failed(looked ? **seen.checks : server.status.checks, "receive_wal_running")) return std::nullopt;
  const auto* since = crds::find_condition(server.status.conditions, condition_type("receive_wal_running"));
  return since != nullptr && since->status == Truth::False ? since->last_transition_time : std::nullopt;
}

/// A container that began after the trouble did took every receiver of ours with it: whoever holds the slot is not
/// ours.
bool was_restarted_since(const Observed& seen, Time since) {
  return seen.container.started_at && *seen.container.started_at > since;
}

bool is_orphaned(const BarmanServer& server, const Observed& seen, Time now) {
  if (!seen.checks || !*seen.checks) return false;
  const auto since = without_receiver_since(server, seen);
  return since && now - *since >= kOrphanPatience && !was_restarted_since(seen, *since);
}

bool is_used_by_another(const BarmanServer& server, const Observed& seen, Time now) {
  const auto since = without_receiver_since(server, seen);
  return since && was_restarted_since(seen, *since) && now - *seen.container.started_at >= kOrphanPatience;
}

/// Collects conditions of one look, all of the same generation.
class Conditions {
 public:
  Conditions(BarmanServerStatus& status, std::int64_t generation, Time now)
      : status_(status), generation_(generation), now_(now) {}

  void set(std::string type, Truth truth, std::string reason, std::string message) {
    if (!message.empty() && message.back() != '.') message += '.';
    crds::set_condition(status_.conditions,
                        {std::move(type), truth, std::move(reason), std::move(message), std::nullopt, generation_},
                        now_);
  }
  void unknown(const std::string& type, const std::string& reason, const std::string& message) {
    set(type, Truth::Unknown, reason, message);
  }

  /// Everything that cannot be known now, so that nobody reads yesterday's truth.
  void all_unknown(std::span<const std::string_view> types, const std::string& reason, const std::string& message) {
    for (const std::string_view type : types) unknown(std::string(type), reason, message);
    std::vector<std::string> checks;
    for (const auto& condition : status_.conditions)
      if (condition.type.starts_with("Check")) checks.push_back(condition.type);
    for (const std::string& check : checks) unknown(check, reason, message);
  }

 private:
  BarmanServerStatus& status_;
  const std::int64_t generation_;
  const Time now_;
};

constexpr std::array<std::string_view, 3> kBehindProduction = {"SlotPresent", "Streaming", "WalArchiving"};
constexpr std::array<std::string_view, 4> kBehindContainer = {"Postgresql", "SlotPresent", "Streaming", "WalArchiving"};

std::string production_name(const BarmanServer& server) {
  return fmt::format("production ({}:{})",
                     server.spec.source.address.value_or("host " + server.spec.source.host_ref.name),
                     server.spec.source.port);
}

std::string reference_of(const crds::SecretRef& ref) {
  return ref.file ? "file " + *ref.file : "environment variable " + ref.env.value_or("?");
}

void judge_unusable(Conditions& conditions, const Error& error) {
  const std::string reason = error.kind == ErrorKind::NotFound  ? "ReferenceNotFound"
                             : error.kind == ErrorKind::Invalid ? "SpecInvalid"
                                                                : std::string(to_string(error.kind));
  conditions.set("Ready", Truth::False, reason, error.message);
  conditions.all_unknown(kBehindContainer, reason, "Not looked at: " + error.message);
}

void judge_container(Conditions& conditions, const Observed& seen) {
  const std::string& name = seen.container_name;
  switch (seen.container.state) {
    case ContainerState::Running:
      return conditions.set("StandingContainer", Truth::True, "Running", fmt::format("Container {} runs", name));
    case ContainerState::Foreign:
      return conditions.set(
          "StandingContainer", Truth::False, "NameTaken",
          fmt::format(
              "A container named {} exists that is not of this installation; look at it, then run: docker rm -f {}",
              name, name));
    case ContainerState::Restarting:
      return conditions.set("StandingContainer", Truth::False, "Restarting",
                            fmt::format("Container {} ends again and again ({}); see: docker logs {}", name,
                                        seen.container.last_words, name));
    default:
      break;
  }
  if (seen.act_error)
    return conditions.set("StandingContainer", Truth::False, std::string(to_string(seen.act_error->kind)),
                          fmt::format("Container {} cannot be made or started: {}", name, seen.act_error->message));
  conditions.set("StandingContainer", Truth::False, "Starting",
                 fmt::format("Container {} is being made and started", name));
}

/// psql's refusal, by what has to be done about it.
void judge_refusal(Conditions& conditions, const BarmanServer& server, const char* type, const Error& error,
                   const crds::DatabaseUser& user) {
  const std::string who = production_name(server);
  const bool password = error.message.find("password") != std::string::npos;
  if (error.kind == ErrorKind::Forbidden && password)
    return conditions.set(type, Truth::False, "PasswordRefused",
                          fmt::format("{} refuses role {}: {}; put the right password into {} (it is read again at "
                                      "once), or on production run: ALTER ROLE {} PASSWORD '...'",
                                      who, user.name, error.message, reference_of(user.password_ref), user.name));
  if (error.kind == ErrorKind::Forbidden)
    return conditions.set(
        type, Truth::False, "NotPermitted",
        fmt::format("{} does not permit role {}: {}; see its pg_hba.conf and grants", who, user.name, error.message));
  if (error.message.find("max_wal_senders") != std::string::npos)
    return conditions.set(type, Truth::False, "TooManySenders",
                          fmt::format("{}: {}; on production run: ALTER SYSTEM SET max_wal_senders = 20; and restart "
                                      "it, or end what uses them (see pg_stat_replication)",
                                      who, error.message));
  if (error.kind == ErrorKind::Invalid)
    return conditions.set(type, Truth::False, "QueryFailed", fmt::format("{} answers: {}", who, error.message));
  conditions.set(type, Truth::False, "Unreachable",
                 fmt::format("{} is not reached from host {}: {}", who, server.spec.host_ref.name, error.message));
}

/// True if what lies behind the database can be judged.
bool judge_production(Conditions& conditions, const BarmanServer& server, const Observed& seen) {
  if (!seen.production) return false;
  if (!*seen.production) {
    judge_refusal(conditions, server, "Postgresql", seen.production->error(), server.spec.source.backup_user);
    return false;
  }
  const ProductionState& production = **seen.production;
  if (production.version_number < kOldestPostgres) {
    conditions.set(
        "Postgresql", Truth::False, "PostgresVersionUnsupported",
        fmt::format("PostgreSQL {} is too old: 12 is the oldest that can be restored to a point; upgrade production",
                    production.version));
    return false;
  }
  if (production.in_recovery) {
    conditions.set("Postgresql", Truth::False, "InRecovery",
                   fmt::format("{} is a standby: point spec.source at the primary", production_name(server)));
    return false;
  }
  if (is_other_cluster(server, production)) {
    conditions.set("Postgresql", Truth::False, "SystemIdChanged",
                   fmt::format("{} is another database cluster (system id {}) than the one these backups are of ({}): "
                               "give the BarmanServer a new name, or an empty data volume",
                               production_name(server), production.system_id, server.status.system_id));
    return false;
  }
  conditions.set(
      "Postgresql", Truth::True, "Connected",
      fmt::format("PostgreSQL {} answers as role {}", production.version, server.spec.source.backup_user.name));
  return true;
}

void judge_streaming(Conditions& conditions, const BarmanServer& server, const Observed& seen, Time now) {
  const ProductionState& production = **seen.production;
  const std::string& slot = server.spec.source.slot_name;
  if (!production.slot) {
    const std::string cause = seen.act_error ? ": " + seen.act_error->message : std::string();
    conditions.set("SlotPresent", Truth::False, "SlotMissing",
                   fmt::format("{} has no replication slot {}; it is being made{} (by hand: docker exec -u 999:999 {} "
                               "barman receive-wal --create-slot {})",
                               production_name(server), slot, cause, seen.container_name, server.metadata.name));
  } else if (production.slot->wal_status == "lost") {
    conditions.set(
        "SlotPresent", Truth::False, "SlotLost",
        fmt::format("{} has thrown away WAL that slot {} stood for; the receiver is being set behind the gap",
                    production_name(server), slot));
  } else {
    conditions.set("SlotPresent", Truth::True, "Present",
                   fmt::format("Slot {} keeps WAL from {} on", slot,
                               production.slot->restart_lsn.empty() ? "now" : production.slot->restart_lsn));
  }
  if (production.slot && production.slot->active && is_used_by_another(server, seen, now))
    return conditions.set(
        "Streaming", Truth::False, "SlotInUse",
        fmt::format("Slot {} of {} is in use by a client that is not this barman, which waits for it; on production "
                    "run: SELECT pid, client_addr, application_name FROM pg_stat_replication; and end that client",
                    slot, production_name(server)));
  if (production.slot && production.slot->active)
    return conditions.set("Streaming", Truth::True, "Streaming", fmt::format("WAL is received through slot {}", slot));
  if (seen.streaming && !*seen.streaming)
    return judge_refusal(conditions, server, "Streaming", seen.streaming->error(), server.spec.source.streaming_user);
  if (seen.wal_removed)
    return conditions.set(
        "Streaming", Truth::False, "WalRemoved",
        fmt::format("{} no longer has the WAL that barman needs next; the receiver is being set behind the gap",
                    production_name(server)));
  const std::string cause = seen.act_error ? " (" + seen.act_error->message + ")" : std::string();
  if (seen.volume_full || (seen.act_error && seen.act_error->kind == ErrorKind::NoSpace))
    return conditions.set("Streaming", Truth::False, "NoSpace",
                          fmt::format("Nobody receives WAL through slot {}: the volume {} on host {} is full{}; make "
                                      "room there, see: docker system df -v",
                                      slot, server.spec.volumes.data, server.spec.host_ref.name, cause));
  conditions.set("Streaming", Truth::False, "ReceiverNotRunning",
                 fmt::format("Nobody receives WAL through slot {}{}; barman starts its receiver within a minute, see: "
                             "docker logs --tail 50 {}",
                             slot, cause, seen.container_name));
}

/// Numbers of one look at production.
void take_numbers(BarmanServerStatus& status, const ProductionState& production, Time now) {
  status.postgres_version = production.version;
  if (status.system_id.empty() || status.backups.empty()) status.system_id = production.system_id;
  status.database_size_bytes = production.database_bytes;
  status.current_lsn = format_lsn(production.current_lsn);
  status.slot = production.slot;
  status.last_observed = now;
  status.wal_lag_bytes.reset();
  // Sent, not written: the receiver reports what it wrote only every ten seconds.
  std::optional<Lsn> received = production.receiver ? production.receiver->sent : std::nullopt;
  if (!received && production.slot) received = parse_lsn(production.slot->restart_lsn);
  if (received)
    status.wal_lag_bytes =
        static_cast<std::int64_t>(production.current_lsn - std::min(*received, production.current_lsn));
}

void judge_check_lines(Conditions& conditions, const BarmanServer& server, const Observed& seen,
                       const std::vector<crds::BarmanCheck>& checks) {
  const bool no_connection = failed(checks, "postgresql");
  for (const crds::BarmanCheck& check : checks) {
    const std::string type = condition_type(check.name);
    const std::string hint = check.hint.empty() ? std::string() : " (" + check.hint + ")";
    if (check.passed)
      conditions.set(type, Truth::True, "Ok", check.hint);
    else if (no_connection && check.name != "postgresql")
      conditions.unknown(type, "PostgresqlUnavailable", "barman did not reach production" + hint);
    else
      conditions.set(type, Truth::False, "Failed",
                     fmt::format("barman check: {} failed{}; {}", check.name, hint,
                                 advice(check.name, server, seen.container_name)));
  }
}

/// True if the checks could be run.
bool judge_checks(Conditions& conditions, const BarmanServer& server, const Observed& seen,
                  BarmanServerStatus& status) {
  if (!*seen.checks) {
    const Error& error = seen.checks->error();
    const bool privileges = error.message.find("missing required privileges") != std::string::npos;
    if (privileges)
      conditions.set(
          "ChecksRun", Truth::False, "PrivilegesMissing",
          fmt::format("{}; on production, in database {}, run: {}", error.message, server.spec.source.database,
                      grants(server, seen.production && *seen.production ? (**seen.production).version_number : 0)));
    else if (error.kind == ErrorKind::NoSpace)
      conditions.set("ChecksRun", Truth::False, "NoSpace",
                     fmt::format("{}; make room on host {}: the volume {} is full", error.message,
                                 server.spec.host_ref.name, server.spec.volumes.data));
    else
      conditions.set("ChecksRun", Truth::False, std::string(to_string(error.kind)), error.message);
    return false;
  }
  const auto& checks = **seen.checks;
  conditions.set("ChecksRun", Truth::True, "Ran", fmt::format("barman ran {} checks", checks.size()));
  judge_check_lines(conditions, server, seen, checks);
  // A check that appears only while it fails (wal_archive) goes when it is no longer printed.
  std::erase_if(status.conditions, [&](const crds::Condition& condition) {
    return condition.type.starts_with("Check") && condition.type != "ChecksRun" &&
           std::none_of(checks.begin(), checks.end(),
                        [&](const auto& check) { return condition_type(check.name) == condition.type; });
  });
  status.checks = checks;
  return true;
}

void judge_archiving(Conditions& conditions, const BarmanServer& server, const BarmanServerStatus& status) {
  const auto limit = server.spec.objectives ? server.spec.objectives->max_wal_lag_bytes : std::nullopt;
  for (const char* check : {"archiver_errors", "wal_archive", "compression_settings", "directories"})
    if (failed(status.checks, check))
      return conditions.set("WalArchiving", Truth::False, "CheckFailed",
                            fmt::format("barman's check {} fails; see condition {}", check, condition_type(check)));
  if (limit && status.wal_lag_bytes.value_or(0) > *limit)
    return conditions.set(
        "WalArchiving", Truth::False, "Late",
        fmt::format("barman is {} behind the database, more than {} (spec.objectives.maxWalLagBytes); see the network "
                    "between the hosts and the space of volume {}",
                    human_bytes(static_cast<std::uint64_t>(*status.wal_lag_bytes)),
                    human_bytes(static_cast<std::uint64_t>(*limit)), server.spec.volumes.data));
  conditions.set("WalArchiving", Truth::True, "Archiving", "WAL is received and archived");
}

void judge_minute(Conditions& conditions, const Observed& seen, Time now) {
  std::optional<Time> last = seen.last_cron ? seen.last_cron->finished_at : std::nullopt;
  if (!last || (seen.container.started_at && *seen.container.started_at > *last)) last = seen.container.started_at;
  const bool late = last && now - *last > kCronLate;
  if (late)
    return conditions.set(
        "CronLate", Truth::True, "MinuteLate",
        fmt::format(
            "barman's minute last ended at {}: WAL is not archived and retention does not run; run: docker restart {}",
            format_rfc3339(*last), seen.container_name));
  const bool bad = seen.last_cron && seen.last_cron->exit_code.value_or(0) != 0;
  if (bad)
    return conditions.set(
        "CronLate", Truth::True, "MinuteFailed",
        fmt::format("barman's minute ended with exit code {}, so WAL may not be archived and retention "
                    "not run; see: docker logs --tail 50 {}",
                    *seen.last_cron->exit_code, seen.container_name));
  conditions.set("CronLate", Truth::False, "OnTime", "barman's minute runs on time");
}

const crds::CatalogBackup* newest_good(const std::vector<crds::CatalogBackup>& backups) {
  const auto found =
      std::find_if(backups.begin(), backups.end(), [](const auto& backup) { return backup.status == "DONE"; });
  return found == backups.end() ? nullptr : &*found;
}

void take_catalogue(BarmanServerStatus& status, const Observed& seen) {
  const auto& listed = **seen.listed;
  status.backups = merge_catalogue(status.backups, listed, seen.details);
  std::int64_t archive = 0;
  for (const ListedBackup& one : listed) archive += one.backup.size_bytes.value_or(0) + one.wal_bytes.value_or(0);
  status.archive_bytes = archive;
  status.last_backup.reset();
  if (const auto* newest = newest_good(status.backups))
    status.last_backup = crds::LastBaseBackup{newest->id, newest->end_time, newest->size_bytes};
  else
    status.first_recoverability_point.reset();
}

void take_replay_distance(BarmanServerStatus& status) {
  status.wal_since_base_backup_bytes.reset();
  const auto* newest = newest_good(status.backups);
  const auto current = parse_lsn(status.current_lsn);
  const auto begin = newest != nullptr ? parse_lsn(newest->begin_lsn) : std::nullopt;
  if (current && begin && *current >= *begin)
    status.wal_since_base_backup_bytes = static_cast<std::int64_t>(*current - *begin);
}

/// About a Backup of our own that failed: where the cause is, and how it goes on.
std::string try_again(const BarmanServer& server, const OwnFailure& failure) {
  return fmt::format(
      "Backup {0} failed, see: roadstead describe backup {0} -n {1}; the next is made at {2}, or at once after: "
      "roadstead delete backup {0} -n {1}",
      failure.name, server.metadata.ns, format_rfc3339(failure.again));
}

void judge_gap(Conditions& conditions, const BarmanServer& server, const Observed& seen, BarmanServerStatus& status) {
  const ArchiveSeen& archive = *seen.archive;
  status.first_recoverability_point.reset();
  for (const auto& backup : status.backups)
    if (backup.id == archive.first_restorable) status.first_recoverability_point = backup.end_time;
  if (archive.gaps_since_newest.empty() && !archive.broken)
    return conditions.set("WalGap", Truth::False, "Contiguous", "The archive has all WAL since the newest base backup");
  const std::string next =
      server.spec.initial_backup && seen.own_failure
          ? "a new base backup closes it, but " + try_again(server, *seen.own_failure)
      : server.spec.initial_backup
          ? fmt::format("a new base backup is being made, which closes it; see `roadstead get backups -n {}`",
                        server.metadata.ns)
          : fmt::format(
                "`roadstead backup POLICY -n {}` with the BackupPolicy of this server makes a base backup now, which "
                "closes it",
                server.metadata.ns);
  if (archive.broken)
    return conditions.set("WalGap", Truth::True,
                          archive.broken->kind == ErrorKind::NotFound ? "HistoryMissing" : "TimelineLeft",
                          fmt::format("No way leads from the newest base backup to the WAL of now: {}; {}",
                                      archive.broken->message, next));
  conditions.set(
      "WalGap", Truth::True, "WalMissing",
      fmt::format("The archive lacks WAL {}: nothing after it can be restored from the base backups there are; {}",
                  describe(archive.gaps_since_newest.front()), next));
}

void judge_backups(Conditions& conditions, const BarmanServer& server, const Observed& seen,
                   const BarmanServerStatus& status, Time now) {
  const auto* newest = newest_good(status.backups);
  if (!seen.foreign_failures.empty()) {
    const std::string& id = seen.foreign_failures.front();
    const bool unfinished = std::any_of(status.backups.begin(), status.backups.end(), [&](const auto& backup) {
      return backup.id == id && backup.status != "FAILED";
    });
    return conditions.set(
        "BackupsHealthy", Truth::False, unfinished ? "Unfinished" : "FailedBackups",
        fmt::format("Base backup {} {} and was not made by this installation; look at it, then "
                    "run: docker exec -u 999:999 {} barman delete {} {}",
                    id, unfinished ? "was left half made" : "failed", seen.container_name, server.metadata.name, id));
  }
  if (newest == nullptr)
    return conditions.set(
        "BackupsHealthy", Truth::False, "NoBaseBackup",
        server.spec.initial_backup && seen.own_failure
            ? "There is no base backup yet: " + try_again(server, *seen.own_failure)
        : server.spec.initial_backup
            ? fmt::format("There is no base backup yet; Backup {0}-initial makes the first one as soon as WAL streams, "
                          "see: roadstead describe backup {0}-initial -n {1}",
                          server.metadata.name, server.metadata.ns)
            : fmt::format(
                  "There is no base backup, and spec.initialBackup is false; `roadstead backup POLICY -n {}` with the "
                  "BackupPolicy of this server makes one now",
                  server.metadata.ns));
  const auto limit = server.spec.objectives ? server.spec.objectives->max_base_backup_age_seconds : std::nullopt;
  if (limit && newest->end_time && now - *newest->end_time > std::chrono::seconds(*limit))
    return conditions.set(
        "BackupsHealthy", Truth::False, "TooOld",
        fmt::format(
            "The newest base backup is from {0}, older than {1} (spec.objectives.maxBaseBackupAgeSeconds); "
            "`roadstead get backups -n {2}` shows the runs since then, `roadstead describe backup NAME -n {2}` "
            "says why one failed, `roadstead backup POLICY -n {2}` with the BackupPolicy of this server makes one now",
            format_rfc3339(*newest->end_time), human_duration(std::chrono::seconds(*limit)), server.metadata.ns));
  const auto good = std::count_if(status.backups.begin(), status.backups.end(),
                                  [](const auto& backup) { return backup.status == "DONE"; });
  const std::int64_t wanted = server.spec.retention ? server.spec.retention->minimum_redundancy : 0;
  if (good < wanted)
    return conditions.set("BackupsHealthy", Truth::False, "TooFew",
                          fmt::format("There are {} good base backups, {} are wanted "
                                      "(spec.retention.minimumRedundancy); the next runs fill it up",
                                      good, wanted));
  conditions.set("BackupsHealthy", Truth::True, "Healthy",
                 fmt::format("{} good base backups, the newest is {}", good, newest->id));
}

/// True if the receiver's last try ended with such a line.
template <class Match>
bool last_try_says(const std::vector<LogLine>& log, const Match& match) {
  bool found = false;
  for (const LogLine& line : log) {
    const auto says = [&](std::string_view words) { return line.text.find(words) != std::string::npos; };
    if (says("pg_receivewal") && says("starting log streaming")) found = false;
    if (match(says)) found = true;
  }
  return found;
}

/// What is missing on the way from a base backup to `end`. A timeline that was left while it was made does not lead on
/// from it either: before its own last segment it is no database.
Result<std::vector<WalGap>> way_from(const crds::CatalogBackup& backup, const std::string& end,
                                     const WalListing& present, std::uint64_t segment_bytes) {
  if (!backup.end_wal.empty())
    if (auto from_its_end = find_gaps(backup.end_wal, end, present, segment_bytes); !from_its_end) return from_its_end;
  return find_gaps(backup.begin_wal, end, present, segment_bytes);
}

/// Ready is the first trouble there is, in the order in which one would look for it.
void judge_ready(Conditions& conditions, BarmanServerStatus& status) {
  const auto trouble = [&](std::string_view type, Truth wanted) -> const crds::Condition* {
    const auto* condition = crds::find_condition(status.conditions, type);
    return condition != nullptr && condition->status == wanted ? nullptr : condition;
  };
  for (const std::string_view type :
       {"HostReachable", "StandingContainer", "Postgresql", "SlotPresent", "Streaming", "ChecksRun", "WalArchiving"}) {
    const auto* condition = crds::find_condition(status.conditions, type);
    if (condition == nullptr)
      return conditions.set("Ready", Truth::False, "Starting", fmt::format("{} is not known yet", type));
    if (condition->status != Truth::True)
      return conditions.set("Ready", Truth::False, condition->reason, condition->message);
  }
  for (const std::string_view type : {"CronLate", "WalGap"})
    if (const auto* condition = trouble(type, Truth::False))
      return conditions.set("Ready", Truth::False, condition->reason, condition->message);
  for (const crds::BarmanCheck& check : status.checks) {
    if (is_about_backups(check.name)) continue;
    if (const auto* condition = trouble(condition_type(check.name), Truth::True))
      return conditions.set("Ready", Truth::False, condition_type(check.name), condition->message);
  }
  conditions.set("Ready", Truth::True, "Ready", "WAL is streamed and archived, and barman's checks pass");
}

}  // namespace

std::string_view to_string(Act act) {
  switch (act) {
    case Act::None:
      return "None";
    case Act::MakeContainer:
      return "MakeContainer";
    case Act::RemakeContainer:
      return "RemakeContainer";
    case Act::StartContainer:
      return "StartContainer";
    case Act::RestartContainer:
      return "RestartContainer";
    case Act::CreateSlot:
      return "CreateSlot";
    case Act::StartReceiver:
      return "StartReceiver";
    case Act::ResetReceiver:
      return "ResetReceiver";
    case Act::ArchiveFirst:
      return "ArchiveFirst";
  }
  return "None";
}

bool is_settled(Act act, const Observed& seen) {
  return act == Act::None && seen.production && *seen.production && (**seen.production).slot &&
         (**seen.production).slot->active;
}

Act decide(const BarmanServer& server, const Observed& seen, Time now) {
  if (seen.unusable || seen.host_error) return Act::None;
  switch (seen.container.state) {
    case ContainerState::Absent:
      return Act::MakeContainer;
    case ContainerState::Stale:
    case ContainerState::Broken:
      return Act::RemakeContainer;
    case ContainerState::Stopped:
      return Act::StartContainer;
    case ContainerState::Foreign:
    case ContainerState::Restarting:
      return Act::None;
    case ContainerState::Running:
      break;
  }
  if (!seen.production || !*seen.production) return Act::None;
  const ProductionState& production = **seen.production;
  if (production.version_number < kOldestPostgres || production.in_recovery || is_other_cluster(server, production))
    return Act::None;
  // Without a connection of its own the receiver cannot work: the condition says why.
  if (seen.streaming && !*seen.streaming) return Act::None;
  if (!production.slot) return Act::CreateSlot;
  if (!production.slot->active) {
    // What was begun is given its time: to begin anew twice would lose what came in between.
    if (seen.receiver_kicked) return Act::None;
    return seen.wal_removed || production.slot->wal_status == "lost" ? Act::ResetReceiver : Act::StartReceiver;
  }
  if (is_orphaned(server, seen, now)) return Act::RestartContainer;
  if (seen.checks && *seen.checks && failed(**seen.checks, "wal_archive")) return Act::ArchiveFirst;
  return Act::None;
}

BarmanServerStatus status_after(const BarmanServer& server, const Observed& seen, Time now) {
  BarmanServerStatus status = server.status;
  status.observed_generation = server.metadata.generation;
  Conditions conditions(status, server.metadata.generation, now);
  if (seen.unusable) {
    judge_unusable(conditions, *seen.unusable);
    return status;
  }
  if (seen.host_error) {
    const std::string message =
        fmt::format("The engine of host {} does not answer: {}; try: roadstead describe host {}",
                    server.spec.host_ref.name, seen.host_error->message, server.spec.host_ref.name);
    conditions.set("HostReachable", Truth::False, "HostUnreachable", message);
    conditions.all_unknown(kBehindContainer, "HostUnreachable", "Not known while the host does not answer");
    conditions.set("Ready", Truth::False, "HostUnreachable", message);
    return status;
  }
  conditions.set("HostReachable", Truth::True, "Answers",
                 fmt::format("The engine of host {} answers", server.spec.host_ref.name));
  status.container_id = seen.container.id;
  status.spec_hash = seen.spec_hash;
  if (seen.last_cron) status.last_cron = seen.last_cron;
  if (!seen.barman_version.empty()) status.barman_version = seen.barman_version;
  judge_container(conditions, seen);
  if (seen.container.state != ContainerState::Running) {
    conditions.all_unknown(kBehindContainer, "ContainerNotRunning",
                           "Not known while the standing container does not run");
    judge_ready(conditions, status);
    return status;
  }
  judge_minute(conditions, seen, now);
  if (seen.listed && *seen.listed) take_catalogue(status, seen);
  if (seen.archive) judge_gap(conditions, server, seen, status);
  if (!judge_production(conditions, server, seen)) {
    if (seen.production)
      conditions.all_unknown(kBehindProduction, "PostgresqlUnavailable", "Not known while production does not answer");
  } else {
    take_numbers(status, **seen.production, now);
    judge_streaming(conditions, server, seen, now);
    if (seen.checks) judge_checks(conditions, server, seen, status);
    if (!status.checks.empty()) judge_archiving(conditions, server, status);
  }
  take_replay_distance(status);
  if (seen.listed && *seen.listed) judge_backups(conditions, server, seen, status, now);
  judge_ready(conditions, status);
  crds::refresh_summary(status);
  return status;
}

bool says_wal_removed(const std::vector<LogLine>& log) {
  return last_try_says(log, [](const auto& says) {
    // The last two: production was itself restored to an earlier point, so its WAL is no longer the one received.
    return (says("requested WAL segment") && says("has already been removed")) ||
           (says("requested starting point") && says("is not in this server's history")) ||
           (says("requested starting point") && says("is ahead of the WAL flush position"));
  });
}

bool says_volume_full(const std::vector<LogLine>& log) {
  return last_try_says(log, [](const auto& says) { return says("pg_receivewal") && says("No space left on device"); });
}

std::string interruption(const ArchiveSeen& archive) {
  if (archive.broken) return fmt::format("timeline-{}", archive.timeline);
  return archive.gaps_since_newest.empty() ? std::string() : archive.gaps_since_newest.front().last;
}

ArchiveSeen archive_seen(const std::vector<crds::CatalogBackup>& good, WalListing present,
                         std::uint64_t segment_bytes) {
  ArchiveSeen seen;
  // What is being received counts as there, so that a gap before it shows at once.
  present.segments.merge(present.receiving);
  std::optional<WalSegment> newest;
  for (const std::string& name : present.segments)
    if (const auto segment = parse_segment(name, segment_bytes))
      if (!newest || *segment > *newest) newest = segment;
  if (!newest) return seen;
  // A timeline that goes on from a point before every base backup has its first segments outside of what was listed.
  const auto fork = newest_fork(present, segment_bytes);
  if (fork && fork->timeline > newest->timeline && !good.empty())
    if (const auto way = way_from(good.front(), segment_name(*fork, segment_bytes), present, segment_bytes); !way) {
      seen.broken = way.error();
      seen.timeline = fork->timeline;
      return seen;
    }
  seen.timeline = newest->timeline;
  const std::string end = segment_name(*newest, segment_bytes);
  bool is_newest = true;
  for (const crds::CatalogBackup& backup : good) {
    const auto gaps = way_from(backup, end, present, segment_bytes);
    if (!gaps && is_newest) seen.broken = gaps.error();
    if (!gaps) break;  // a timeline that cannot be followed: nothing older is claimed
    if (is_newest) seen.gaps_since_newest = *gaps;
    is_newest = false;
    if (!gaps->empty()) break;
    seen.first_restorable = backup.id;
  }
  return seen;
}

std::vector<crds::CatalogBackup> merge_catalogue(const std::vector<crds::CatalogBackup>& known,
                                                 const std::vector<ListedBackup>& listed,
                                                 const std::vector<BackupDetails>& details) {
  std::vector<crds::CatalogBackup> merged;
  for (const ListedBackup& one : listed) {
    const auto detailed = std::find_if(details.begin(), details.end(),
                                       [&](const auto& detail) { return detail.backup.id == one.backup.id; });
    const auto before =
        std::find_if(known.begin(), known.end(), [&](const auto& backup) { return backup.id == one.backup.id; });
    if (detailed != details.end())
      merged.push_back(detailed->backup);
    else if (before != known.end() && before->status == one.backup.status)
      merged.push_back(*before);
    else
      merged.push_back(one.backup);
  }
  return merged;
}

std::vector<std::string> unknown_details(const std::vector<crds::CatalogBackup>& known,
                                         const std::vector<ListedBackup>& listed) {
  std::vector<std::string> ids;
  for (const ListedBackup& one : listed) {
    if (one.backup.status != "DONE" && one.backup.status != "FAILED") continue;
    const auto before =
        std::find_if(known.begin(), known.end(), [&](const auto& backup) { return backup.id == one.backup.id; });
    const bool complete = before != known.end() && before->status == one.backup.status &&
                          (one.backup.status == "FAILED" || !before->begin_wal.empty());
    if (!complete) ids.push_back(one.backup.id);
  }
  return ids;
}

std::vector<std::string> checks_gone(const std::vector<crds::BarmanCheck>& before,
                                     const std::vector<crds::BarmanCheck>& now) {
  std::vector<std::string> gone;
  for (const crds::BarmanCheck& check : before)
    if (std::none_of(now.begin(), now.end(), [&](const auto& one) { return one.name == check.name; }))
      gone.push_back(check.name);
  return gone;
}

double shown(std::optional<std::int64_t> number) {
  return number ? static_cast<double>(*number) : std::numeric_limits<double>::quiet_NaN();
}

std::string slot_not_dropped(const BarmanServer& server, const std::string& container, const Error& error,
                             bool may_stream, std::string_view annotation) {
  const std::string sql = fmt::format("SELECT pg_drop_replication_slot('{}')", server.spec.source.slot_name);
  const std::string let_go = fmt::format("apply BarmanServer {} once more with the annotation `{}: \"true\"`",
                                         server.metadata.name, annotation);
  if (may_stream)
    return fmt::format("{}; by hand, in this order: on host {} run `docker rm -f {}`, on production run `{}`, then {}.",
                       error.message, server.spec.host_ref.name, container, sql, let_go);
  return fmt::format("{}; on production run: `{}`; or, if production never comes back, {}.", error.message, sql,
                     let_go);
}

std::string_view slot_state(const BarmanServerStatus& status) {
  const auto* postgresql = crds::find_condition(status.conditions, "Postgresql");
  if (postgresql == nullptr || postgresql->status != Truth::True) return "unknown";
  if (!status.slot) return "missing";
  if (status.slot->wal_status == "lost") return "lost";
  return status.slot->active ? "active" : "inactive";
}

}  // namespace roadstead::reconcilers::barman_server
