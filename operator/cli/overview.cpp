#include "operator/cli/overview.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "operator/base/quantity.h"
#include "operator/base/rfc3339.h"
#include "operator/cli/table_printer.h"

namespace roadstead::cli {
namespace {

using crds::ConditionStatus;
using Row = std::vector<std::string>;

constexpr int kBarWidth = 20;

std::string ago(std::optional<Time> time, Time now) {
  if (!time) return "never";
  return human_duration(std::chrono::duration_cast<std::chrono::seconds>(now - *time)) + " ago";
}

std::string ahead(std::optional<Time> time, Time now) {
  if (!time) return "-";
  if (*time <= now) return "due now";
  return "in " + human_duration(std::chrono::duration_cast<std::chrono::seconds>(*time - now));
}

std::string yes_no(const std::vector<crds::Condition>& conditions, std::string_view type) {
  const crds::Condition* found = crds::find_condition(conditions, type);
  if (found == nullptr || found->status == ConditionStatus::Unknown) return "unknown";
  return found->status == ConditionStatus::True ? "yes" : "no";
}

/// What the condition says where it is not as it should be.
std::string trouble(const std::vector<crds::Condition>& conditions, std::string_view type) {
  const crds::Condition* found = crds::find_condition(conditions, type);
  return found == nullptr || found->status == ConditionStatus::True ? std::string() : found->message;
}

std::string full_name(const crds::ObjectMeta& meta) {
  return meta.ns.empty() || meta.ns == "default" ? meta.name : meta.ns + "/" + meta.name;
}

void section(std::ostream& out, const char* empty, const std::vector<Row>& rows) {
  if (rows.size() <= 1)
    out << empty << "\n";
  else
    ColumnWriter().write(out, rows);
  out << "\n";
}

std::vector<Row> host_rows(const Overview& overview, Time now) {
  std::vector<Row> rows{{"HOST", "REACHABLE", "ENGINE", "FREE", "LAST SEEN", ""}};
  for (const crds::Host& host : overview.hosts) {
    const auto& status = host.status;
    const std::string free = status.summary && status.summary->free ? *status.summary->free : "-";
    rows.push_back({host.metadata.name + (host.spec.is_protected ? " (protected)" : ""),
                    yes_no(status.conditions, "Reachable"), status.engine_version.empty() ? "-" : status.engine_version,
                    free, ago(status.last_seen, now), trouble(status.conditions, "Reachable")});
  }
  return rows;
}

std::vector<Row> server_rows(const Overview& overview, Time now) {
  std::vector<Row> rows{{"BARMAN SERVER", "READY", "LAST BACKUP", "WAL LAG", ""}};
  for (const crds::BarmanServer& server : overview.servers) {
    const auto& status = server.status;
    const std::string lag = status.summary && status.summary->wal_lag ? *status.summary->wal_lag : "-";
    const std::optional<Time> last = status.last_backup ? status.last_backup->end_time : std::nullopt;
    rows.push_back({full_name(server.metadata), yes_no(status.conditions, "Ready"), ago(last, now), lag,
                    trouble(status.conditions, "Ready")});
  }
  return rows;
}

std::string state_of(const crds::BackupPolicy& policy) {
  if (policy.spec.suspend) return "suspended";
  if (!policy.status.active.empty()) return "running";
  if (policy.status.last_failure_time &&
      (!policy.status.last_success_time || *policy.status.last_failure_time > *policy.status.last_success_time))
    return "failed last";
  return policy.status.last_success_time ? "ok" : "waiting";
}

std::vector<Row> policy_rows(const Overview& overview, Time now) {
  std::vector<Row> rows{{"POLICY", "STATE", "LAST SUCCESS", "NEXT RUN", "MISSED"}};
  for (const crds::BackupPolicy& policy : overview.policies)
    rows.push_back({full_name(policy.metadata), state_of(policy), ago(policy.status.last_success_time, now),
                    policy.spec.suspend ? "-" : ahead(policy.status.next_run_time, now),
                    std::to_string(policy.status.missed_runs)});
  return rows;
}

std::string rate(const crds::Progress& progress) {
  return progress.bytes_per_second
             ? human_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(0, *progress.bytes_per_second))) + "/s"
             : "";
}

std::string left(const crds::Progress& progress) {
  return progress.eta_seconds ? human_duration(std::chrono::seconds(*progress.eta_seconds)) + " left" : "";
}

Row running_row(std::string what, std::string doing, const crds::Progress& progress) {
  return {std::move(what), std::move(doing), bar(progress.percent), rate(progress), left(progress)};
}

std::vector<Row> restore_rows(const crds::RestoreRequest& restore) {
  const auto& status = restore.status;
  const std::string what = "restore " + full_name(restore.metadata);
  const std::string phase(status.phase ? crds::to_string(*status.phase) : "Pending");
  std::vector<Row> rows;
  for (const crds::RestoreItemStatus& item : status.items)
    rows.push_back(
        running_row(what, phase + ": " + item.name + (item.step.empty() ? "" : "/" + item.step), item.progress));
  if (rows.empty()) rows.push_back(running_row(what, phase, {}));
  if (const crds::Condition* why = crds::find_condition(status.conditions, "Blocked");
      why != nullptr && why->status == ConditionStatus::True)
    rows.push_back({"", why->message});
  return rows;
}

std::vector<Row> running_rows(const Overview& overview) {
  std::vector<Row> rows{{"RUNNING", "", "", "", ""}};
  for (const crds::Backup& backup : overview.backups) {
    if (crds::is_finished(backup.status) || !backup.status.phase) continue;
    const crds::Progress progress = backup.status.progress.value_or(crds::Progress{});
    rows.push_back(running_row("backup " + full_name(backup.metadata),
                               progress.phase.value_or(std::string(crds::to_string(*backup.status.phase))), progress));
  }
  for (const crds::RestoreRequest& restore : overview.restores)
    if (!crds::is_finished(restore.status))
      for (Row& row : restore_rows(restore)) rows.push_back(std::move(row));
  return rows;
}

}  // namespace

std::string bar(std::optional<std::int64_t> percent) {
  const auto done = static_cast<std::size_t>(std::clamp<std::int64_t>(percent.value_or(0), 0, 100) * kBarWidth / 100);
  std::string text = "[" + std::string(done, '#') + std::string(kBarWidth - done, '-') + "]";
  if (percent) text += fmt::format(" {:3}%", *percent);
  return text;
}

std::string screen(const Overview& overview, Time now) {
  std::ostringstream out;
  section(out, "No hosts: apply a manifest of kind Host", host_rows(overview, now));
  section(out, "No barman servers", server_rows(overview, now));
  section(out, "No policies", policy_rows(overview, now));
  section(out, "Nothing is running", running_rows(overview));
  return out.str();
}

}  // namespace roadstead::cli
