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
  bool receiver_kicked = false;           ///< barman was told to start it a moment ago.
  std::optional<Result<std::vector<crds::BarmanCheck>>> checks;
  std::optional<Result<std::vector<ListedBackup>>> listed;
  std::vector<BackupDetails> details;  ///< Of good backups that status does not know in full yet.
  std::optional<ArchiveSeen> archive;
  std::vector<std::string> foreign_failures;  ///< Ids of failed backups that are not ours to delete.
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

/// The status after this look. What was not observed this time stays.
crds::BarmanServerStatus status_after(const crds::BarmanServer& server, const Observed& seen, Time now);

/// PostgreSQL 12 brought recovery.signal, which everything here is built on.
inline constexpr std::int64_t kOldestPostgres = 120000;
inline constexpr Millis kCronLate = std::chrono::minutes(3);
/// A receiver without its barman is given a minute of barman's own before the container is restarted.
inline constexpr Millis kOrphanPatience{75'000};

/// True if the receiver's last try ended because production no longer has what it needs: `log` is the standing
/// container's, oldest first. A later beginning of streaming takes it back.
bool says_wal_removed(const std::vector<LogLine>& log);

/// What is missing between base backups and the newest segment of `present`. Backups newest first, good ones only.
ArchiveSeen archive_seen(const std::vector<crds::CatalogBackup>& good, WalListing present, std::uint64_t segment_bytes);

/// Catalogue entries in status form: those seen now, with what is already known of good ones (they never change).
std::vector<crds::CatalogBackup> merge_catalogue(const std::vector<crds::CatalogBackup>& known,
                                                 const std::vector<ListedBackup>& listed,
                                                 const std::vector<BackupDetails>& details);

/// Good backups of which status does not know everything yet.
std::vector<std::string> unknown_details(const std::vector<crds::CatalogBackup>& known,
                                         const std::vector<ListedBackup>& listed);

/// The slot's state as its metric names it: active, inactive, missing, lost, unknown.
std::string_view slot_state(const crds::BarmanServerStatus& status);

}  // namespace roadstead::reconcilers::barman_server
