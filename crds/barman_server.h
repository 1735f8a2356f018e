#pragma once

#include <map>

#include "crds/common.h"
#include "crds/condition.h"
#include "crds/kind.h"
#include "crds/object_meta.h"

namespace roadstead::crds {

struct DatabaseUser {
  std::string name;
  SecretRef password_ref;
};

struct PostgresSource {
  NameRef host_ref;
  std::optional<std::string> address;  ///< Absent: the host's data address.
  std::int64_t port = 5432;
  std::string database = "postgres";  ///< The one barman connects to; its function grants are there.
  std::string slot_name = "barman";
  DatabaseUser backup_user;
  DatabaseUser streaming_user;
};

/// How the database itself is started, for replay.
struct PostgresRuntime {
  std::string image;
  std::optional<std::string> config_file;  ///< Absolute path in the image; absent: the one in the data directory.
  std::string data_directory;              ///< Absolute path the volume is mounted at.
  std::string user = "999:999";            ///< uid:gid that owns the data.
  std::map<std::string, std::string> parameters;
};

struct BarmanVolumes {
  std::string data;
  std::string recover;
};

struct BarmanRetention {
  std::int64_t recovery_window_days = 0;
  std::int64_t minimum_redundancy = 1;
};

struct BarmanObjectives {
  std::optional<std::int64_t> max_base_backup_age_seconds;
  std::optional<std::int64_t> max_wal_lag_bytes;
};

enum class WalCompression { None, Gzip };
template <>
struct EnumNames<WalCompression> {
  static constexpr std::string_view names[] = {"None", "Gzip"};
};

struct BarmanServerSpec {
  NameRef host_ref;  ///< Where barman runs and the backups are.
  std::string image = "roadstead/barman:3.19-pg17";
  PostgresSource source;
  PostgresRuntime postgres;
  BarmanVolumes volumes;
  std::optional<BarmanRetention> retention;  ///< Absent: nothing is ever thrown away.
  WalCompression compression = WalCompression::Gzip;
  bool initial_backup = true;
  std::optional<BarmanObjectives> objectives;
};

/// One line of `barman check`.
struct BarmanCheck {
  std::string name;  ///< barman's own: "receive_wal_running".
  bool passed = false;
  std::string hint;  ///< For people, as barman says it.
};

struct ReplicationSlot {
  std::string name;
  bool active = false;
  std::string wal_status;  ///< PostgreSQL's word: reserved, extended, unreserved, lost.
  std::string restart_lsn;
  std::optional<std::int64_t> safe_wal_size_bytes;  ///< Absent: production keeps WAL without limit.
};

/// One entry of barman's catalogue.
struct CatalogBackup {
  std::string id;      ///< "20261101T000003"
  std::string name;    ///< "roadstead.<namespace>.<Backup>.<attempt>", or what somebody else called it.
  std::string type;    ///< "full", "incremental"
  std::string status;  ///< barman's word: EMPTY, STARTED, WAITING_FOR_WALS, DONE, FAILED.
  std::optional<Time> begin_time;
  std::optional<Time> end_time;
  std::optional<std::int64_t> size_bytes;
  std::string begin_lsn;
  std::string end_lsn;
  std::string begin_wal;
  std::string end_wal;
  std::string error;  ///< Why it failed, as barman says it.
};

struct LastBaseBackup {
  std::string id;
  std::optional<Time> end_time;
  std::optional<std::int64_t> size_bytes;
};

/// barman's minute in the standing container.
struct LastCron {
  std::optional<Time> started_at;
  std::optional<Time> finished_at;
  std::optional<std::int64_t> exit_code;
};

struct BarmanServerSummary {
  std::optional<std::string> database_size;
  std::optional<std::string> wal_lag;
  std::optional<std::string> archive;
};

struct BarmanServerStatus {
  std::int64_t observed_generation = 0;
  std::vector<Condition> conditions;
  std::vector<BarmanCheck> checks;
  std::string postgres_version;
  std::string barman_version;
  std::string system_id;
  std::optional<std::int64_t> database_size_bytes;
  std::string current_lsn;
  std::optional<std::int64_t> wal_lag_bytes;
  std::optional<std::int64_t> wal_since_base_backup_bytes;
  std::optional<std::int64_t> archive_bytes;
  std::optional<ReplicationSlot> slot;
  std::vector<CatalogBackup> backups;  ///< Newest first.
  std::optional<Time> first_recoverability_point;
  std::optional<LastBaseBackup> last_backup;  ///< The newest that is DONE.
  std::string container_id;
  std::string spec_hash;  ///< What the standing container was made from.
  std::optional<LastCron> last_cron;
  std::optional<Time> last_observed;
  std::optional<BarmanServerSummary> summary;
};

struct BarmanServer {
  ObjectMeta metadata;
  BarmanServerSpec spec;
  BarmanServerStatus status;
};

/// Sets `summary` from the numbers.
void refresh_summary(BarmanServerStatus& status);

template <>
struct Kind<BarmanServer> {
  static constexpr std::string_view kind = "BarmanServer";
  static constexpr std::string_view plural = "barmanservers";
  static constexpr Scope scope = Scope::Namespaced;
};
template <>
Result<BarmanServer> from_json<BarmanServer>(const nlohmann::json& object);
template <>
nlohmann::json to_json<BarmanServer>(const BarmanServer& object);

}  // namespace roadstead::crds
