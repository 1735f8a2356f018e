#include "crds/backup.h"

#include <algorithm>
#include <map>

#include "crds/backup_source_fields.h"
#include "operator/base/quantity.h"

namespace roadstead::crds {

template <class Io>
void fields(Io& io, BackupSpec& value) {
  io.optional("policyRef", value.policy_ref);
  io.optional("source", value.source);
  io.optional("destinations", value.destinations);
  io.optional("transfer", value.transfer);
  io.optional("scheduledTime", value.scheduled_time);
  io.field("keep", value.keep);
  io.field("deletionPolicy", value.deletion_policy);
}

template <class Io>
void fields(Io& io, BarmanBackupResult& value) {
  io.required("server", value.server);
  io.optional("backupID", value.backup_id);
  io.optional("name", value.name);
  io.optional("beginLSN", value.begin_lsn);
  io.optional("endLSN", value.end_lsn);
  io.optional("beginWAL", value.begin_wal);
  io.optional("endWAL", value.end_wal);
  io.optional("sizeBytes", value.size_bytes);
}

template <class Io>
void fields(Io& io, BackupSnapshot& value) {
  io.required("volume", value.volume);
  io.required("sourceHost", value.source_host);
  io.required("host", value.host);
  io.required("id", value.id);
  io.optional("dataAsOf", value.data_as_of);
  io.optional("consistency", value.consistency);
  io.field("logicalBytes", value.logical_bytes);
  io.field("dataBytes", value.data_bytes);
  io.field("sentBytes", value.sent_bytes);
  io.field("storedBytes", value.stored_bytes);
  io.field("files", value.files);
  io.field("entries", value.entries);
  io.optional("changedCount", value.changed_count);
  io.optional("changed", value.changed);
  io.optional("unreadableCount", value.unreadable_count);
  io.optional("unreadable", value.unreadable);
  io.optional("skippedCount", value.skipped_count);
  io.optional("skipped", value.skipped);
  io.optional("millis", value.millis);
}

template <class Io>
void fields(Io& io, BackupStatus& value) {
  io.optional("observedGeneration", value.observed_generation);
  io.optional("phase", value.phase);
  io.optional("conditions", value.conditions);
  io.optional("progress", value.progress);
  io.optional("barman", value.barman);
  io.optional("startedAt", value.started_at);
  io.optional("finishedAt", value.finished_at);
  io.optional("dataAsOf", value.data_as_of);
  io.optional("attempt", value.attempt);
  io.optional("worker", value.worker);
  io.optional("steps", value.steps);
  io.optional("summary", value.summary);
  io.optional("snapshots", value.snapshots);
  io.optional("consistency", value.consistency);
  io.optional("durationSeconds", value.duration_seconds);
  io.optional("size", value.size);
}

bool is_finished(const BackupStatus& status) {
  return is_true(status.conditions, "Complete") || is_true(status.conditions, "Failed");
}

std::optional<std::int64_t> size_bytes(const BackupStatus& status) {
  if (status.barman) return status.barman->size_bytes;
  std::map<std::string, std::int64_t> by_host;  // each destination holds the same; one may lack some
  for (const BackupSnapshot& snapshot : status.snapshots) by_host[snapshot.host] += snapshot.logical_bytes;
  std::optional<std::int64_t> most;
  for (const auto& [host, bytes] : by_host) most = std::max(most.value_or(0), bytes);
  return most;
}

void refresh_summary(BackupStatus& status) {
  status.summary = summary_of(status.progress.value_or(Progress{}), status.data_as_of);
  status.size.reset();
  if (const auto bytes = size_bytes(status); bytes.value_or(-1) >= 0)
    status.size = human_bytes(static_cast<std::uint64_t>(*bytes));
  status.consistency.reset();
  for (const BackupSnapshot& snapshot : status.snapshots)
    if (snapshot.consistency)
      status.consistency = std::max(*snapshot.consistency, status.consistency.value_or(Consistency::AtRest));
  status.duration_seconds.reset();
  if (status.started_at && status.finished_at)
    status.duration_seconds =
        std::chrono::duration_cast<std::chrono::seconds>(*status.finished_at - *status.started_at).count();
}

template <>
Result<Backup> from_json<Backup>(const Json& object) {
  return io::read_object<Backup>(object);
}

template <>
Json to_json<Backup>(const Backup& object) {
  return io::write_object(object);
}

}  // namespace roadstead::crds
