#include "mover/repository/directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <cstring>

#include "operator/base/quantity.h"

namespace roadstead::mover {
namespace {

constexpr const char* kFormatName = "format";
constexpr const char* kLockName = "lock";
constexpr const char* kWriterName = "writer";
constexpr const char* kVerifierName = "verifier";
constexpr const char* kMarkerName = "marker";
constexpr const char* kPacksName = "packs";
constexpr const char* kSnapshotsName = "snapshots";
constexpr std::array<char, 8> kDamagedMagic = {'R', 'D', 'S', 'T', 'D', 'A', 'M', '1'};
constexpr std::size_t kDamagedRecord = sizeof(Digest) + sizeof(PackId);

struct UseWords {
  int lock;               ///< Of the file "lock".
  const char* role;       ///< A second lock that only one may hold; null: none.
  const char* role_held;  ///< By whom.
};

UseWords words_of(Use use) {
  switch (use) {
    case Use::Read:
      return {LOCK_SH, nullptr, ""};
    case Use::Write:
      return {LOCK_SH, kWriterName, "another backup is being written"};
    case Use::Verify:
      return {LOCK_SH, kVerifierName, "another verification is running"};
    case Use::Mark:
      return {LOCK_SH, kMarkerName, "somebody else marks snapshots"};
    case Use::Sweep:
      break;
  }
  return {LOCK_EX, nullptr, ""};
}

/// Names of snapshots in a directory, sorted.
Outcome<std::vector<std::string>> ids_in(int directory) {
  auto names = names_in(directory);
  if (!names) return names;
  std::erase_if(*names, [](const std::string& name) { return !is_request_name(name); });
  std::sort(names->begin(), names->end());
  return names;
}

tl::unexpected<Failure> no_repository(std::string_view path) {
  return failed("NotFound", fmt::format("there is no repository in {}", path),
                "check the path, or run a backup into it first");
}

}  // namespace

Outcome<RepositoryDirectory> RepositoryDirectory::open(const std::string& path, Use use) {
  RepositoryDirectory directory;
  directory.path_ = path;
  auto root = open_root(path);
  if (!root) return failed(root.error());
  directory.root_ = std::move(*root);
  if (use == Use::Write) {  // locked first: only one makes it
    if (auto locked = directory.lock(use); !locked) return failed(locked.error());
    if (auto made = directory.make(); !made) return failed(made.error());
  }
  if (auto checked = directory.check_format(); !checked) return failed(checked.error());
  if (use != Use::Write)
    if (auto locked = directory.lock(use); !locked) return failed(locked.error());
  auto packs = open_directory(directory.root(), kPacksName);
  if (!packs) return failed(packs.error());
  auto snapshots = open_directory(directory.root(), kSnapshotsName);
  if (!snapshots) return failed(snapshots.error());
  directory.packs_ = std::move(*packs);
  directory.snapshots_ = std::move(*snapshots);
  return directory;
}

/// The format is written last: a directory that was cut off on the way is made again.
Outcome<void> RepositoryDirectory::make() {
  const auto format = status_of(root(), kFormatName);
  if (!format) return failed(format.error());
  if (*format) return {};
  for (const char* name : {kPacksName, kSnapshotsName}) {
    const auto made = make_and_open_directory(root(), name, 0700);
    if (!made) return failed(made.error());
    const auto inside = names_in(made->get());
    if (!inside) return failed(inside.error());
    if (!inside->empty())
      return failed("Refused", fmt::format("{} has {} but no file \"format\"", path_, name),
                    "put the file \"format\" back (docs/repository-format.md), or use an empty directory");
  }
  return write_durably(root(), root(), kFormatName, kFormatText, {::geteuid(), ::getegid(), 0400});
}

Outcome<void> RepositoryDirectory::check_format() const {
  const Fd file(::openat(root(), kFormatName, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file && errno == ENOENT) return no_repository(path_);
  if (!file) return failed_call(errno, "open {}/{}", path_, kFormatName);
  const auto content = content_of(file.get(), 256);
  if (!content) return failed(content.error());
  if (*content != kFormatText)
    return failed("VersionMismatch", fmt::format("the repository {} is of a format this mover does not know", path_),
                  "bring the mover image of the release that wrote it to this host, or back up into a new repository");
  return {};
}

Outcome<Fd> RepositoryDirectory::locked(const char* name, int operation, std::string_view who, bool make) const {
  // A lock does not need a file that can be written: readers have the directory mounted read-only.
  const int flags = make ? O_RDWR | O_CREAT : O_RDONLY;
  Fd file(::openat(root(), name, flags | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return failed_call(errno, "open {}/{}", path_, name);
  if (::flock(file.get(), operation | LOCK_NB) == 0) return file;
  if (errno != EWOULDBLOCK) return failed_call(errno, "lock {}/{}", path_, name);
  return failed("Busy", fmt::format("{} in {}", who, path_), "wait until it has ended, then run the step again");
}

Outcome<void> RepositoryDirectory::lock(Use use) {
  const UseWords words = words_of(use);
  const bool writes = use != Use::Read;
  auto shared = locked(kLockName, words.lock,
                       use == Use::Sweep ? "a backup, a restore, a verification or an off-site copy is running"
                                         : "packs are being swept",
                       writes);
  if (!shared) return failed(shared.error());
  lock_ = std::move(*shared);
  if (words.role == nullptr) return {};
  auto role = locked(words.role, LOCK_EX, words.role_held, writes);
  if (!role) return failed(role.error());
  role_lock_ = std::move(*role);
  return {};
}

Outcome<std::vector<PackId>> RepositoryDirectory::ids_with(std::string_view suffix) const {
  const auto names = names_in(packs());
  if (!names) return failed(names.error());
  std::vector<PackId> ids;
  for (const std::string_view name : *names) {
    if (!name.ends_with(suffix)) continue;
    if (const auto id = pack_id_of(name.substr(0, name.size() - suffix.size()))) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Outcome<std::vector<PackId>> RepositoryDirectory::pack_ids() const { return ids_with(""); }
Outcome<std::vector<PackId>> RepositoryDirectory::part_ids() const { return ids_with(kPartSuffix); }

Outcome<std::vector<std::string>> RepositoryDirectory::snapshot_ids() const { return ids_in(snapshots()); }

Outcome<std::vector<std::string>> RepositoryDirectory::kept() const {
  const auto directory = open_directory_if_any(root(), kKeptName);
  if (!directory) return failed(directory.error());
  if (!*directory) return std::vector<std::string>{};
  return ids_in((*directory)->get());
}

Outcome<void> RepositoryDirectory::tidy_kept(const std::vector<std::string>& released) const {
  const auto directory = open_directory_if_any(root(), kKeptName);
  if (!directory) return failed(directory.error());
  if (!*directory) return {};
  const auto ids = ids_in((*directory)->get());
  if (!ids) return failed(ids.error());
  for (const std::string& id : *ids) {
    const auto snapshot = status_of(snapshots(), id);
    if (!snapshot) return failed(snapshot.error());
    if (*snapshot && std::find(released.begin(), released.end(), id) == released.end()) continue;
    if (::unlinkat((*directory)->get(), id.c_str(), 0) != 0 && errno != ENOENT)
      return failed_call(errno, "remove {}/{}/{}", path_, kKeptName, id);
  }
  return sync_directory((*directory)->get());
}

Outcome<std::vector<DamagedExtent>> RepositoryDirectory::damaged() const {
  const Fd file(::openat(root(), kDamagedName, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file && errno == ENOENT) return std::vector<DamagedExtent>{};
  if (!file) return failed_call(errno, "open {}/{}", path_, kDamagedName);
  const auto content = content_of(file.get(), std::size_t{1} << 30);
  if (!content) return failed(content.error());
  constexpr std::size_t kAround = sizeof kDamagedMagic + sizeof(Digest);
  const auto bytes = std::as_bytes(std::span(*content));
  if (bytes.size() < kAround || (bytes.size() - kAround) % kDamagedRecord != 0) return std::vector<DamagedExtent>{};
  const Digest hash = Hasher().of(bytes.first(bytes.size() - sizeof(Digest)));
  if (std::memcmp(bytes.data(), kDamagedMagic.data(), sizeof kDamagedMagic) != 0 ||
      std::memcmp(bytes.last(sizeof hash).data(), hash.data(), sizeof hash) != 0)
    return std::vector<DamagedExtent>{};
  std::vector<DamagedExtent> damaged((bytes.size() - kAround) / kDamagedRecord);
  const std::byte* at = bytes.data() + sizeof kDamagedMagic;
  for (DamagedExtent& one : damaged) {
    std::memcpy(one.name.data(), at, sizeof one.name);
    std::memcpy(&one.pack, at + sizeof one.name, sizeof one.pack);
    at += kDamagedRecord;
  }
  std::sort(damaged.begin(), damaged.end());
  return damaged;
}

Outcome<void> RepositoryDirectory::write_damaged(std::vector<DamagedExtent> damaged) const {
  std::sort(damaged.begin(), damaged.end());
  damaged.erase(std::unique(damaged.begin(), damaged.end()), damaged.end());
  std::string content(kDamagedMagic.data(), kDamagedMagic.size());
  for (const DamagedExtent& one : damaged) {
    content.append(reinterpret_cast<const char*>(one.name.data()), one.name.size());
    content.append(reinterpret_cast<const char*>(&one.pack), sizeof one.pack);
  }
  const Digest hash = Hasher().of(std::as_bytes(std::span(content)));
  content.append(reinterpret_cast<const char*>(hash.data()), hash.size());
  return write_durably(root(), root(), kDamagedName, content, {::geteuid(), ::getegid(), 0600});
}

std::uint64_t RepositoryDirectory::free_bytes() const {
  struct statvfs status {};
  return ::fstatvfs(root(), &status) == 0 ? std::uint64_t{status.f_bavail} * status.f_frsize : 0;
}

Failure RepositoryDirectory::write_failure(int error, std::string_view what, std::uint64_t bytes) const {
  if (error != ENOSPC && error != EDQUOT) return system_failure(error, fmt::format("write {}/{}", path_, what));
  return {"NoSpace",
          fmt::format("{} is full: {} were to be written to {}, {} are free", path_, human_bytes(bytes), what,
                      human_bytes(free_bytes())),
          "free space on the host that keeps the backups, or let retention remove snapshots, and run the step again; "
          "what was written is kept"};
}

}  // namespace roadstead::mover
