#include "crds/backup_policy.h"

#include "crds/backup_source_fields.h"

namespace roadstead::crds {

template <class Io>
void fields(Io& io, Schedule& value) {
  io.required("cron", value.cron);
  io.field("timeZone", value.time_zone);
}

template <class Io>
void fields(Io& io, BackupObjectives& value) {
  io.optional("maxAgeSeconds", value.max_age_seconds);
}

template <class Io>
void fields(Io& io, BackupPolicySpec& value) {
  io.required("source", value.source);
  io.required("schedule", value.schedule);
  io.field("concurrencyPolicy", value.concurrency_policy);
  io.optional("startingDeadlineSeconds", value.starting_deadline_seconds);
  io.field("suspend", value.suspend);
  io.optional("objectives", value.objectives);
}

template <class Io>
void fields(Io& io, LastBackup& value) {
  io.required("name", value.name);
  io.optional("backupID", value.backup_id);
  io.optional("finishedAt", value.finished_at);
  io.optional("sizeBytes", value.size_bytes);
}

template <class Io>
void fields(Io& io, BackupCounts& value) {
  io.field("running", value.running);
  io.field("succeeded", value.succeeded);
  io.field("failed", value.failed);
}

template <class Io>
void fields(Io& io, BackupPolicyStatus& value) {
  io.optional("observedGeneration", value.observed_generation);
  io.optional("conditions", value.conditions);
  io.optional("nextRunTime", value.next_run_time);
  io.optional("lastScheduleTime", value.last_schedule_time);
  io.optional("lastSuccessTime", value.last_success_time);
  io.optional("lastFailureTime", value.last_failure_time);
  io.optional("lastBackup", value.last_backup);
  io.optional("active", value.active);
  io.optional("counts", value.counts);
  io.optional("missedRuns", value.missed_runs);
  io.optional("lastMissedTime", value.last_missed_time);
  io.optional("missNoticedTime", value.miss_noticed_time);
}

template <>
Result<BackupPolicy> from_json<BackupPolicy>(const Json& object) {
  return io::read_object<BackupPolicy>(object);
}

template <>
Json to_json<BackupPolicy>(const BackupPolicy& object) {
  return io::write_object(object);
}

}  // namespace roadstead::crds
