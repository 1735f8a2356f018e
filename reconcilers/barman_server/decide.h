#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crds/barman_server.h"
#include "reconcilers/support/barman.h"

namespace roadstead::reconcilers::barman_server {

enum class ContainerState {
  Absent,
  Foreign,  ///< A container of that name is not ours.
  Stale,    ///< Made from another spec, configuration or password.
  Broken,   ///< Only created (its files may be missing), or dead.
  Stopped,
  Restarting,  ///< It ends by itself, again and again.
  Running,
};

struct ContainerSeen {
  ContainerState state = ContainerState::Absent;
  std::string id;
  std::optional<Time> started_at;
  std::string last_words;  ///< Of one that restarts: its last line.
};

/// The WAL in the archive, from the oldest good base backup to the newest segment that is there.
struct ArchiveSeen {
  std::vector<WalGap> gaps_since_newest;  ///< Between the newest good base backup and now: not restorable beyond.
  std::string first_restorable;           ///< The oldest good base backup with an unbroken way to now; empty: none.
  std::optional<Error> broken;            ///< Why no way leads from the newest good base backup to now: timelines.
  std::uint32_t timeline = 0;             ///< The newest one.
};

/// What tells one interruption of the WAL since the newest base backup from another; empty: there is none.
std::string interruption(const ArchiveSeen& archive);

/// The base backup that the operator makes by itself failed.
struct OwnFailure {
  std::string name;  ///< The Backup object's.
  Time again{};      ///< When the next one is made.
};

/// What one look gave. It is made in this order, and what could not be asked is left out.
struct Observed {
  std::optional<Error> unusable;    ///< The spec, a secret or a Host it names: nothing else was asked.
  std::optional<Error> host_error;  ///< The backup host's engine does not answer.
  std::optional<Error> act_error;   ///< What was to be done last time failed.
  ContainerSeen container;
  std::string spec_hash;  ///< What the container is to be made from.
  std::optional<crds::LastCron> last_cron;
  std::optional<Result<ProductionState>> production;
  std::optional<Result<void>> streaming;  ///< A connection as the streaming user, tried where nothing streams.
  bool wal_removed = false;               ///< The receiver says that production no longer has the WAL it needs.
  bool volume_full = false;               ///< The receiver says that it cannot write.
  bool receiver_kicked = false;           ///< barman was told to start it a moment ago.
  std::optional<Result<std::vector<crds::BarmanCheck>>> checks;
  std::optional<Result<std::vector<ListedBackup>>> listed;
  std::vector<BackupDetails> details;  ///< Of good backups that status does not know in full yet.
  std::optional<ArchiveSeen> archive;
  std::vector<std::string> foreign_failures;  ///< Ids of failed and stuck backups that are not ours to delete.
  std::optional<OwnFailure> own_failure;      ///< Only asked with the catalogue.
  std::string barman_version;
  std::string container_name;
};

enum class Act {
  None,
  MakeContainer,
  RemakeContainer,  ///< The one that is there is removed first.
  StartContainer,
  RestartContainer,  ///< A WAL receiver whose barman is gone holds the slot; nothing else ends it.
  CreateSlot,
  StartReceiver,  ///< barman's minute, now.
  ResetReceiver,  ///< Production no longer has the WAL the receiver needs: begin anew behind the gap.
  ArchiveFirst,   ///< Switch, nudge, archive: barman trusts an archive only with a segment in it.
};
std::string_view to_string(Act act);

/// The one next thing to do, in the order that leads from nothing to a server whose checks pass.
Act decide(const crds::BarmanServer& server, const Observed& seen, Time now);

/// Nothing is to be done and it streams: what failed before is over.
bool is_settled(Act act, const Observed& seen);

/// The status after this look. What was not observed this time stays.
crds::BarmanServerStatus status_after(const crds::BarmanServer& server, const Observed& seen, Time now);

/// PostgreSQL 12 brought recovery.signal, which everything here is built on.
inline constexpr std::int64_t kOldestPostgres = 120000;
inline constexpr Millis kCronLate = std::chrono::minutes(3);
/// A receiver without its barman is given a minute of barman's own before the container is restarted.
inline constexpr Millis kOrphanPatience{75'000};

/// True if the receiver's last try ended because production does not have what it needs, or not any more: `log` is the
/// standing container's, oldest first. A later beginning of streaming takes it back.
bool says_wal_removed(const std::vector<LogLine>& log);
/// The same for a volume that is full.
bool says_volume_full(const std::vector<LogLine>& log);

/// What is missing between base backups and the newest segment of `present`. Backups newest first, good ones only.
ArchiveSeen archive_seen(const std::vector<crds::CatalogBackup>& good, WalListing present, std::uint64_t segment_bytes);

/// Catalogue entries in status form: those seen now, with what is already known of good ones (they never change).
std::vector<crds::CatalogBackup> merge_catalogue(const std::vector<crds::CatalogBackup>& known,
                                                 const std::vector<ListedBackup>& listed,
                                                 const std::vector<BackupDetails>& details);

/// Good backups of which status does not know everything yet.
std::vector<std::string> unknown_details(const std::vector<crds::CatalogBackup>& known,
                                         const std::vector<ListedBackup>& listed);

/// Checks of `before` that barman does not print any more: some are only printed while they fail.
std::vector<std::string> checks_gone(const std::vector<crds::BarmanCheck>& before,
                                     const std::vector<crds::BarmanCheck>& now);

/// A number that is not known is shown as NaN: 0 would say that all is well.
double shown(std::optional<std::int64_t> number);

/// Why a BarmanServer that is being deleted is still there, and how to end it by hand, in working order. `may_stream`:
/// its container was not stopped, so that the slot may be in use and cannot be dropped.
std::string slot_not_dropped(const crds::BarmanServer& server, const std::string& container, const Error& error,
                             bool may_stream, std::string_view annotation);

/// The slot's state as its metric names it: active, inactive, missing, lost, unknown.
std::string_view slot_state(const crds::BarmanServerStatus& status);

}  // namespace roadstead::reconcilers::barman_server
