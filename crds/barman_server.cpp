#include "crds/barman_server.h"

#include "crds/common_fields.h"
#include "operator/base/quantity.h"

namespace roadstead::crds {

template <class Io>
void fields(Io& io, DatabaseUser& value) {
  io.required("name", value.name);
  io.required("passwordRef", value.password_ref);
}

template <class Io>
void fields(Io& io, PostgresSource& value) {
  io.required("hostRef", value.host_ref);
  io.optional("address", value.address);
  io.field("port", value.port);
  io.field("database", value.database);
  io.field("slotName", value.slot_name);
  io.required("backupUser", value.backup_user);
  io.required("streamingUser", value.streaming_user);
}

template <class Io>
void fields(Io& io, PostgresRuntime& value) {
  io.required("image", value.image);
  io.optional("configFile", value.config_file);
  io.required("dataDirectory", value.data_directory);
  io.field("user", value.user);
  io.optional("parameters", value.parameters);
}

template <class Io>
void fields(Io& io, BarmanVolumes& value) {
  io.required("data", value.data);
  io.required("recover", value.recover);
}

template <class Io>
void fields(Io& io, BarmanRetention& value) {
  io.required("recoveryWindowDays", value.recovery_window_days);
  io.field("minimumRedundancy", value.minimum_redundancy);
}

template <class Io>
void fields(Io& io, BarmanObjectives& value) {
  io.optional("maxBaseBackupAgeSeconds", value.max_base_backup_age_seconds);
  io.optional("maxWalLagBytes", value.max_wal_lag_bytes);
}

template <class Io>
void fields(Io& io, BarmanServerSpec& value) {
  io.required("hostRef", value.host_ref);
  io.field("image", value.image);
  io.required("source", value.source);
  io.required("postgres", value.postgres);
  io.required("volumes", value.volumes);
  io.optional("retention", value.retention);
  io.field("compression", value.compression);
  io.field("initialBackup", value.initial_backup);
  io.optional("objectives", value.objectives);
}

template <class Io>
void fields(Io& io, BarmanCheck& value) {
  io.required("name", value.name);
  io.field("passed", value.passed);
  io.optional("hint", value.hint);
}

template <class Io>
void fields(Io& io, ReplicationSlot& value) {
  io.required("name", value.name);
  io.field("active", value.active);
  io.optional("walStatus", value.wal_status);
  io.optional("restartLSN", value.restart_lsn);
  io.optional("safeWalSizeBytes", value.safe_wal_size_bytes);
}

template <class Io>
void fields(Io& io, CatalogBackup& value) {
  io.required("id", value.id);
  io.optional("name", value.name);
  io.optional("type", value.type);
  io.optional("status", value.status);
  io.optional("beginTime", value.begin_time);
  io.optional("endTime", value.end_time);
  io.optional("sizeBytes", value.size_bytes);
  io.optional("beginLSN", value.begin_lsn);
  io.optional("endLSN", value.end_lsn);
  io.optional("beginWAL", value.begin_wal);
  io.optional("endWAL", value.end_wal);
  io.optional("error", value.error);
}

template <class Io>
void fields(Io& io, LastBaseBackup& value) {
  io.required("id", value.id);
  io.optional("endTime", value.end_time);
  io.optional("sizeBytes", value.size_bytes);
}

template <class Io>
void fields(Io& io, LastCron& value) {
  io.optional("startedAt", value.started_at);
  io.optional("finishedAt", value.finished_at);
  io.optional("exitCode", value.exit_code);
}

template <class Io>
void fields(Io& io, BarmanServerSummary& value) {
  io.optional("databaseSize", value.database_size);
  io.optional("walLag", value.wal_lag);
  io.optional("archive", value.archive);
}

template <class Io>
void fields(Io& io, BarmanServerStatus& value) {
  io.optional("observedGeneration", value.observed_generation);
  io.optional("conditions", value.conditions);
  io.optional("checks", value.checks);
  io.optional("postgresVersion", value.postgres_version);
  io.optional("barmanVersion", value.barman_version);
  io.optional("systemID", value.system_id);
  io.optional("databaseSizeBytes", value.database_size_bytes);
  io.optional("currentLSN", value.current_lsn);
  io.optional("walLagBytes", value.wal_lag_bytes);
  io.optional("walSinceBaseBackupBytes", value.wal_since_base_backup_bytes);
  io.optional("archiveBytes", value.archive_bytes);
  io.optional("slot", value.slot);
  io.optional("backups", value.backups);
  io.optional("firstRecoverabilityPoint", value.first_recoverability_point);
  io.optional("lastBackup", value.last_backup);
  io.optional("containerID", value.container_id);
  io.optional("specHash", value.spec_hash);
  io.optional("lastCron", value.last_cron);
  io.optional("lastObserved", value.last_observed);
  io.optional("summary", value.summary);
}

void refresh_summary(BarmanServerStatus& status) {
  const auto text = [](const std::optional<std::int64_t>& bytes) -> std::optional<std::string> {
    if (!bytes || *bytes < 0) return std::nullopt;
    return human_bytes(static_cast<std::uint64_t>(*bytes));
  };
  status.summary =
      BarmanServerSummary{text(status.database_size_bytes), text(status.wal_lag_bytes), text(status.archive_bytes)};
}

template <>
Result<BarmanServer> from_json<BarmanServer>(const Json& object) {
  return io::read_object<BarmanServer>(object);
}

template <>
Json to_json<BarmanServer>(const BarmanServer& object) {
  return io::write_object(object);
}

}  // namespace roadstead::crds
