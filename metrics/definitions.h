#pragma once

#include <initializer_list>
#include <span>
#include <string_view>

namespace roadstead {

/// What a metric is called and means. Label names are fixed here; callers give only the values, in this order.
struct MetricDefinition {
  std::string_view name;
  std::string_view unit;  ///< "seconds", "bytes", or empty for a plain number.
  std::string_view help;  ///< One sentence.
  std::span<const std::string_view> labels;
};

struct GaugeDefinition : MetricDefinition {};
struct CounterDefinition : MetricDefinition {};
struct HistogramDefinition : MetricDefinition {
  std::span<const double> buckets;  ///< Upper bounds, growing.
};

/// A gauge nobody sets: at each scrape the time since `since` (a gauge of the same labels in Unix seconds), so that it
/// grows even when nothing else in the program moves. A timestamp of 0 (never) gives +Inf.
struct AgeDefinition : MetricDefinition {
  const GaugeDefinition* since;
};

/// Every metric of the program. Existing dashboards know the last two groups by controller-runtime's own names.
namespace metric {

namespace detail {
inline constexpr std::string_view kHost[] = {"host"};
inline constexpr std::string_view kHostPair[] = {"from_host", "to_host"};
inline constexpr std::string_view kServer[] = {"namespace", "server"};
inline constexpr std::string_view kServerCheck[] = {"namespace", "server", "check"};
inline constexpr std::string_view kServerState[] = {"namespace", "server", "state"};
inline constexpr std::string_view kPolicy[] = {"namespace", "policy"};
inline constexpr std::string_view kPolicyResult[] = {"namespace", "policy", "result"};
inline constexpr std::string_view kRepository[] = {"namespace", "policy", "host", "source_host", "volume"};
inline constexpr std::string_view kRestore[] = {"namespace", "restore"};
inline constexpr std::string_view kResult[] = {"result"};
inline constexpr std::string_view kVersion[] = {"version"};
inline constexpr std::string_view kName[] = {"name"};
inline constexpr std::string_view kController[] = {"controller"};
inline constexpr std::string_view kControllerResult[] = {"controller", "result"};
// client-go's bounds for work queues and controller-runtime's for reconciles, so that their panels fit.
inline constexpr double kQueueBuckets[] = {1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100, 1000};
inline constexpr double kReconcileBuckets[] = {
    0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5,
    1.75,  2.0,  2.5,   3.0,  3.5, 4.0,  4.5, 5,    6,   7,    8,   9,    10,  15,  20,  25,  30,  40,  50,   60};
inline constexpr double kRestoreBuckets[] = {10, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400};
}  // namespace detail

// The operator itself.
inline constexpr GaugeDefinition kBuildInfo{
    {"roadstead_build_info", "", "Always 1; the running version is in the label.", detail::kVersion}};
inline constexpr GaugeDefinition kStartTimestamp{
    {"roadstead_operator_start_timestamp_seconds", "seconds", "When the operator started, Unix time.", {}}};
inline constexpr GaugeDefinition kSchedulerLastTick{
    {"roadstead_scheduler_last_tick_timestamp_seconds",
     "seconds",
     "When the operator's scheduling loop last went round, Unix time; it goes round every 10 seconds.",
     {}}};

// Manifests read from a directory.
inline constexpr GaugeDefinition kManifestFilesBroken{
    {"roadstead_manifest_files_broken", "", "Manifest files that could not be applied as they are now.", {}}};
inline constexpr GaugeDefinition kManifestObjectsMissing{
    {"roadstead_manifest_objects_source_missing",
     "",
     "Objects whose manifest is gone from the directory; they are kept.",
     {}}};
inline constexpr GaugeDefinition kManifestLastScan{{"roadstead_manifest_last_scan_timestamp_seconds",
                                                    "seconds",
                                                    "When the manifest directory was last read through, Unix time.",
                                                    {}}};

// Hosts.
inline constexpr GaugeDefinition kHostReachable{
    {"roadstead_host_reachable", "", "1 if the host's Docker Engine answers, else 0.", detail::kHost}};
inline constexpr GaugeDefinition kHostLastSeen{{"roadstead_host_last_seen_timestamp_seconds", "seconds",
                                                "When the host's Docker Engine last answered, Unix time; 0: never.",
                                                detail::kHost}};
inline constexpr GaugeDefinition kHostFree{
    {"roadstead_host_free_bytes", "bytes",
     "Free space where the host's Docker Engine keeps volumes; NaN: not measured yet.", detail::kHost}};
inline constexpr GaugeDefinition kHostUncovered{
    {"roadstead_host_uncovered_volumes", "", "Volumes on the host that no policy backs up.", detail::kHost}};

// Barman servers.
inline constexpr GaugeDefinition kBaseBackupLastSuccess{
    {"roadstead_base_backup_last_success_timestamp_seconds", "seconds",
     "When the newest good base backup ended, Unix time; 0: there is none.", detail::kServer}};
inline constexpr AgeDefinition kBaseBackupAge{
    {"roadstead_base_backup_age_seconds", "seconds",
     "Time since the newest good base backup ended; +Inf: there is none.", detail::kServer},
    &kBaseBackupLastSuccess};
inline constexpr GaugeDefinition kBaseBackupMaxAge{
    {"roadstead_base_backup_max_age_seconds", "seconds",
     "The age from which the newest base backup counts as stale (spec.objectives.maxBaseBackupAgeSeconds).",
     detail::kServer}};
inline constexpr GaugeDefinition kBaseBackups{
    {"roadstead_base_backups", "", "Good base backups in barman's catalogue.", detail::kServer}};
inline constexpr GaugeDefinition kWalSinceBaseBackup{
    {"roadstead_wal_since_base_backup_bytes", "bytes",
     "WAL archived since the newest base backup: what a restore of now would have to replay; NaN: not known.",
     detail::kServer}};
inline constexpr GaugeDefinition kWalLag{
    {"roadstead_wal_lag_bytes", "bytes",
     "WAL that the database has written and barman has not received; NaN: not known.", detail::kServer}};
inline constexpr GaugeDefinition kWalMaxLag{
    {"roadstead_wal_max_lag_bytes", "bytes",
     "The lag from which WAL streaming counts as late (spec.objectives.maxWalLagBytes).", detail::kServer}};
inline constexpr GaugeDefinition kArchiveSize{{"roadstead_barman_archive_bytes", "bytes",
                                               "Base backups and WAL of this server on the backup host.",
                                               detail::kServer}};
inline constexpr GaugeDefinition kSlotState{
    {"roadstead_replication_slot_state", "",
     "1 for the slot's present state (active, inactive, missing, lost, unknown), 0 for the others.",
     detail::kServerState}};
inline constexpr GaugeDefinition kBarmanCheck{
    {"roadstead_barman_check", "", "1 if this check of barman passes, else 0.", detail::kServerCheck}};
inline constexpr GaugeDefinition kBarmanLastMinute{
    {"roadstead_barman_last_minute_timestamp_seconds", "seconds",
     "When barman's own minute last ran in the standing container, Unix time; 0: never.", detail::kServer}};

// Backup policies.
inline constexpr GaugeDefinition kPolicyLastSuccess{{"roadstead_policy_last_success_timestamp_seconds", "seconds",
                                                     "When the policy's last good backup ended, Unix time; 0: never.",
                                                     detail::kPolicy}};
inline constexpr AgeDefinition kPolicyAge{
    {"roadstead_policy_last_success_age_seconds", "seconds",
     "Time since the policy's last good backup ended; +Inf: never.", detail::kPolicy},
    &kPolicyLastSuccess};
inline constexpr GaugeDefinition kPolicyLastFailure{{"roadstead_policy_last_failure_timestamp_seconds", "seconds",
                                                     "When the policy's last failed backup ended, Unix time; 0: never.",
                                                     detail::kPolicy}};
inline constexpr GaugeDefinition kPolicyNextRun{
    {"roadstead_policy_next_run_timestamp_seconds", "seconds",
     "When the next run begins, Unix time; in the past: the run is late; 0: nothing is scheduled.", detail::kPolicy}};
inline constexpr GaugeDefinition kPolicyInterval{
    {"roadstead_policy_interval_seconds", "seconds", "Time between two scheduled runs.", detail::kPolicy}};
inline constexpr GaugeDefinition kPolicySuspended{
    {"roadstead_policy_suspended", "", "1 if the policy is suspended, else 0.", detail::kPolicy}};
inline constexpr GaugeDefinition kPolicyLastMissed{
    {"roadstead_policy_last_missed_timestamp_seconds", "seconds",
     "When it was last noticed that a scheduled run was missed, Unix time; 0: never.", detail::kPolicy}};
inline constexpr CounterDefinition kPolicyMissedRuns{
    {"roadstead_policy_missed_runs_total", "",
     "Scheduled runs that were given up: the deadline passed, or a run was still going.", detail::kPolicy}};
inline constexpr CounterDefinition kBackupsFinished{
    {"roadstead_backups_finished_total", "", "Backups that ended, by result (Succeeded, PartiallyFailed, Failed).",
     detail::kPolicyResult}};

inline constexpr GaugeDefinition kPolicySourceSuspicious{
    {"roadstead_policy_source_suspicious", "",
     "1 if the newest snapshot of a volume is suspiciously small, so that retention is held back, else 0.",
     detail::kPolicy}};
inline constexpr GaugeDefinition kPolicyRepositoryUnhealthy{
    {"roadstead_policy_repository_unhealthy", "",
     "1 if a repository of the policy is damaged or cannot be read, else 0.", detail::kPolicy}};

// What a policy's repositories hold; `host` keeps it, `source_host` has the volume.
inline constexpr GaugeDefinition kSnapshots{
    {"roadstead_snapshots", "", "Snapshots of the policy in the repository.", detail::kRepository}};
inline constexpr GaugeDefinition kSnapshotNewest{
    {"roadstead_snapshot_newest_timestamp_seconds", "seconds",
     "The time of the data in the newest snapshot, Unix time; 0: there is none.", detail::kRepository}};
inline constexpr AgeDefinition kSnapshotAge{
    {"roadstead_snapshot_newest_age_seconds", "seconds", "Age of the data in the newest snapshot; +Inf: there is none.",
     detail::kRepository},
    &kSnapshotNewest};
inline constexpr GaugeDefinition kRepositoryStored{{"roadstead_repository_stored_bytes", "bytes",
                                                    "What the volume takes in the repository, on the disk.",
                                                    detail::kRepository}};
inline constexpr GaugeDefinition kRepositoryDamaged{
    {"roadstead_repository_damaged_extents", "",
     "Pieces of data that are damaged or missing in the repository, as far as they were read.", detail::kRepository}};
inline constexpr GaugeDefinition kRepositoryLastVerified{
    {"roadstead_repository_last_verified_timestamp_seconds", "seconds",
     "When a part of the repository was last verified, Unix time; 0: never.", detail::kRepository}};

// Restores.
inline constexpr GaugeDefinition kRestoreFailed{
    {"roadstead_restore_failed", "", "1 if the restore request ended as Failed, else 0.", detail::kRestore}};
inline constexpr GaugeDefinition kRestoreFinished{{"roadstead_restore_finished_timestamp_seconds", "seconds",
                                                   "When the restore request ended, Unix time; 0: not yet.",
                                                   detail::kRestore}};
inline constexpr HistogramDefinition kRestoreDuration{
    {"roadstead_restore_duration_seconds", "seconds",
     "Time from a restore's acceptance to its end, by result (Succeeded, Failed, Cancelled).", detail::kResult},
    detail::kRestoreBuckets};
inline constexpr CounterDefinition kBytesMoved{{"roadstead_bytes_moved_total", "bytes",
                                                "Bytes of data that movers carried from host to host.",
                                                detail::kHostPair}};

// Work queues, by client-go's names.
inline constexpr GaugeDefinition kQueueDepth{
    {"workqueue_depth", "", "Current depth of the work queue.", detail::kName}};
inline constexpr CounterDefinition kQueueAdds{
    {"workqueue_adds_total", "", "Total number of adds handled by the work queue.", detail::kName}};
inline constexpr HistogramDefinition kQueueDuration{
    {"workqueue_queue_duration_seconds", "seconds", "How long an item stays in the work queue before being requested.",
     detail::kName},
    detail::kQueueBuckets};
inline constexpr HistogramDefinition kQueueWorkDuration{
    {"workqueue_work_duration_seconds", "seconds", "How long processing an item from the work queue takes.",
     detail::kName},
    detail::kQueueBuckets};
inline constexpr CounterDefinition kQueueRetries{
    {"workqueue_retries_total", "", "Total number of retries handled by the work queue.", detail::kName}};
inline constexpr GaugeDefinition kQueueUnfinishedWork{
    {"workqueue_unfinished_work_seconds", "seconds",
     "Sum of the time that the items now in work have been in work; large values mean stuck threads.", detail::kName}};
inline constexpr GaugeDefinition kQueueLongestRunning{{"workqueue_longest_running_processor_seconds", "seconds",
                                                       "How long the longest running item has been in work.",
                                                       detail::kName}};

// Controllers, by controller-runtime's names.
inline constexpr CounterDefinition kReconcileTotal{
    {"controller_runtime_reconcile_total", "",
     "Total number of reconciliations, by result (success, error, requeue_after).", detail::kControllerResult}};
inline constexpr CounterDefinition kReconcileErrors{
    {"controller_runtime_reconcile_errors_total", "", "Total number of reconciliation errors.", detail::kController}};
inline constexpr HistogramDefinition kReconcileTime{
    {"controller_runtime_reconcile_time_seconds", "seconds", "Length of time per reconciliation.", detail::kController},
    detail::kReconcileBuckets};
inline constexpr GaugeDefinition kActiveWorkers{
    {"controller_runtime_active_workers", "", "Number of workers now at work.", detail::kController}};
inline constexpr GaugeDefinition kMaxConcurrentReconciles{
    {"controller_runtime_max_concurrent_reconciles", "", "Number of workers.", detail::kController}};

}  // namespace metric

/// One line of all_metrics().
struct MetricRow {
  const MetricDefinition* definition;
  std::string_view type;  ///< "gauge", "counter" or "histogram", as the exposition says.
};

/// All of the above in the order of this file.
std::span<const MetricRow> all_metrics();

}  // namespace roadstead
