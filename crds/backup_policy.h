#pragma once

#include "crds/common.h"
#include "crds/condition.h"
#include "crds/kind.h"
#include "crds/object_meta.h"

namespace roadstead::crds {

/// Annotation on a BackupPolicy, a time: its repositories that were not verified since then are verified whole, now.
inline constexpr std::string_view kVerifyAnnotation = "roadstead.dev/verify";

enum class BarmanMethod { Full };
template <>
struct EnumNames<BarmanMethod> {
  static constexpr std::string_view names[] = {"Full"};
};

/// A base backup by a BarmanServer.
struct BarmanBackupSource {
  NameRef server_ref;
  BarmanMethod method = BarmanMethod::Full;
  bool operator==(const BarmanBackupSource&) const = default;
};

/// What a hook's failure means: the run fails, or goes on and tells.
enum class OnFailure { Fail, Continue };
template <>
struct EnumNames<OnFailure> {
  static constexpr std::string_view names[] = {"Fail", "Continue"};
};

/// A command in a running container.
struct ExecHook {
  std::string container;
  std::vector<std::string> command;  ///< No shell reads it.
  std::int64_t timeout_seconds = 60;
  OnFailure on_failure = OnFailure::Fail;
  bool operator==(const ExecHook&) const = default;
};

enum class HttpMethod { GET, HEAD, POST, PUT, PATCH, DELETE };
template <>
struct EnumNames<HttpMethod> {
  static constexpr std::string_view names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};
};

/// Exactly one of `value` and `value_ref` is set.
struct HttpHeader {
  std::string name;
  std::optional<std::string> value;
  std::optional<SecretRef> value_ref;
  bool operator==(const HttpHeader&) const = default;
};

struct HttpHook {
  HttpMethod method = HttpMethod::POST;
  std::string url;
  std::vector<HttpHeader> headers;
  std::vector<std::int64_t> expect_status{200};
  std::int64_t timeout_seconds = 60;
  OnFailure on_failure = OnFailure::Fail;
  bool operator==(const HttpHook&) const = default;
};

/// Exactly one of `exec` and `http` is set.
struct Hook {
  std::string name;
  std::optional<ExecHook> exec;
  std::optional<HttpHook> http;
  bool operator==(const Hook&) const = default;
};

struct Hooks {
  std::vector<Hook> before;
  std::vector<Hook> after;
  bool operator==(const Hooks&) const = default;
};

struct SourceVolume {
  std::string name;
  std::vector<std::string> exclude;  ///< As mover::Source takes them.
  bool operator==(const SourceVolume&) const = default;
};

/// The repository of a host, with the snapshots of these policies of the same namespace.
struct RepositorySource {
  std::vector<NameRef> policy_refs;
  bool operator==(const RepositorySource&) const = default;
};

/// What is backed up: exactly one of `barman`, `volumes` (not empty) and `repository` is set. `host_ref` stands with
/// the latter two, `hooks` with volumes only.
struct BackupSource {
  std::optional<BarmanBackupSource> barman;
  std::optional<NameRef> host_ref;
  std::vector<SourceVolume> volumes;
  std::optional<RepositorySource> repository;
  std::optional<Hooks> hooks;
  bool operator==(const BackupSource&) const = default;
};

/// A host that keeps snapshots.
struct Destination {
  NameRef host_ref;
  bool operator==(const Destination&) const = default;
};

enum class Compression { Auto, None, Zstd };
template <>
struct EnumNames<Compression> {
  static constexpr std::string_view names[] = {"Auto", "None", "Zstd"};
};

struct Transfer {
  std::int64_t connections = 4;
  std::int64_t bandwidth_limit = 0;  ///< Bytes per second over all connections; 0: none.
  Compression compression = Compression::Auto;
  bool operator==(const Transfer&) const = default;
};

struct Schedule {
  std::string cron;
  std::string time_zone = "UTC";  ///< An IANA name.
  bool operator==(const Schedule&) const = default;
};

/// When runs begin: at their scheduled time and so much later, but for a delay that is each run's own.
struct RunSchedule : Schedule {
  std::int64_t jitter_seconds = 0;  ///< The longest delay.
  bool operator==(const RunSchedule&) const = default;
};

/// Which snapshots of a volume stay; a snapshot stays if any of these keeps it. Nothing set: all stay.
struct Retention {
  std::optional<std::int64_t> keep_last;
  std::optional<std::int64_t> keep_hourly;
  std::optional<std::int64_t> keep_daily;
  std::optional<std::int64_t> keep_weekly;
  std::optional<std::int64_t> keep_monthly;
  std::optional<std::int64_t> keep_yearly;
  std::optional<std::int64_t> keep_within_seconds;
  bool dry_run = false;
  std::int64_t suspicious_shrink_percent = 50;
};

struct Verification {
  Schedule schedule;
  std::int64_t percent_per_run = 10;
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
  std::vector<Destination> destinations;  ///< Empty with barman, and only then.
  RunSchedule schedule;
  ConcurrencyPolicy concurrency_policy = ConcurrencyPolicy::Forbid;
  std::optional<std::int64_t> starting_deadline_seconds;  ///< Absent: a late run is always caught up.
  bool suspend = false;
  std::optional<BackupObjectives> objectives;
  std::optional<Retention> retention;
  std::optional<Transfer> transfer;
  std::optional<Verification> verification;
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

/// What one destination holds of one volume.
struct RepositoryStatus {
  std::string host;
  std::string source_host;
  std::string volume;
  std::int64_t snapshots = 0;  ///< Of this policy.
  std::optional<Time> oldest;  ///< Data times.
  std::optional<Time> newest;
  std::int64_t stored_bytes = 0;  ///< All packs on the disk.
  std::optional<Time> last_listed_time;
  std::optional<Time> last_verified_time;
  std::string verified_parts;  ///< "3/10": the part that was verified then.
  std::int64_t damaged_extents = 0;
  std::vector<std::string> damaged_files;  ///< The first of them: "default.outpack-20261120: data/x".
  std::string message;                     ///< Why it could not be listed, forgotten or verified.
};

struct RetentionStatus {
  std::optional<Time> last_run_time;
  std::int64_t removed = 0;  ///< Since the object was made.
  std::int64_t freed_bytes = 0;
  std::vector<std::string> would_remove;  ///< With dryRun: "annex2/montagu_mq: default.redis-1".
  std::string held_by;                    ///< Why nothing is removed.
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
  std::vector<RepositoryStatus> repositories;
  std::optional<RetentionStatus> retention;
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
