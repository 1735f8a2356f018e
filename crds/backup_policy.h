#pragma once

#include "crds/common.h"
#include "crds/condition.h"
#include "crds/kind.h"
#include "crds/object_meta.h"

namespace roadstead::crds {

enum class BarmanMethod { Full };
template <>
struct EnumNames<BarmanMethod> {
  static constexpr std::string_view names[] = {"Full"};
};

/// A base backup by a BarmanServer.
struct BarmanBackupSource {
  NameRef server_ref;
  BarmanMethod method = BarmanMethod::Full;
};

/// What is backed up: a union, exactly one is set.
struct BackupSource {
  std::optional<BarmanBackupSource> barman;
};

struct Schedule {
  std::string cron;
  std::string time_zone = "UTC";  ///< An IANA name.
};

enum class ConcurrencyPolicy { Forbid, Allow };
template <>
struct EnumNames<ConcurrencyPolicy> {
  static constexpr std::string_view names[] = {"Forbid", "Allow"};
};

struct BackupObjectives {
  std::optional<std::int64_t> max_age_seconds;
};

struct BackupPolicySpec {
  BackupSource source;
  Schedule schedule;
  ConcurrencyPolicy concurrency_policy = ConcurrencyPolicy::Forbid;
  std::optional<std::int64_t> starting_deadline_seconds;  ///< Absent: a late run is always caught up.
  bool suspend = false;
  std::optional<BackupObjectives> objectives;
};

struct LastBackup {
  std::string name;  ///< The Backup object's.
  std::string backup_id;
  std::optional<Time> finished_at;
  std::optional<std::int64_t> size_bytes;
};

struct BackupCounts {
  std::int64_t running = 0;
  std::int64_t succeeded = 0;
  std::int64_t failed = 0;
};

struct BackupPolicyStatus {
  std::int64_t observed_generation = 0;
  std::vector<Condition> conditions;
  std::optional<Time> next_run_time;
  std::optional<Time> last_schedule_time;  ///< The scheduled time of the newest run that was made.
  std::optional<Time> last_success_time;
  std::optional<Time> last_failure_time;
  std::optional<LastBackup> last_backup;  ///< The newest that succeeded.
  std::vector<std::string> active;        ///< Names of Backups that have not ended.
  std::optional<BackupCounts> counts;
  std::int64_t missed_runs = 0;           ///< Scheduled times that passed without a run, since the object was made.
  std::optional<Time> last_missed_time;   ///< The newest of them.
  std::optional<Time> miss_noticed_time;  ///< When that was told: later by as long as nobody was there to tell it.
};

struct BackupPolicy {
  ObjectMeta metadata;
  BackupPolicySpec spec;
  BackupPolicyStatus status;
};

template <>
struct Kind<BackupPolicy> {
  static constexpr std::string_view kind = "BackupPolicy";
  static constexpr std::string_view plural = "backuppolicies";
  static constexpr Scope scope = Scope::Namespaced;
};
template <>
Result<BackupPolicy> from_json<BackupPolicy>(const nlohmann::json& object);
template <>
nlohmann::json to_json<BackupPolicy>(const BackupPolicy& object);

}  // namespace roadstead::crds
