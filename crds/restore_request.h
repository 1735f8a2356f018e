#pragma once

#include "crds/common.h"
#include "crds/condition.h"
#include "crds/kind.h"
#include "crds/object_meta.h"

namespace roadstead::crds {

struct RestoreTarget {
  NameRef host_ref;
};

/// Exactly one is set.
struct RestorePoint {
  bool latest = false;                   ///< Now, as of the moment the request is pinned.
  std::optional<std::string> backup_id;  ///< The end of this base backup.
};

struct BarmanRestoreSource {
  NameRef server_ref;
  RestorePoint point;
};

/// Exactly one of `barman`, `backup_policy_ref` and `backup_ref` is set; the others stand beside the latter two.
struct RestoreSource {
  std::optional<BarmanRestoreSource> barman;
  std::optional<NameRef> backup_policy_ref;
  std::optional<NameRef> backup_ref;
  std::string volume;               ///< Whose snapshot. Empty: the only one of the Backup.
  std::optional<Time> as_of;        ///< No newer data than this; with a policy only.
  std::optional<NameRef> host_ref;  ///< Whose repository is read.
};

struct RestoreDestination {
  std::string volume;
};

struct RestoreItem {
  std::string name;
  RestoreSource from;
  RestoreDestination to;
};

/// None: nothing is stopped, and the volumes are overwritten under running applications.
enum class StopMode { Stop, Kill, None };
template <>
struct EnumNames<StopMode> {
  static constexpr std::string_view names[] = {"Stop", "Kill", "None"};
};

enum class StartMode { WhatRan, None, Listed };
template <>
struct EnumNames<StartMode> {
  static constexpr std::string_view names[] = {"WhatRan", "None", "Listed"};
};

/// Besides what mounts a target volume, which is stopped in any case.
struct StopApplications {
  std::vector<std::string> containers;
  std::vector<std::string> compose_projects;
  StopMode mode = StopMode::Stop;
  std::int64_t grace_seconds = 60;  ///< Between the stop signal and SIGKILL.
};

struct StartApplications {
  StartMode mode = StartMode::WhatRan;
  std::vector<std::string> containers;  ///< With Listed: what is started, in this order.
};

struct Applications {
  StopApplications stop;
  StartApplications start;
};

struct SqlCheck {
  std::string container;
  std::string database;
  std::string user;
  std::string query;
  std::string expect;  ///< The answer's text as psql prints it without decoration.
  std::int64_t timeout_seconds = 60;
};

/// A union: exactly one is set.
struct RestoreCheck {
  std::string name;
  std::optional<SqlCheck> sql;
};

enum class RestoreStrategy { Auto, Staged, InPlace };
template <>
struct EnumNames<RestoreStrategy> {
  static constexpr std::string_view names[] = {"Auto", "Staged", "InPlace"};
};

struct RestoreConfirmation {
  std::string host;
  std::vector<std::string> volumes;
};

/// Immutable but for `cancel`, `suspend`, `rollback`, `confirm` and `keep_previous_seconds`.
struct RestoreRequestSpec {
  RestoreTarget target;
  std::vector<RestoreItem> items;
  Applications applications;
  std::vector<RestoreCheck> checks;
  RestoreStrategy strategy = RestoreStrategy::Auto;
  std::optional<RestoreConfirmation> confirm;
  bool dry_run = false;
  bool cancel = false;
  bool suspend = false;
  bool rollback = false;
  std::int64_t keep_previous_seconds = 86400;
};

enum class RestorePhase {
  Pending,
  Planning,
  Preparing,
  Copying,
  Stopping,
  Swapping,
  Starting,
  Checking,
  Succeeded,
  Blocked,
  Failed,
  Cancelled,
  RolledBack,
};
template <>
struct EnumNames<RestorePhase> {
  static constexpr std::string_view names[] = {"Pending",  "Planning",  "Preparing", "Copying",   "Stopping",
                                               "Swapping", "Starting",  "Checking",  "Succeeded", "Blocked",
                                               "Failed",   "Cancelled", "RolledBack"};
};

struct PlannedStep {
  std::string name;  ///< "montagu-db/prepare"
  std::string host;
  std::string description;  ///< One sentence for people.
};

/// Made before anything is touched, for every request; all a dry run does.
struct RestorePlan {
  std::vector<PlannedStep> steps;
  std::optional<std::int64_t> bytes_to_move;
  std::optional<std::int64_t> space_needed_bytes;  ///< On the target.
  std::optional<std::int64_t> space_free_bytes;    ///< On the target.
  std::vector<std::string> stops;                  ///< Containers that will be stopped, by name.
  std::optional<RestoreStrategy> strategy;         ///< Chosen; never Auto.
  std::string strategy_reason;
  std::optional<std::int64_t> estimated_seconds;
  std::vector<std::string> wal_gaps;  ///< Missing segments between the base backup and the point.
  std::vector<std::string> warnings;
  std::vector<std::string> refusals;  ///< Why it cannot be done as it stands; empty when it can.
};

/// How replay is told where to stop.
enum class TargetKind {
  Name,       ///< At the restore point `target_name`.
  Immediate,  ///< At the end of the base backup.
  EndOfWal,   ///< At the last record that was received (production is unreachable); the LSN is pinned after it.
};
template <>
struct EnumNames<TargetKind> {
  static constexpr std::string_view names[] = {"Name", "Immediate", "EndOfWal"};
};

/// A snapshot in a host's repository. While a request that pins it is not finished, nothing may forget it.
struct SnapshotPin {
  std::string host;         ///< Whose repository holds it.
  std::string source_host;  ///< With `volume` the directory in the repository.
  std::string volume;
  std::string id;
  bool operator==(const SnapshotPin&) const = default;
};

/// What a request was resolved to, written once.
struct PinnedSource {
  std::string item;
  std::string backup_id;
  std::string backup_root_id;  ///< The backup that barman keeps for it (a full one's own id).
  TargetKind target = TargetKind::Name;
  std::string target_name;
  std::string target_lsn;  ///< Empty until it is known (Immediate, EndOfWal).
  std::string begin_wal;   ///< First segment that replay needs.
  std::string target_wal;  ///< Segment that holds target_lsn.
  std::optional<std::int64_t> wal_segment_bytes;
  std::optional<std::int64_t> size_bytes;  ///< Of the base backup, or of the snapshot's data.
  std::optional<Time> data_as_of;
  bool keep_set = false;  ///< This installation set `barman keep`; released at the end.
  std::optional<SnapshotPin> snapshot;
  RestoreStrategy strategy = RestoreStrategy::Staged;  ///< Of this item; never Auto.
};

struct RestoreItemStatus {
  std::string name;
  std::string step;   ///< "copy"
  Progress progress;  ///< In JSON its fields stand beside `name`.
};

struct ComposeIdentity {
  std::string project;
  std::string service;
  std::int64_t number = 1;
};

/// One container that ran before the first stop, and will again.
struct LedgerEntry {
  std::optional<ComposeIdentity> compose;  ///< Who it is where compose made it: the id changes with every `up`.
  std::string name;
  std::string id;              ///< At the time of the stop.
  std::string restart_policy;  ///< "unless-stopped", "on-failure:5"
  std::int64_t order = 0;      ///< Stopped in this order, started in the reverse.
  bool was_paused = false;
  std::optional<Time> stopped_at;
  std::optional<Time> started_at;  ///< Started again.
};

struct CheckResult {
  std::string name;
  std::string answer;
  bool passed = false;
  std::string message;
};

/// What stands beside a target volume on the host.
struct MarkSummary {
  std::string item;
  std::string volume;
  std::string phase;
  std::optional<std::int64_t> old_inode;
  std::optional<std::int64_t> new_inode;
};

struct Receipt {
  std::string result;  ///< Succeeded, Failed, Cancelled, RolledBack.
  std::optional<Time> finished_at;
  std::optional<Time> kept_until;  ///< Until when the old trees are kept; nothing: they are not there any more.
};

struct RestoreRequestStatus {
  std::int64_t observed_generation = 0;
  std::optional<RestorePhase> phase;  ///< A printed summary; programs read conditions.
  std::vector<Condition> conditions;
  std::optional<RestorePlan> plan;
  std::vector<PinnedSource> pinned;
  std::vector<RestoreItemStatus> items;
  std::vector<Step> steps;
  std::vector<LedgerEntry> ledger;
  std::vector<CheckResult> checks;
  std::vector<MarkSummary> marks;
  std::optional<Receipt> receipt;
  std::optional<Time> started_at;
  std::optional<Time> finished_at;
  std::optional<Time> stopped_at;    ///< The first application was stopped.
  std::optional<Time> restarted_at;  ///< The last of them ran again.
  std::optional<ProgressSummary> summary;
};

struct RestoreRequest {
  ObjectMeta metadata;
  RestoreRequestSpec spec;
  RestoreRequestStatus status;
};

/// True once the request has a terminal condition (Complete or Failed is True).
bool is_finished(const RestoreRequestStatus& status);

/// Sets `summary` from the items that move bytes now and the oldest of the pinned times.
void refresh_summary(RestoreRequestStatus& status);

template <>
struct Kind<RestoreRequest> {
  static constexpr std::string_view kind = "RestoreRequest";
  static constexpr std::string_view plural = "restorerequests";
  static constexpr Scope scope = Scope::Namespaced;
};
template <>
Result<RestoreRequest> from_json<RestoreRequest>(const nlohmann::json& object);
template <>
nlohmann::json to_json<RestoreRequest>(const RestoreRequest& object);

}  // namespace roadstead::crds
