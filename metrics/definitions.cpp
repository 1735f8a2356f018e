#include "metrics/definitions.h"

#include <array>

namespace roadstead {
namespace {

constexpr MetricRow row(const GaugeDefinition& definition) { return {&definition, "gauge"}; }
constexpr MetricRow row(const AgeDefinition& definition) { return {&definition, "gauge"}; }
constexpr MetricRow row(const CounterDefinition& definition) { return {&definition, "counter"}; }
constexpr MetricRow row(const HistogramDefinition& definition) { return {&definition, "histogram"}; }

template <class... Definitions>
constexpr std::array<MetricRow, sizeof...(Definitions)> rows(const Definitions&... definitions) {
  return {row(definitions)...};
}

constexpr auto kAll = rows(
    metric::kBuildInfo, metric::kStartTimestamp, metric::kSchedulerLastTick, metric::kManifestFilesBroken,
    metric::kManifestObjectsMissing, metric::kManifestLastScan, metric::kHostReachable, metric::kHostLastSeen,
    metric::kHostFree, metric::kHostUncovered, metric::kBaseBackupLastSuccess, metric::kBaseBackupAge,
    metric::kBaseBackupMaxAge, metric::kBaseBackups, metric::kWalSinceBaseBackup, metric::kWalLag, metric::kWalMaxLag,
    metric::kArchiveSize, metric::kSlotState, metric::kBarmanCheck, metric::kBarmanLastMinute,
    metric::kPolicyLastSuccess, metric::kPolicyAge, metric::kPolicyLastFailure, metric::kPolicyNextRun,
    metric::kPolicyInterval, metric::kPolicySuspended, metric::kPolicyLastMissed, metric::kPolicyMissedRuns,
    metric::kBackupsFinished, metric::kPolicySourceSuspicious, metric::kPolicyRepositoryUnhealthy, metric::kSnapshots,
    metric::kSnapshotNewest, metric::kSnapshotAge, metric::kRepositoryStored, metric::kRepositoryDamaged,
    metric::kRepositoryLastVerified, metric::kRestoreFailed, metric::kRestoreFinished, metric::kRestoreDuration,
    metric::kBytesMoved, metric::kQueueDepth, metric::kQueueAdds, metric::kQueueDuration, metric::kQueueWorkDuration,
    metric::kQueueRetries, metric::kQueueUnfinishedWork, metric::kQueueLongestRunning, metric::kReconcileTotal,
    metric::kReconcileErrors, metric::kReconcileTime, metric::kActiveWorkers, metric::kMaxConcurrentReconciles);

}  // namespace

std::span<const MetricRow> all_metrics() { return kAll; }

}  // namespace roadstead
