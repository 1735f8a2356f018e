#include "crds/backup_policy.h"

#include "crds/backup_source_fields.h"

namespace roadstead::crds {

template <class Io>
void fields(Io& io, Schedule& value) {
  io.required("cron", value.cron);
  io.field("timeZone", value.time_zone);
}

template <class Io>
void fields(Io& io, RunSchedule& value) {
  fields(io, static_cast<Schedule&>(value));
  io.field("jitterSeconds", value.jitter_seconds);
}

template <class Io>
void fields(Io& io, Retention& value) {
  io.optional("keepLast", value.keep_last);
  io.optional("keepHourly", value.keep_hourly);
  io.optional("keepDaily", value.keep_daily);
  io.optional("keepWeekly", value.keep_weekly);
  io.optional("keepMonthly", value.keep_monthly);
  io.optional("keepYearly", value.keep_yearly);
  io.optional("keepWithinSeconds", value.keep_within_seconds);
  io.field("dryRun", value.dry_run);
  io.field("suspiciousShrinkPercent", value.suspicious_shrink_percent);
}

template <class Io>
void fields(Io& io, Verification& value) {
  io.required("schedule", value.schedule);
  io.field("percentPerRun", value.percent_per_run);
}

template <class Io>
void fields(Io& io, BackupObjectives& value) {
  io.optional("maxAgeSeconds", value.max_age_seconds);
}

template <class Io>
void fields(Io& io, BackupPolicySpec& value) {
  io.required("source", value.source);
  io.optional("destinations", value.destinations);
  io.required("schedule", value.schedule);
  io.field("concurrencyPolicy", value.concurrency_policy);
  io.optional("startingDeadlineSeconds", value.starting_deadline_seconds);
  io.field("suspend", value.suspend);
  io.optional("objectives", value.objectives);
  io.optional("retention", value.retention);
  io.optional("transfer", value.transfer);
  io.optional("verification", value.verification);
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
void fields(Io& io, RepositoryStatus& value) {
  io.required("host", value.host);
  io.required("sourceHost", value.source_host);
  io.required("volume", value.volume);
  io.field("snapshots", value.snapshots);
  io.optional("oldest", value.oldest);
  io.optional("newest", value.newest);
  io.optional("storedBytes", value.stored_bytes);
  io.optional("lastListedTime", value.last_listed_time);
  io.optional("lastVerifiedTime", value.last_verified_time);
  io.optional("verifiedParts", value.verified_parts);
  io.optional("damagedExtents", value.damaged_extents);
  io.optional("damagedFiles", value.damaged_files);
  io.optional("message", value.message);
}

template <class Io>
void fields(Io& io, RetentionStatus& value) {
  io.optional("lastRunTime", value.last_run_time);
  io.optional("removed", value.removed);
  io.optional("freedBytes", value.freed_bytes);
  io.optional("wouldRemove", value.would_remove);
  io.optional("heldBy", value.held_by);
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
  io.optional("repositories", value.repositories);
  io.optional("retention", value.retention);
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
