#pragma once

#include "crds/backup_policy.h"

namespace roadstead::crds {

/// Label on a Backup: the name of the policy that made it.
inline constexpr std::string_view kPolicyLabel = "roadstead.dev/policy";

/// Exactly one of `policy_ref` and `source` is set.
struct BackupSpec {
  std::optional<NameRef> policy_ref;
  std::optional<BackupSource> source;
  std::optional<Time> scheduled_time;
};

enum class BackupPhase { Pending, Running, Succeeded, Failed };
template <>
struct EnumNames<BackupPhase> {
  static constexpr std::string_view names[] = {"Pending", "Running", "Succeeded", "Failed"};
};

/// The base backup as barman's catalogue has it.
struct BarmanBackupResult {
  std::string server;     ///< The BarmanServer's name.
  std::string backup_id;  ///< "20261101T000003"
  std::string name;       ///< barman's name for it.
  std::string begin_lsn;
  std::string end_lsn;
  std::string begin_wal;
  std::string end_wal;
  std::optional<std::int64_t> size_bytes;
};

struct BackupStatus {
  std::int64_t observed_generation = 0;
  std::optional<BackupPhase> phase;  ///< A printed summary; programs read conditions.
  std::vector<Condition> conditions;
  std::optional<Progress> progress;
  std::optional<BarmanBackupResult> barman;
  std::optional<Time> started_at;
  std::optional<Time> finished_at;
  std::optional<Time> data_as_of;
  std::int64_t attempt = 0;  ///< 0 = not begun.
  std::string worker;        ///< The container of the attempt that runs.
  std::vector<Step> steps;
  std::optional<ProgressSummary> summary;
  std::optional<std::string> size;  ///< Printed form of barman.sizeBytes.
};

struct Backup {
  ObjectMeta metadata;
  BackupSpec spec;
  BackupStatus status;
};

/// True once the Backup has a terminal condition (Complete or Failed is True).
bool is_finished(const BackupStatus& status);

/// Sets `summary` and `size` from the numbers.
void refresh_summary(BackupStatus& status);

template <>
struct Kind<Backup> {
  static constexpr std::string_view kind = "Backup";
  static constexpr std::string_view plural = "backups";
  static constexpr Scope scope = Scope::Namespaced;
};
template <>
Result<Backup> from_json<Backup>(const nlohmann::json& object);
template <>
nlohmann::json to_json<Backup>(const Backup& object);

}  // namespace roadstead::crds
