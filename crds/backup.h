#pragma once

#include "crds/backup_policy.h"

namespace roadstead::crds {

/// Label on a Backup: the name of the policy that made it.
inline constexpr std::string_view kPolicyLabel = "roadstead.dev/policy";

/// What becomes of the data when the object is deleted.
enum class DeletionPolicy { Retain, Delete };
template <>
struct EnumNames<DeletionPolicy> {
  static constexpr std::string_view names[] = {"Retain", "Delete"};
};

/// Exactly one of `policy_ref` and `source` is set; `destinations` and `transfer` stand beside a source of its own,
/// a policy has its own. Only `keep` and `deletion_policy` may change.
struct BackupSpec {
  std::optional<NameRef> policy_ref;
  std::optional<BackupSource> source;
  std::vector<Destination> destinations;
  std::optional<Transfer> transfer;
  std::optional<Time> scheduled_time;
  bool keep = false;  ///< Retention never removes its snapshots.
  DeletionPolicy deletion_policy = DeletionPolicy::Retain;
};

/// PartiallyFailed: there is something to restore from, but not all; its condition is Failed, with that reason.
enum class BackupPhase { Pending, Running, Succeeded, PartiallyFailed, Failed };
template <>
struct EnumNames<BackupPhase> {
  static constexpr std::string_view names[] = {"Pending", "Running", "Succeeded", "PartiallyFailed", "Failed"};
};

enum class Consistency { AtRest, CrashConsistent };
template <>
struct EnumNames<Consistency> {
  static constexpr std::string_view names[] = {"AtRest", "CrashConsistent"};
};

/// A snapshot that exists. Of an off-site copy `id` and `source_host` are the original's.
struct BackupSnapshot {
  std::string volume;
  std::string source_host;
  std::string host;  ///< Whose repository holds it.
  std::string id;    ///< See mover::snapshot_id().
  std::optional<Time> data_as_of;
  std::optional<Consistency> consistency;
  std::int64_t logical_bytes = 0;
  std::int64_t data_bytes = 0;
  std::int64_t sent_bytes = 0;
  std::int64_t stored_bytes = 0;
  std::int64_t files = 0;
  std::int64_t entries = 0;
  std::int64_t changed_count = 0;
  std::vector<std::string> changed;  ///< The first 20, as are those below.
  std::int64_t unreadable_count = 0;
  std::vector<std::string> unreadable;
  std::int64_t skipped_count = 0;
  std::vector<std::string> skipped;
  std::int64_t millis = 0;
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
  std::vector<BackupSnapshot> snapshots;
  std::optional<Consistency> consistency;  ///< CrashConsistent if any snapshot is.
  std::optional<std::int64_t> duration_seconds;
  std::optional<std::string> size;  ///< Printed form of size_bytes().
};

struct Backup {
  ObjectMeta metadata;
  BackupSpec spec;
  BackupStatus status;
};

/// True once the Backup has a terminal condition (Complete or Failed is True).
bool is_finished(const BackupStatus& status);

/// barman's size, or what the snapshots of one destination hold in all; nothing where that is not known.
std::optional<std::int64_t> size_bytes(const BackupStatus& status);

/// Sets `summary`, `size`, `consistency` and `duration_seconds` from the other fields.
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
