#pragma once

// Everything that is said to barman, and to the database it follows, is said here: how its containers and its
// configuration look, and short commands in the standing container with their answers as values.
// Facts about barman (what a command prints, how it fails) are in docs/barman.md.

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crds/barman_server.h"
#include "crds/host.h"
#include "operator/ports/engine.h"
#include "reconcilers/support/context.h"
#include "reconcilers/support/wal.h"

namespace roadstead::reconcilers {

// ---- containers and their configuration -----------------------------------------------------------------------------

inline constexpr std::string_view kBarmanHome = "/var/lib/barman";  ///< spec.volumes.data in every barman container.
inline constexpr std::string_view kRecoverRoot = "/recover";        ///< spec.volumes.recover in every barman container.
inline constexpr std::string_view kBarmanUser = "999:999";          ///< Who barman runs as, and whose the volumes are.
inline constexpr std::string_view kPgpassPath = "/etc/roadstead/pgpass";

/// How one server's barman reaches production, passwords included: what every barman container of it is given.
struct BarmanSetup {
  std::string server;                    ///< barman's name of it: the BarmanServer's metadata.name.
  std::string address;                   ///< Production, as barman names it.
  std::vector<std::string> extra_hosts;  ///< "name:address"; the same in every container, so that all resolve alike.
  std::string config;                    ///< /etc/barman.d/<server>.conf
  std::string pgpass;                    ///< The text of kPgpassPath. Holds passwords: never logged, never stored.
  std::string slot;
  std::string streaming_user;
  std::string connection;            ///< libpq's words for the backup user, without password.
  std::string streaming_connection;  ///< The same for the streaming user.
};

/// `source` is the Host of production. Errors: Invalid (a name barman refuses, no address, a value that a
/// configuration line cannot hold), each naming the field.
Result<BarmanSetup> barman_setup(const crds::BarmanServer& server, const crds::Host& source,
                                 const std::string& backup_password, const std::string& streaming_password);

/// What is uploaded below "/" of every barman container before it starts.
std::vector<ArchiveFile> barman_files(const BarmanSetup& setup);

/// "roadstead-default-barmanserver-default.montagu-standing".
std::string standing_container_name(const std::string& installation, const crds::BarmanServer& server);

/// A keyed digest of everything the standing container is made from, its configuration and passwords included.
std::string standing_spec_hash(const std::string& installation_secret, const crds::BarmanServer& server,
                               const BarmanSetup& setup);

/// The standing container: barman's own minute, `restart: unless-stopped`, labelled with `spec_hash`.
ContainerSpec standing_container(const std::string& installation, const crds::BarmanServer& server,
                                 const BarmanSetup& setup, const std::string& spec_hash);

/// A container that runs one barman command on the same volumes and ends. Give it barman_files() as its files.
ContainerSpec barman_worker_container(const crds::BarmanServer& server, const BarmanSetup& setup,
                                      std::vector<std::string> command);

/// The command that drops the slot on production, for a worker: only possible once nothing streams from it.
std::vector<std::string> drop_slot_command(const BarmanSetup& setup);

/// "/var/lib/barman/montagu": catalogue and WAL of this server inside barman's containers.
std::string server_directory(const std::string& server);

// ---- barman's names of backups --------------------------------------------------------------------------------------

/// "roadstead.<namespace>.<Backup name>.<attempt>": how a base backup of ours is found in the catalogue.
std::string barman_backup_name(const std::string& ns, const std::string& backup, int attempt);

struct BarmanBackupName {
  std::string ns, backup;
  int attempt = 0;
  auto operator<=>(const BarmanBackupName&) const = default;
};
/// Nothing for a name that is not of that form.
std::optional<BarmanBackupName> parse_barman_backup_name(std::string_view name);

// ---- short commands in the standing container -----------------------------------------------------------------------

/// Everything that barman's catalogue tells of one backup.
struct BackupDetails {
  crds::CatalogBackup backup;
  std::uint32_t timeline = 0;
  std::int64_t postgres_version = 0;  ///< 170011
  std::string system_id;
  std::optional<std::int64_t> cluster_size_bytes;  ///< The database as it was, uncompressed: what a restore writes.
  std::string tablespaces;                         ///< Not empty where there are any: their names, for a refusal.
};

/// One line of list-backups, with what only the list tells.
struct ListedBackup {
  crds::CatalogBackup backup;
  std::optional<std::int64_t> wal_bytes;  ///< Archived from this backup to the next, as stored (compressed).
  std::string retention;                  ///< "-", "OBSOLETE", "KEEP:FULL", ...
};

struct RestorePoint {
  Lsn lsn = 0;
  std::string segment;  ///< Which WAL segment holds it.
};

/// A walsender that barman's receiver is connected to.
struct WalReceiver {
  std::string state;  ///< "streaming"
  std::optional<Lsn> sent, written, flushed;
};

/// Production as one query tells it. Sizes in bytes.
struct ProductionState {
  std::string version;              ///< "17.11 (Debian …)"
  std::int64_t version_number = 0;  ///< 170011
  std::string system_id;
  bool in_recovery = false;
  Lsn current_lsn = 0;
  std::string current_segment;
  std::uint64_t segment_bytes = kDefaultWalSegmentBytes;
  std::int64_t database_bytes = 0;
  std::int64_t checkpoint_timeout_seconds = 0;
  std::optional<crds::ReplicationSlot> slot;
  std::optional<WalReceiver> receiver;
};

/// A running base backup, from pg_stat_progress_basebackup.
struct BaseBackupProgress {
  std::string phase;  ///< PostgreSQL's word.
  std::int64_t streamed_bytes = 0;
  std::optional<std::int64_t> total_bytes;  ///< PostgreSQL's estimate; it may grow.
};

/// barman in one standing container. Cheap to make; keeps references, used from one thread.
/// Each call is one exec of half a second or more (barman) or some tens of milliseconds (psql): call rarely.
/// Errors of every call: those of the engine (NotFound: the standing container is not there; Conflict: it does not
/// run), Timeout; barman's own words as Unavailable, Conflict (its lock is taken) or NotFound (unknown backup); of
/// psql: Forbidden (password, pg_hba, privileges), Unavailable (not reached), Invalid (SQL).
class Barman {
 public:
  Barman(Engine& engine, std::string container, const BarmanSetup& setup, Limits limits)
      : engine_(engine), container_(std::move(container)), setup_(setup), limits_(std::move(limits)) {}

  [[nodiscard]] const std::string& server() const { return setup_.server; }

  // barman
  /// The checks barman printed. With production unreachable it takes half a minute and prints fewer: absent is not
  /// passed.
  Result<std::vector<crds::BarmanCheck>> check();
  Result<std::vector<ListedBackup>> list_backups();
  Result<BackupDetails> show_backup(const std::string& id);
  Result<std::string> version();
  Result<void> cron();
  /// Moves what was received into the archive; also completes backups that wait for WAL.
  Result<void> archive_wal();
  /// One that is there counts as made.
  Result<void> create_slot();
  /// Production no longer has the WAL the receiver needs next: what it had begun is put aside (before-gap/ beside it),
  /// slot and receiver are made anew. The archive before the gap stays.
  Result<void> reset_receiver();
  /// Protects a backup from retention (`keep --target full`); also when it is kept already.
  Result<void> keep(const std::string& id);
  Result<void> release(const std::string& id);
  Result<bool> is_kept(const std::string& id);

  // production, by psql as the backup user
  /// Rows as lines, columns separated by "|", NULL empty.
  Result<std::string> query(const std::string& sql);
  /// A statement whose answer is one JSON value.
  Result<nlohmann::json> query_json(const std::string& sql);
  Result<ProductionState> production();
  Result<std::vector<BaseBackupProgress>> base_backup_progress();
  Result<RestorePoint> create_restore_point(const std::string& name);
  Result<void> switch_wal();
  /// A WAL record, so that a switched segment is received at once and not with the next write.
  Result<void> nudge();
  Result<void> checkpoint();
  /// A replication connection as the streaming user: proves password and pg_hba.
  Result<void> test_streaming();

  // files in the data volume
  /// Segments (archived, received whole, being received) from `from` to `to` by number, on any timeline, and all
  /// history files.
  Result<WalListing> wal_segments(const std::string& from, const std::string& to,
                                  std::uint64_t segment_bytes = kDefaultWalSegmentBytes);
  /// Nothing: barman's minute never ran to its end.
  Result<std::optional<crds::LastCron>> last_cron();
  /// Backups in the making hold barman's lock, whichever container they run in.
  Result<bool> backup_lock_held();

 private:
  Result<ExecResult> run(std::vector<std::string> command, std::chrono::milliseconds time_limit);
  Result<std::string> psql(const std::string& connection, const std::string& sql);
  Result<nlohmann::json> barman_json(std::vector<std::string> arguments, std::chrono::milliseconds time_limit);
  Result<void> barman_do(std::vector<std::string> arguments, std::chrono::milliseconds time_limit);

  Engine& engine_;
  const std::string container_;
  const BarmanSetup& setup_;
  const Limits limits_;
};

/// A BarmanServer with its host's engine and what its containers are given.
struct BarmanAccess {
  HostHandle host;  ///< Where barman runs.
  BarmanSetup setup;
  std::string container;  ///< The standing one's name.
  [[nodiscard]] Barman barman(const Limits& limits) const { return {*host.engine, container, setup, limits}; }
};

/// Errors: NotFound (a Host), Invalid, and those of the secrets. Does not connect.
Result<BarmanAccess> barman_access(const Context& context, const crds::BarmanServer& server);

// ---- what barman and psql print -------------------------------------------------------------------------------------

/// barman's in-band messages (_ERROR, _EXCEPTION) as an Error; the JSON value without any.
Result<nlohmann::json> parse_barman_output(const ExecResult& output, std::string_view command);
Result<std::vector<crds::BarmanCheck>> parse_checks(const nlohmann::json& output, const std::string& server);
Result<std::vector<ListedBackup>> parse_list(const nlohmann::json& output, const std::string& server);
Result<BackupDetails> parse_details(const nlohmann::json& output, const std::string& server);
Result<ProductionState> parse_production(const nlohmann::json& row);
/// psql's failure as an Error, by its exit code and its words.
Error psql_error(int exit_code, std::string_view words);
/// {"event":"cron",...} as the standing container leaves it.
std::optional<crds::LastCron> parse_last_cron(std::string_view text);

}  // namespace roadstead::reconcilers
