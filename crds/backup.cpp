#include "crds/backup.h"

#include "crds/backup_source_fields.h"
#include "operator/base/quantity.h"

namespace roadstead::crds {

template <class Io>
void fields(Io& io, BackupSpec& value) {
  io.optional("policyRef", value.policy_ref);
  io.optional("source", value.source);
  io.optional("scheduledTime", value.scheduled_time);
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
  io.optional("size", value.size);
}

bool is_finished(const BackupStatus& status) {
  return is_true(status.conditions, "Complete") || is_true(status.conditions, "Failed");
}

void refresh_summary(BackupStatus& status) {
  status.summary = summary_of(status.progress.value_or(Progress{}), status.data_as_of);
  status.size.reset();
  if (status.barman && status.barman->size_bytes.value_or(-1) >= 0)
    status.size = human_bytes(static_cast<std::uint64_t>(*status.barman->size_bytes));
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
