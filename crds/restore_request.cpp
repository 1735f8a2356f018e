#include "crds/restore_request.h"

#include <algorithm>

#include "crds/common_fields.h"

namespace roadstead::crds {

template <class Io>
void fields(Io& io, RestoreTarget& value) {
  io.required("hostRef", value.host_ref);
}

template <class Io>
void fields(Io& io, RestorePoint& value) {
  io.optional("latest", value.latest);
  io.optional("backupID", value.backup_id);
}

template <class Io>
void fields(Io& io, BarmanRestoreSource& value) {
  io.required("serverRef", value.server_ref);
  io.required("point", value.point);
}

template <class Io>
void fields(Io& io, RestoreSource& value) {
  io.optional("barman", value.barman);
  io.optional("backupPolicyRef", value.backup_policy_ref);
  io.optional("backupRef", value.backup_ref);
  io.optional("volume", value.volume);
  io.optional("asOf", value.as_of);
  io.optional("hostRef", value.host_ref);
}

template <class Io>
void fields(Io& io, RestoreDestination& value) {
  io.required("volume", value.volume);
}

template <class Io>
void fields(Io& io, RestoreItem& value) {
  io.required("name", value.name);
  io.required("from", value.from);
  io.required("to", value.to);
}

template <class Io>
void fields(Io& io, StopApplications& value) {
  io.optional("containers", value.containers);
  io.optional("composeProjects", value.compose_projects);
  io.field("mode", value.mode);
  io.field("graceSeconds", value.grace_seconds);
}

template <class Io>
void fields(Io& io, StartApplications& value) {
  io.field("mode", value.mode);
  io.optional("containers", value.containers);
}

template <class Io>
void fields(Io& io, Applications& value) {
  io.field("stop", value.stop);
  io.field("start", value.start);
}

template <class Io>
void fields(Io& io, SqlCheck& value) {
  io.required("container", value.container);
  io.required("database", value.database);
  io.required("user", value.user);
  io.required("query", value.query);
  io.required("expect", value.expect);
  io.field("timeoutSeconds", value.timeout_seconds);
}

template <class Io>
void fields(Io& io, RestoreCheck& value) {
  io.required("name", value.name);
  io.optional("sql", value.sql);
}

template <class Io>
void fields(Io& io, RestoreConfirmation& value) {
  io.required("host", value.host);
  io.optional("volumes", value.volumes);
}

template <class Io>
void fields(Io& io, RestoreRequestSpec& value) {
  io.required("target", value.target);
  io.required("items", value.items);
  io.field("applications", value.applications);
  io.field("checks", value.checks);
  io.field("strategy", value.strategy);
  io.optional("confirm", value.confirm);
  io.field("dryRun", value.dry_run);
  io.field("cancel", value.cancel);
  io.field("suspend", value.suspend);
  io.field("rollback", value.rollback);
  io.field("keepPreviousSeconds", value.keep_previous_seconds);
}

template <class Io>
void fields(Io& io, PlannedStep& value) {
  io.required("name", value.name);
  io.optional("host", value.host);
  io.optional("description", value.description);
}

template <class Io>
void fields(Io& io, RestorePlan& value) {
  io.optional("steps", value.steps);
  io.optional("bytesToMove", value.bytes_to_move);
  io.optional("spaceNeededBytes", value.space_needed_bytes);
  io.optional("spaceFreeBytes", value.space_free_bytes);
  io.optional("stops", value.stops);
  io.optional("strategy", value.strategy);
  io.optional("strategyReason", value.strategy_reason);
  io.optional("estimatedSeconds", value.estimated_seconds);
  io.optional("walGaps", value.wal_gaps);
  io.optional("warnings", value.warnings);
  io.optional("refusals", value.refusals);
}

template <class Io>
void fields(Io& io, SnapshotPin& value) {
  io.required("host", value.host);
  io.required("sourceHost", value.source_host);
  io.required("volume", value.volume);
  io.required("id", value.id);
}

template <class Io>
void fields(Io& io, PinnedSource& value) {
  io.required("item", value.item);
  io.optional("backupID", value.backup_id);
  io.optional("backupRootID", value.backup_root_id);
  io.field("target", value.target);
  io.optional("targetName", value.target_name);
  io.optional("targetLSN", value.target_lsn);
  io.optional("beginWAL", value.begin_wal);
  io.optional("targetWAL", value.target_wal);
  io.optional("walSegmentBytes", value.wal_segment_bytes);
  io.optional("sizeBytes", value.size_bytes);
  io.optional("dataAsOf", value.data_as_of);
  io.field("keepSet", value.keep_set);
  io.optional("snapshot", value.snapshot);
  io.field("strategy", value.strategy);
}

template <class Io>
void fields(Io& io, RestoreItemStatus& value) {
  io.required("name", value.name);
  io.optional("step", value.step);
  fields(io, value.progress);
}

template <class Io>
void fields(Io& io, ComposeIdentity& value) {
  io.required("project", value.project);
  io.required("service", value.service);
  io.field("number", value.number);
}

template <class Io>
void fields(Io& io, LedgerEntry& value) {
  io.optional("compose", value.compose);
  io.required("name", value.name);
  io.optional("id", value.id);
  io.optional("restartPolicy", value.restart_policy);
  io.field("order", value.order);
  io.field("wasPaused", value.was_paused);
  io.optional("stoppedAt", value.stopped_at);
  io.optional("startedAt", value.started_at);
}

template <class Io>
void fields(Io& io, CheckResult& value) {
  io.required("name", value.name);
  io.optional("answer", value.answer);
  io.field("passed", value.passed);
  io.optional("message", value.message);
}

template <class Io>
void fields(Io& io, MarkSummary& value) {
  io.required("item", value.item);
  io.optional("volume", value.volume);
  io.optional("phase", value.phase);
  io.optional("oldInode", value.old_inode);
  io.optional("newInode", value.new_inode);
}

template <class Io>
void fields(Io& io, Receipt& value) {
  io.required("result", value.result);
  io.optional("finishedAt", value.finished_at);
  io.optional("keptUntil", value.kept_until);
}

template <class Io>
void fields(Io& io, RestoreRequestStatus& value) {
  io.optional("observedGeneration", value.observed_generation);
  io.optional("phase", value.phase);
  io.optional("conditions", value.conditions);
  io.optional("plan", value.plan);
  io.optional("pinned", value.pinned);
  io.optional("items", value.items);
  io.optional("steps", value.steps);
  io.optional("ledger", value.ledger);
  io.optional("checks", value.checks);
  io.optional("marks", value.marks);
  io.optional("receipt", value.receipt);
  io.optional("startedAt", value.started_at);
  io.optional("finishedAt", value.finished_at);
  io.optional("stoppedAt", value.stopped_at);
  io.optional("restartedAt", value.restarted_at);
  io.optional("summary", value.summary);
}

bool is_finished(const RestoreRequestStatus& status) {
  return is_true(status.conditions, "Complete") || is_true(status.conditions, "Failed");
}

namespace {

/// Several items as one: sums of bytes and rates, the slowest item's time, a percent only when every total is known.
Progress total_of(const std::vector<RestoreItemStatus>& items) {
  if (items.size() == 1) return items.front().progress;
  Progress out;
  std::int64_t done = 0, total = 0, rate = 0, eta = 0;
  bool totals_known = !items.empty(), moving = false, waiting = false;
  for (const RestoreItemStatus& item : items) {
    const Progress& p = item.progress;
    totals_known = totals_known && p.bytes_total.has_value() && p.percent.has_value();
    done += p.bytes_done.value_or(0);
    total += p.bytes_total.value_or(0);
    moving = moving || p.bytes_per_second.has_value();
    rate += p.bytes_per_second.value_or(0);
    waiting = waiting || p.eta_seconds.has_value();
    eta = std::max(eta, p.eta_seconds.value_or(0));
  }
  if (totals_known && total > 0) out.percent = std::clamp<std::int64_t>(done * 100 / total, 0, 100);
  if (moving) out.bytes_per_second = rate;
  if (waiting) out.eta_seconds = eta;
  return out;
}

}  // namespace

void refresh_summary(RestoreRequestStatus& status) {
  std::optional<Time> oldest;
  for (const PinnedSource& source : status.pinned)
    if (source.data_as_of && (!oldest || *source.data_as_of < *oldest)) oldest = source.data_as_of;
  status.summary = summary_of(total_of(status.items), oldest);
}

template <>
Result<RestoreRequest> from_json<RestoreRequest>(const Json& object) {
  return io::read_object<RestoreRequest>(object);
}

template <>
Json to_json<RestoreRequest>(const RestoreRequest& object) {
  return io::write_object(object);
}

}  // namespace roadstead::crds
