#pragma once

// What happens next, decided from the spec and the status alone: no I/O, no clock, no log.
//
//   per item:  probe, pin, mark                                     (probe and pin of all items come first)
//              prepare, replay (databases), then copy, finish (databases) or, in place, compare
//   then:      stop, exchange (per item), overwrite (per item in place), start, check, receipt
//   way out:   putback (per exchanged item, while others are not), restart, receipt
//   afterwards, while the old data is kept: discard; or rollback-probe, rollback-stop, rollback (per item),
//              rollback-start, rollback-receipt
//
// Exchanges come before what is overwritten: until then there is a way back, and from then on none, so it is gone on
// with until it is whole.
// probe comes before pin, so that a request that is blocked for days restores the "latest" of the day it goes on.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crds/backup.h"
#include "crds/barman_server.h"
#include "crds/host.h"
#include "crds/restore_request.h"
#include "mover/contract/job.h"
#include "operator/base/clock.h"
#include "reconcilers/support/outcome.h"
#include "reconcilers/support/wal.h"

namespace roadstead::reconcilers::restore {

namespace step {
inline constexpr std::string_view kProbe = "probe", kPin = "pin", kMark = "mark", kPrepare = "prepare",
                                  kReplay = "replay", kCopy = "copy", kFinish = "finish", kStop = "stop",
                                  kExchange = "exchange", kStart = "start", kCheck = "check", kReceipt = "receipt",
                                  kPutBack = "putback", kRestart = "restart", kCompare = "compare",
                                  kOverwrite = "overwrite", kDiscard = "discard", kRollbackProbe = "rollback-probe",
                                  kRollbackStop = "rollback-stop", kRollback = "rollback",
                                  kRollbackStart = "rollback-start", kRollbackReceipt = "rollback-receipt";
}  // namespace step

/// In the memory of an exchange from just before its mover is made.
inline constexpr std::string_view kExchanging = "exchanging";
/// In the memory of an overwriting from when the mark says so, which is before its mover is made; and from when the
/// mark says that it is done.
inline constexpr std::string_view kOverwriting = "overwriting", kOverwritten = "overwritten";
inline constexpr std::string_view kFinalizer = "roadstead.dev/restore";
/// Failures of one step that are borne; the last of them is for good.
inline constexpr int kFailureLimit = 3;

/// Where a request stands: an item's step, or one of the whole request (empty item).
struct StepRef {
  std::string item;
  std::string_view step;
  auto operator<=>(const StepRef&) const = default;
};

/// "montagu-db/copy"; "stop".
std::string name_of(const StepRef& ref);

/// 16 hex digits of everything in the spec that cannot change.
std::string spec_hash(const crds::RestoreRequest& request);

/// The steps from here to the end: the way forward, or the way out once an end is decided.
std::vector<StepRef> path_of(const crds::RestoreRequest& request);
/// The first of them that has not succeeded; nothing: all is done.
std::optional<StepRef> current_step(const crds::RestoreRequest& request);

// ---- what the status says -----------------------------------------------------------------------------------------

/// The entry of a step that succeeded; null where there is none.
const crds::Step* succeeded(const crds::RestoreRequestStatus& status, const std::string& name);
/// Its Running entry; null where there is none.
crds::Step* running(crds::RestoreRequestStatus& status, const std::string& name);
bool was_begun(const crds::RestoreRequestStatus& status, const std::string& name);
int failures_of(const crds::RestoreRequestStatus& status, const std::string& name);
const crds::PinnedSource* pinned_of(const crds::RestoreRequestStatus& status, const std::string& item);
/// A step's result as a field's text or number; nothing where it is not there.
std::optional<std::string> result_text(const crds::RestoreRequestStatus& status, const std::string& step,
                                       const char* field);
std::optional<std::uint64_t> result_number(const crds::RestoreRequestStatus& status, const std::string& step,
                                           const char* field);

/// How an item's volume gets the data: as pinned, before that as probed. Never Auto.
crds::RestoreStrategy strategy_of(const crds::RestoreRequest& request, const crds::RestoreItem& item);

/// True where a step's result says so.
bool result_flag(const crds::RestoreRequestStatus& status, const std::string& step, std::string_view field);

/// True once every volume holds the new data.
bool all_new(const crds::RestoreRequest& request);
/// True from the first overwriting that may have begun until every volume holds the new data: there is no way back, and
/// nothing may be started.
bool forward_only(const crds::RestoreRequest& request);

/// True from the first mark: from then on something of ours is on a host.
bool touched(const crds::RestoreRequestStatus& status);
/// True from the first exchange or overwriting that may have happened: then it goes forward only.
bool past_cancelling(const crds::RestoreRequestStatus& status);
/// True once an end (Failed, Cancelled) is decided and the way out is being gone.
bool is_ending(const crds::RestoreRequestStatus& status);

/// True while spec.suspend holds this step back: it has not begun, and nobody is left stopped by it.
bool is_held(const crds::RestoreRequest& request, const StepRef& ref);

/// The printed summary.
crds::RestorePhase phase_of(const crds::RestoreRequest& request);

// ---- changes of the status ----------------------------------------------------------------------------------------

/// The Running entry of a step, made if there is none.
crds::Step& begin(crds::RestoreRequestStatus& status, const StepRef& ref, Time now);

/// Decides the end. Entries that ran are closed; the reason stays in the condition Complete until the end is reached.
void decide_end(crds::RestoreRequestStatus& status, const std::string& result, const std::string& reason,
                const std::string& message, std::int64_t generation, Time now);

/// Puts what a step gave into the status: entry, item, conditions. Returns when to look again; nothing: at once.
std::optional<Millis> take(crds::RestoreRequest& request, const StepRef& ref, const Outcome& outcome, Time now);

/// The terminal conditions, once the path is at its end.
void finish(crds::RestoreRequest& request, Time now);

/// How long after its nth failure a step is tried again.
Millis backoff(int failures);

/// Progress of the same step never goes backwards, over attempts too.
crds::Progress merged(const crds::Progress& before, crds::Progress now);

// ---- after the end ------------------------------------------------------------------------------------------------

/// In the receipt's result: the old data was left beside the volumes.
inline constexpr std::string_view kKept = "kept";
/// Until when the old data is kept, of a request that ends at `end`; nothing: it goes at once, or there is none.
std::optional<Time> kept_until(const crds::RestoreRequest& request, Time end);

/// What is to be done for a request that has ended.
enum class Aftermath { Nothing, Keep, Discard, RollBack };
Aftermath aftermath_of(const crds::RestoreRequest& request, Time now);
std::vector<StepRef> aftermath_path(const crds::RestoreRequest& request, Aftermath what);
/// The first of them that has not succeeded; nothing: all is done.
std::optional<StepRef> first_open(const crds::RestoreRequest& request, const std::vector<StepRef>& path);

/// True from when the first application may have been stopped for a rollback until its receipt stands.
bool rolling_back(const crds::RestoreRequestStatus& status);
bool rolled_back(const crds::RestoreRequestStatus& status);
/// The rollback is not done, and why; until the spec is changed again. It is told once.
void refuse_rollback(crds::RestoreRequest& request, const std::string& reason, const std::string& message, Time now);
/// Why there is nothing to roll back.
std::string nothing_kept(const crds::RestoreRequest& request);
/// The conditions, once the old data is gone, or current again.
void finish_aftermath(crds::RestoreRequest& request, Aftermath what, Time now);

// ---- who comes first ----------------------------------------------------------------------------------------------

/// What a request needs for itself alone.
struct Claims {
  std::string target_host;
  std::vector<std::string> volumes;         ///< On the target.
  std::vector<std::string> barman_servers;  ///< "namespace/name": their recover volumes.
};
Claims claims_of(const crds::RestoreRequest& request);

/// The unfinished request that `request` must wait for: one that has begun to touch the same volume or recover volume,
/// else one that was created before it. Null: none.
const crds::RestoreRequest* first_before(const crds::RestoreRequest& request,
                                         const std::vector<crds::RestoreRequest>& all);

/// True if another request, not finished, is pinned to this backup.
bool needed_by_another(const crds::RestoreRequest& request, const std::vector<crds::RestoreRequest>& all,
                       const std::string& server, const std::string& backup_root);
/// True if one of those set its protection, and so would release it: who pins it now has to set it as well.
bool kept_by_another(const crds::RestoreRequest& request, const std::vector<crds::RestoreRequest>& all,
                     const std::string& server, const std::string& backup_root);

// ---- which backup --------------------------------------------------------------------------------------------------

struct ChosenBackup {
  std::optional<crds::CatalogBackup> backup;
  std::string problem;  ///< Why there is none, and what to do.
};
/// latest: the newest full backup that is DONE. backupID: that one, if it can be restored.
ChosenBackup choose_backup(const crds::RestorePoint& point, const std::string& server,
                           const std::vector<crds::CatalogBackup>& catalogue);

/// The size of the WAL segments that the backup was made with: the one for which its first position lies in its first
/// segment. The default where that is not known.
std::uint64_t segment_bytes_of(const crds::CatalogBackup& backup);
/// A name behind every segment of the same timeline, at every segment size.
std::string end_of_timeline(const std::string& segment);
/// The newest complete segment there is; `otherwise` where none is newer.
std::string newest_of(const WalListing& listing, const std::string& otherwise);

/// Where a snapshot may be, and which one is wanted.
struct SnapshotPlace {
  std::string host, source_host, volume;
  auto operator<=>(const SnapshotPlace&) const = default;
};
struct WantedSnapshot {
  std::vector<SnapshotPlace> places;  ///< In the order in which they are asked: those of one host stand together.
  std::vector<std::string> ids;       ///< One of these. Empty: any that `policies` made.
  std::vector<std::string> policies;
  std::optional<Time> as_of;  ///< No newer data than this.
  std::string problem;        ///< Why there is nothing to ask for, and what to do.
};
/// `policies` and `backups` are those of the request's namespace.
WantedSnapshot wanted_snapshot(const crds::RestoreRequest& request, const crds::RestoreItem& item,
                               const std::vector<crds::BackupPolicy>& policies,
                               const std::vector<crds::Backup>& backups);

struct SnapshotFound {
  SnapshotPlace place;
  mover::SnapshotSeen seen;
};
struct ChosenSnapshot {
  std::optional<SnapshotFound> found;
  std::string problem;  ///< Why there is none, and what to do.
};
/// The newest of what one host's places hold that is wanted; one that lacks files only if it is asked for by its id.
ChosenSnapshot choose_snapshot(const WantedSnapshot& wanted, const std::vector<SnapshotFound>& there,
                               const std::string& installation, const std::string& ns);

/// What the staged copy of a database of this size takes: it has grown since, and two WAL segments and more come along.
std::int64_t space_for(std::int64_t database_bytes);

// ---- the plan -----------------------------------------------------------------------------------------------------

/// A container on the target, as far as a restore cares.
struct Application {
  std::string id, name;
  bool runs = false;           ///< Running, paused or restarting.
  bool mounts_target = false;  ///< Mounts a target volume, or binds a path under its mount point.
  bool paused = false;
  bool auto_remove = false;
  std::string restart_policy;  ///< "on-failure:5"
  std::optional<crds::ComposeIdentity> compose;
};

struct Refusal {
  std::string reason, message;
};

/// Everything the plan of one item is made from.
struct ProbeSeen {
  crds::Host source, target;
  std::string volume;
  bool volume_exists = false;
  std::string volume_driver = "local";
  bool volume_has_options = false;
  bool data_is_mount_point = false;
  bool data_on_parent_device = true;
  std::int64_t free_bytes = 0;
  std::int64_t needed_bytes = 0;
  std::optional<std::int64_t> allocated_bytes;  ///< What the volume takes now; measured where there is no room for two.
  std::vector<std::string> kept;                ///< Old data beside the volume that others keep, in words.
  std::optional<SnapshotFound> snapshot;        ///< What a snapshot item is restored from.
  std::string backup_id;                        ///< Empty: there is none.
  std::string backup_problem;                   ///< Why the asked one cannot be used; empty: it can.
  std::vector<std::string> wal_gaps;            ///< In words.
  std::string wal_advice;                       ///< What else can be restored.
  std::vector<Application> applications;
  std::vector<std::string> other_marks;  ///< Unfinished restores of others beside the volume, in words.
};

/// Why the volume's data cannot be exchanged; empty: it can.
std::string why_not_exchanged(const ProbeSeen& seen);
bool has_room_for_two(const ProbeSeen& seen);

struct Judged {
  crds::RestorePlan plan;
  std::vector<Refusal> refusals;
};
/// The plan of one item and what stands against it.
Judged judge(const crds::RestoreRequest& request, const crds::RestoreItem& item, const ProbeSeen& seen);

// ---- applications -------------------------------------------------------------------------------------------------

/// Which of them must be stopped: what mounts a target volume, what the request lists, and its compose projects.
/// In the order of stopping: those that mount a target volume last.
std::vector<Application> to_stop(const crds::RestoreRequest& request, const std::vector<Application>& all);

/// Adds to the ledger what is not in it yet; true if there was something.
bool extend_ledger(std::vector<crds::LedgerEntry>& ledger, const std::vector<Application>& applications);

/// True if `application` is the one of the entry: compose identity where it has one, else the name.
bool is_same(const crds::LedgerEntry& entry, const Application& application);

/// "on-failure:5" → {"on-failure", 5}.
struct RestartPolicy {
  std::string name;
  int maximum = 0;
};
RestartPolicy parse_restart_policy(const std::string& text);

}  // namespace roadstead::reconcilers::restore
