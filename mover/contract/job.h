#pragma once

// What the operator asks of a mover, and what a mover (or any other worker program of ours) prints.
// The words are explained for people in docs/mover.md; every verb may be run twice with the same result.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "operator/base/clock.h"
#include "operator/base/result.h"

namespace roadstead::mover {

/// Where a mover finds its job and its key: uploaded into the container by the archive call before it is started.
/// The key is 64 hex digits (32 bytes) and is unlinked as soon as it is read.
inline constexpr std::string_view kJobPath = "/roadstead/job.json";
inline constexpr std::string_view kKeyPath = "/roadstead/key";

/// The directory beside a volume's `_data` that holds everything of ours, and the names inside a request's directory.
inline constexpr std::string_view kDataName = "_data";
inline constexpr std::string_view kOwnName = ".roadstead";
inline constexpr std::string_view kTreeName = "tree";
inline constexpr std::string_view kMarkName = "mark.json";
/// The volume of a host that holds what stands beside others, where a volume is no plain directory of the engine's.
inline constexpr std::string_view kMarksVolume = "roadstead_marks";
/// `state` of a mark whose request has ended.
inline constexpr std::string_view kReceiptState = "Receipt";

/// `<namespace>.<name>.<item>`, the `request` of every verb below; made shorter by a hash beyond 200 bytes.
std::string request_name(std::string_view ns, std::string_view name, std::string_view item);

/// True for what may be a directory name below `.roadstead`: 1 to 255 of [A-Za-z0-9._-], not beginning with a dot.
bool is_request_name(std::string_view request);

// ---- the parts of a job -------------------------------------------------------------------------------------------

/// Whether the bytes leave from here, arrive here, or both (one process with both mounts, no network).
enum class Role { Send, Receive, Both };

/// Who listens. It does not depend on the direction of the bytes.
enum class LinkMode { Serve, Call };

/// How the two movers of a transfer meet. Both get the same `transfer` and key, once: a retry needs a new key.
struct Link {
  LinkMode mode = LinkMode::Call;
  std::string address;     ///< Call: whom. Serve: which local address; empty = all, IPv4 and IPv6.
  std::uint16_t port = 0;  ///< Serve: inside the container.
  int connections = 4;     ///< 1..32; the caller's number counts, the server learns it.
  std::string transfer;    ///< The transfer's name, 1..128 bytes: the identity of the pre-shared key.
  int wait_seconds = 60;   ///< Serve: ends with `ListenExpired` when nobody has come. Call: goes on trying so long.
  int idle_seconds = 30;   ///< Silence of the peer that ends the attempt with `ConnectionLost`.
  bool operator==(const Link&) const = default;
};

/// Which WAL segments of a PostgreSQL data directory are shipped. Segments are compared by log and segment number (the
/// last 16 of their 24 hex digits), whatever their timeline; *.history files are shipped, all other files in
/// `directory` are not; its sub-directories are shipped empty.
struct KeepWal {
  std::string directory = "pg_wal";
  std::string first;  ///< 24 hex digits.
  std::string last;   ///< 24 hex digits, included.
  bool operator==(const KeepWal&) const = default;
};

/// The tree to read. A pattern of `exclude` without a slash matches a name anywhere; with one, the whole path from the
/// root (a leading slash means only that). `*` and `?` do not match slashes. A directory is left out with its content.
struct Source {
  std::string path;
  std::vector<std::string> exclude;
  std::optional<KeepWal> keep_wal;
  /// The tree is in use: a file that changes, vanishes or cannot be read is told in the result and ends nothing.
  /// Otherwise it is `SourceChanged`, because the copy would not be whole.
  bool live = false;
  /// A file that was changed less than so long before it is listed may change again without showing it: the next
  /// snapshot does not take it for unchanged, but compares its bytes.
  int settle_seconds = 60;
  /// Not a tree but this snapshot of the repository directory `path`; `exclude`, `keepWal` and `live` mean nothing
  /// then.
  std::optional<std::string> snapshot{};
  bool operator==(const Source&) const = default;
};

/// Where the staged tree is built: `<parent>/.roadstead/<request>/tree`, with `<parent>/_data` read as a basis.
struct Target {
  std::string parent;   ///< The mounted parent of the volume's `_data`.
  std::string request;  ///< See request_name().
  bool operator==(const Target&) const = default;
};

enum class WriteMode {
  Replace,       ///< The content becomes the whole file.
  ManagedBlock,  ///< The content stands between `# roadstead begin` and `# roadstead end` at the end of the file.
};

struct FinishFile {
  std::string path;  ///< Relative to the tree's root.
  WriteMode mode = WriteMode::Replace;
  std::string content;
  std::uint32_t permissions = 0600;  ///< Of a file that is new or replaced; a managed block keeps the file's.
  bool operator==(const FinishFile&) const = default;
};

/// The volume's own tree, `<parent>/_data`, is made like the source: differing extents are overwritten, what the source
/// does not have is removed. May be cut off and run again; whoever uses the tree must be stopped, but for
/// `compare_only`.
struct InPlace {
  Target volume;
  /// Changes nothing and leaves `hashes` beside the volume: the run that follows hashes only what changed since.
  bool compare_only = false;
  /// A file without which the tree is of no use ("global/pg_control"): moved aside and synced before anything is
  /// changed, and put there last. Empty: none.
  std::string keystone{};
  /// Written as by "finish" when all else is right, before the keystone; not by `compare_only`.
  std::vector<FinishFile> files{};
  bool operator==(const InPlace&) const = default;
};

/// A new snapshot in the repository directory `path`, which exists.
struct Snapshot {
  std::string path;
  std::string id;             ///< See snapshot_id(). One that is there already is the result: nothing is read or moved.
  std::string origin = "{}";  ///< A JSON object that is kept in the manifest: whose it is, and of what. See Origin.
  bool operator==(const Snapshot&) const = default;
};

/// Auto: zstd where the line is slower than the compressor, nothing where it is faster or the data does not shrink.
enum class Compression { Auto, None, Zstd };

// ---- the verbs ----------------------------------------------------------------------------------------------------

/// "copy": a source (a tree, a snapshot) to a sink (a staged tree, the volume's own tree, a new snapshot). Send needs
/// link and source; Receive link and one sink; Both source and one sink. Result data: CopyData.
struct Copy {
  Role role = Role::Both;
  std::optional<Link> link;
  std::optional<Source> source;
  std::optional<Target> target;  ///< The sink is a staged tree.
  std::optional<InPlace> in_place{};
  std::optional<Snapshot> snapshot{};
  Compression compression = Compression::Auto;  ///< The sender's counts; a repository keeps extents as they arrive.
  std::uint64_t bandwidth_limit = 0;  ///< Bytes per second over all connections; the sender's counts. 0: none.
  bool operator==(const Copy&) const = default;
};

/// "connect": proves the path, the transfer's name and the key, and moves nothing. Result data: ConnectData.
struct Connect {
  Link link;
  bool operator==(const Connect&) const = default;
};

/// "inspect": looks at a volume by its parent, or measures a source, or both. Result data: InspectData.
struct Inspect {
  std::optional<std::string> parent;
  bool sizes = false;  ///< Also measures `_data`, which takes a walk over it.
  std::optional<Source> source;
  bool operator==(const Inspect&) const = default;
};

/// "survey": looks at all volumes of an engine: the space for them, and the marks of restores that have not ended.
/// Result data: SurveyData.
struct Survey {
  std::string volumes;  ///< The mounted directory that holds the parent of each volume's `_data`, under its name.
  bool operator==(const Survey&) const = default;
};

/// "mark": writes `content` as the request's mark.json, atomically and durably: a JSON object whose texts `namespace`,
/// `name` and `state` tell a survey whose it is and how far.
struct Mark {
  Target target;
  std::string content;
  bool operator==(const Mark&) const = default;
};

/// "exchange": makes the tree with this inode number the volume's `_data`. Result data: ExchangeData.
struct Exchange {
  Target target;
  std::uint64_t inode = 0;
  bool operator==(const Exchange&) const = default;
};

/// "finish": writes files into the staged tree, owned by the owner of the tree's root. Result data: InodeData.
struct Finish {
  Target target;
  std::vector<FinishFile> files;
  bool operator==(const Finish&) const = default;
};

/// "discard": removes the request's tree if its inode is the one given, or whichever when 0. The mark stays.
/// Result data: RemovedData.
struct Discard {
  Target target;
  std::uint64_t inode = 0;
  bool operator==(const Discard&) const = default;
};

/// "empty": removes everything inside a directory, but not itself nor the entries named in `keep`.
/// Result data: RemovedData.
struct Empty {
  std::string path;
  std::vector<std::string> keep;
  bool operator==(const Empty&) const = default;
};

/// "makeDirectory": the directory and its missing parents, with this owner and mode; one that exists gets them too.
struct MakeDirectory {
  std::string path;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mode = 0700;
  bool operator==(const MakeDirectory&) const = default;
};

/// "snapshots": what a repository directory holds. Result data: SnapshotsData.
struct Snapshots {
  std::string path;
  bool operator==(const Snapshots&) const = default;
};

/// "keep": takes down in the directory which snapshots "forget" may not remove, and which it may again. Ids that are in
/// neither list stay as they are; those that are not there count as done. Busy while packs are swept.
struct Keep {
  std::string path;
  std::vector<std::string> keep;
  std::vector<std::string> release;
  bool operator==(const Keep&) const = default;
};

/// "forget": removes snapshots, then the packs that nothing needs any more, and writes anew those that are mostly dead.
/// Busy while a backup, a restore or a verification uses the directory; Kept, with nothing removed, where one of them
/// is kept. Result data: ForgetData.
struct Forget {
  std::string path;
  std::vector<std::string> snapshots;  ///< Ids; one that is not there counts as removed. Empty: only packs are swept.
  bool dry_run = false;
  bool even_kept = false;  ///< Whoever had them kept does not want it any more.
  bool operator==(const Forget&) const = default;
};

/// "verify": reads packs again and compares every extent with its name, and that every snapshot has all it names. A
/// damaged extent is taken down in the directory and counts as missing, so that the next backup brings it again.
/// Result data: VerifyData.
struct Verify {
  std::string path;
  std::uint32_t part = 0;   ///< Reads the packs that belong to this part,
  std::uint32_t parts = 1;  ///< of so many. A pack always belongs to the same one.
  bool operator==(const Verify&) const = default;
};

using Job = std::variant<Copy, Connect, Inspect, Survey, Mark, Exchange, Finish, Discard, Empty, MakeDirectory,
                         Snapshots, Forget, Verify, Keep>;

/// The verb's word: "copy", "makeDirectory".
std::string_view verb_of(const Job& job);

std::string to_json(const Job& job);

/// Invalid: not JSON, an unknown verb or field, a missing field, or a value outside its limits; the message names it.
Result<Job> parse_job(std::string_view text);

// ---- what is printed ----------------------------------------------------------------------------------------------

/// How far it is. Totals are absent until they were measured; nothing here ever goes backwards.
struct Progress {
  std::string phase;  ///< "Connecting", "Listening", "Scanning", "Copying", "Finishing".
  std::uint64_t bytes_done = 0;
  std::optional<std::uint64_t> bytes_total;
  std::uint64_t files_done = 0;
  std::optional<std::uint64_t> files_total;
  std::optional<std::uint64_t> bytes_per_second;
  std::optional<std::uint64_t> eta_seconds;
  bool operator==(const Progress&) const = default;
};

/// The last line of every worker program of ours: a hint, the truth is on the volume.
struct WorkerResult {
  bool ok = false;
  std::string reason;       ///< One CamelCase word, e.g. "Copied", "ConnectionLost", "NoSpace".
  std::string message;      ///< One sentence.
  std::string next;         ///< What to do next; empty where nothing is to do.
  std::string data = "{}";  ///< A JSON object; the structs below read it.
  bool operator==(const WorkerResult&) const = default;
};

using Line = std::variant<Progress, WorkerResult>;

/// One line without its newline.
std::string to_json(const Line& line);

/// Nothing for a line that is none of ours.
std::optional<Line> parse_line(std::string_view text);

// ---- what stands in a result's data ---------------------------------------------------------------------------------

/// Names that a result tells: all are counted, the first are named.
struct Told {
  static constexpr std::size_t kNamed = 20;
  std::uint64_t count = 0;
  std::vector<std::string> names;
  bool operator==(const Told&) const = default;
};

/// A snapshot in a repository, as its manifest's header tells.
struct SnapshotSeen {
  std::string id;
  std::string origin = "{}";  ///< As the job gave it.
  Time data_as_of{};          ///< When its reading began.
  Time finished_at{};
  bool crash_consistent = false;    ///< Its source was in use: what changed meanwhile is told.
  std::uint64_t logical_bytes = 0;  ///< Sizes of its files, holes included.
  std::uint64_t data_bytes = 0;     ///< Without holes.
  std::uint64_t sent_bytes = 0;     ///< Of them crossed the wire, before compression.
  std::uint64_t stored_bytes = 0;   ///< What its making added to the packs.
  std::uint64_t files = 0;
  std::uint64_t entries = 0;
  Told changed, unreadable, skipped;
  std::uint64_t millis = 0;  ///< How long its making took.
  bool kept = false;         ///< See Keep. Only listing tells it.
  bool operator==(const SnapshotSeen&) const = default;
};

/// Of "copy". Both ends print it; the receiver's says what is on its disk. Bytes are bytes of data: a file's size
/// without its holes.
struct CopyData {
  std::uint64_t bytes_total = 0;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes_sent = 0;      ///< Data that crossed the wire (payload of extents).
  std::uint64_t bytes_same = 0;      ///< Found unchanged on the target by hash, so not sent.
  std::uint64_t bytes_verified = 0;  ///< Complete and verified by an earlier attempt, so not even read again.
  std::uint64_t files_total = 0;     ///< Regular files; further names of a hard-linked file count as none.
  std::uint64_t files_done = 0;
  std::uint64_t entries = 0;             ///< Directories, symbolic links and names of files, the root included.
  std::uint64_t skipped_count = 0;       ///< Devices, FIFOs, sockets.
  std::vector<std::string> skipped;      ///< The first 20 of them.
  std::uint64_t tree_inode = 0;          ///< The staged tree's; receiver only. What "exchange" wants.
  std::uint64_t needed_bytes = 0;        ///< With reason `NoSpace`: what is still to be written,
  std::uint64_t free_bytes = 0;          ///< and what the target had left.
  std::uint64_t millis = 0;              ///< From the first byte to the last sync.
  std::uint64_t wire_bytes = 0;          ///< What crossed the wire in both directions, TLS records not counted.
  Told changed;                          ///< Files of a live source that changed while they were read.
  Told unreadable;                       ///< Files that could not be read, or vanished; they are not in the copy.
  std::optional<SnapshotSeen> snapshot;  ///< The new one, durable. Only with the sink of that name.
  std::optional<SnapshotSeen> previous;  ///< The newest before it.
  bool operator==(const CopyData&) const = default;
};

struct ConnectData {
  double round_trip_millis = 0;
  std::string peer;  ///< The address the connection came from or went to.
  bool operator==(const ConnectData&) const = default;
};

/// A request's directory below `.roadstead`.
struct RequestSeen {
  std::string request;
  std::optional<std::string> mark;  ///< mark.json's text (at most 1 MiB of it).
  std::optional<std::uint64_t> tree_inode;
  bool operator==(const RequestSeen&) const = default;
};

struct VolumeSeen {
  bool exists = false;       ///< `_data` is there and is a directory.
  std::uint64_t inode = 0;   ///< Of `_data`.
  bool same_device = false;  ///< `_data` is on its parent's device.
  bool mount_point = false;  ///< `_data` is a mount point: it cannot be exchanged.
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t free_inodes = 0;
  std::optional<std::uint64_t> logical_bytes;    ///< Only with `sizes`.
  std::optional<std::uint64_t> allocated_bytes;  ///< Only with `sizes`; what it takes on the disk.
  std::optional<std::uint64_t> files;            ///< Only with `sizes`.
  std::vector<RequestSeen> requests;
  bool operator==(const VolumeSeen&) const = default;
};

struct SourceSeen {
  std::uint64_t logical_bytes = 0;
  std::uint64_t allocated_bytes = 0;
  std::uint64_t files = 0;
  std::uint64_t entries = 0;
  bool operator==(const SourceSeen&) const = default;
};

struct InspectData {
  std::optional<VolumeSeen> volume;
  std::optional<SourceSeen> source;
  bool operator==(const InspectData&) const = default;
};

/// A mark that is no receipt.
struct MarkSeen {
  std::string volume;
  std::string ns, name;  ///< Of the request; empty where the mark cannot be read.
  std::string state;     ///< "Unreadable" where the mark cannot be read.
  bool operator==(const MarkSeen&) const = default;
};

struct SurveyData {
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::vector<MarkSeen> marks;  ///< By volume and request.
  bool operator==(const SurveyData&) const = default;
};

struct ExchangeData {
  bool already = false;              ///< It was current before; nothing was done.
  std::uint64_t inode = 0;           ///< Of `_data` now.
  std::uint64_t previous_inode = 0;  ///< Of the request's tree now: the old data. 0: there is none.
  bool operator==(const ExchangeData&) const = default;
};

struct InodeData {
  std::uint64_t inode = 0;
  bool operator==(const InodeData&) const = default;
};

struct RemovedData {
  std::uint64_t removed = 0;  ///< Entries.
  bool operator==(const RemovedData&) const = default;
};

struct SnapshotsData {
  std::vector<SnapshotSeen> snapshots;  ///< By data_as_of. At most 5 names are told of each.
  std::vector<std::string> unreadable;  ///< Ids of manifests that cannot be read.
  std::uint64_t pack_bytes = 0;         ///< All packs on the disk.
  std::uint64_t packs = 0;
  std::uint64_t damaged = 0;  ///< Extents that a verification found damaged and no backup has brought again.
  std::uint64_t free_bytes = 0;
  bool operator==(const SnapshotsData&) const = default;
};

struct ForgetData {
  std::uint64_t removed_snapshots = 0;
  std::uint64_t removed_packs = 0;
  std::uint64_t rewritten_packs = 0;
  std::uint64_t freed_bytes = 0;  ///< In a dry run: would be freed.
  std::uint64_t pack_bytes = 0;   ///< Left.
  bool operator==(const ForgetData&) const = default;
};

/// A snapshot that needs a damaged or missing extent.
struct DamageSeen {
  std::string snapshot;
  Told files;
  bool operator==(const DamageSeen&) const = default;
};

struct VerifyData {
  std::uint64_t packs = 0;    ///< Read.
  std::uint64_t bytes = 0;    ///< Read.
  std::uint64_t damaged = 0;  ///< Extents, those found by earlier runs included.
  std::uint64_t missing = 0;  ///< Extents that a manifest names and no pack has.
  std::vector<DamageSeen> damage;
  bool operator==(const VerifyData&) const = default;
};

/// What an `origin` holds when the operator gives it.
struct Origin {
  std::string installation, ns, backup, policy, host, volume;
  std::optional<Time> scheduled_time;
  bool operator==(const Origin&) const = default;
};
std::string to_json(const Origin& origin);
/// Invalid: no JSON object. Fields that are absent stay empty: another program's snapshot.
Result<Origin> parse_origin(std::string_view text);

/// "<namespace>.<Backup's name>", made shorter by a hash beyond 200 bytes: what one Backup leaves in each repository
/// directory, so that it can be asked for without knowing how its worker ended.
std::string snapshot_id(std::string_view ns, std::string_view backup);

/// Below the root of a repository: "<source host>/<volume>".
std::string repository_directory(std::string_view source_host, std::string_view volume);

/// Whose a mark is, read out of its text; `volume` as it says itself, which may be nothing.
MarkSeen read_mark(std::string_view text);

/// A manifest's header.
std::string to_json(const SnapshotSeen& seen);
std::string to_json(const CopyData& data);
std::string to_json(const ConnectData& data);
std::string to_json(const InspectData& data);
std::string to_json(const SurveyData& data);
std::string to_json(const ExchangeData& data);
std::string to_json(const InodeData& data);
std::string to_json(const RemovedData& data);
std::string to_json(const SnapshotsData& data);
std::string to_json(const ForgetData& data);
std::string to_json(const VerifyData& data);

/// Fields that are absent keep their defaults, so that a failed worker's partial data can be read too.
Result<SnapshotSeen> parse_snapshot_seen(std::string_view text);
Result<CopyData> parse_copy_data(std::string_view text);
Result<ConnectData> parse_connect_data(std::string_view text);
Result<InspectData> parse_inspect_data(std::string_view text);
Result<SurveyData> parse_survey_data(std::string_view text);
Result<ExchangeData> parse_exchange_data(std::string_view text);
Result<InodeData> parse_inode_data(std::string_view text);
Result<RemovedData> parse_removed_data(std::string_view text);
Result<SnapshotsData> parse_snapshots_data(std::string_view text);
Result<ForgetData> parse_forget_data(std::string_view text);
Result<VerifyData> parse_verify_data(std::string_view text);

}  // namespace roadstead::mover
