#include "mover/live_source.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>

#include "mover/directory_cursor.h"
#include "mover/piece_hash.h"
#include "mover/pool.h"

namespace roadstead::mover {
namespace {

constexpr std::size_t kCached = std::size_t{256} << 10;  ///< Hashed while it is still in the CPU's cache.
constexpr std::uint32_t kChunk = 512;                    ///< Entries that one thread looks at again in one go.
constexpr std::size_t kChunksAhead = 16;
constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

bool all_zero(std::span<const std::byte> data) {
  return data.front() == std::byte{0} && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
}

/// Which files of a source in use were seen to change. Safe from several threads.
class Watch {
 public:
  void changed(std::uint32_t file) {
    const std::lock_guard lock(mutex_);
    if (changed_.size() <= file) changed_.resize(file + 1);
    changed_[file] = true;
  }
  void unreadable(std::uint32_t file, std::string why) {
    const std::lock_guard lock(mutex_);
    why_[file] = std::move(why);
  }
  /// By number: which of them changed; those behind its end did not.
  std::vector<bool> take_changed() {
    const std::lock_guard lock(mutex_);
    return std::exchange(changed_, {});
  }
  std::string why(std::uint32_t file) {
    const std::lock_guard lock(mutex_);
    const auto found = why_.find(file);
    return found == why_.end() ? "it changes all the time" : found->second;
  }

 private:
  std::mutex mutex_;           // guards what follows
  std::vector<bool> changed_;  ///< All files of a tree may have.
  std::map<std::uint32_t, std::string> why_;
};

struct Shared {
  Scan scan;
  bool live = false;
  bool last_round = false;  ///< Files are taken as they are now.
  Watch watch;
};

Outcome<Fd> open_file(int directory, const char* name) {
  // Reading for a backup should not look like use; only owners may ask for that.
  Fd fd(::openat(directory, name, kFlags | O_NOATIME));
  if (!fd && errno == EPERM) fd = Fd(::openat(directory, name, kFlags));
  if (!fd && errno == ELOOP) return failed("NotFound", "is a symbolic link now", "");
  if (!fd) return failed_call(errno, "open");
  return fd;
}

Outcome<Fd> open_entry(const EntryList& entries, DirectoryCursor& directories, std::uint32_t file) {
  const auto directory = directories.enter(entries[file].parent);
  if (!directory) return failed(directory.error());
  return open_file(*directory, entries[file].name_bytes);
}

bool is_inode(const Fd& file, std::uint64_t inode) {
  const auto status = status_of(file.get());
  return status && status->st_ino == inode;
}

/// What the first name of a file leads to; or the file that was listed, where that name is gone or another file's by
/// now and it has others.
Outcome<Fd> open_by_any_name(const Scan& scan, DirectoryCursor& directories, std::uint32_t file) {
  auto own = open_entry(scan.entries, directories, file);
  const auto linked = scan.linked.find(file);
  if (linked == scan.linked.end() || (own && is_inode(*own, linked->second.inode))) return own;
  for (const std::uint32_t other : linked->second.others) {
    auto opened = open_entry(scan.entries, directories, other);
    if (opened && is_inode(*opened, linked->second.inode)) return opened;
  }
  return own;
}

/// Keeps one file open, and its directory.
class DirectoryReader final : public TreeReader {
 public:
  explicit DirectoryReader(Shared& shared)
      : shared_(shared), directories_(shared.scan.entries, shared.scan.root.get(), Mounts::Entered) {}
  ~DirectoryReader() override { static_cast<void>(close()); }

  Outcome<bool> find(const Spot& spot, std::span<std::byte> room, bool named) override {
    auto entered = enter(spot.file);
    if (!entered || !*entered) return entered;
    data_ = room.first(spot.length);
    if (named) hasher_.start();
    for (std::size_t at = 0; at < data_.size(); at += kCached) {
      const auto part = data_.subspan(at, std::min(kCached, data_.size() - at));
      auto read = read_part(spot.file, spot.offset + at, part);
      if (!read || !*read) return read;
      if (named) hasher_.add(part);
    }
    zero_.reset();
    if (named) hash_ = hasher_.finish();
    return true;
  }

  [[nodiscard]] const Digest& hash() const override { return hash_; }
  Outcome<std::span<const Digest>> pieces() override { return hasher_.pieces(); }
  [[nodiscard]] bool is_zero() override {
    if (!zero_) zero_ = all_zero(data_);
    return *zero_;
  }
  Outcome<std::span<const std::byte>> plain() override { return std::span<const std::byte>(data_); }
  Outcome<StoredBytes> stored() override { return StoredBytes{kPlain, data_}; }

  Outcome<bool> read(const Spot& spot, const std::vector<Range>& ranges, Bytes& out) override {
    auto entered = enter(spot.file);
    if (!entered || !*entered) return entered;
    out.clear();
    for (const Range& range : ranges) {
      const std::size_t at = out.size();
      out.resize(at + range.length);
      auto read = read_part(spot.file, spot.offset + range.offset, std::span(out).subspan(at));
      if (!read || !*read) return read;
    }
    return true;
  }

  void announce(const Spot& spot) const override {
    if (spot.file == file_id_)
      ::posix_fadvise(file_.get(), static_cast<off_t>(spot.offset), spot.length, POSIX_FADV_WILLNEED);
  }

  Outcome<void> end() override { return close(); }

 private:
  static constexpr std::uint32_t kNone = 0;  ///< The root is no file.

  /// Opens the file if it is not the open one.
  Outcome<bool> enter(std::uint32_t file) {
    if (file == file_id_) return true;
    if (auto closed = close(); !closed) return failed(closed.error());
    auto opened = open_by_any_name(shared_.scan, directories_, file);
    if (!opened) return cannot(file, opened.error(), "vanished");
    const auto status = status_of(opened->get());
    if (!status) return failed(status.error());
    if (!S_ISREG(status->st_mode)) return cannot(file, {"NotFound", "is no file any more", ""}, "is no file any more");
    file_ = std::move(*opened);
    file_id_ = file;
    if (is_stamp(shared_.scan.entries[file].stamp, *status)) return true;
    if (!shared_.live) return failed(changed(file, "changed after it was listed"));
    shared_.watch.changed(file);
    if (shared_.last_round) return true;
    file_id_ = kNone;
    return false;
  }

  /// One call's worth. A file in use that has become shorter goes on with zero bytes in the last round.
  Outcome<bool> read_part(std::uint32_t file, std::uint64_t offset, std::span<std::byte> out) {
    const ssize_t n = read_at(file_.get(), out, offset);
    if (n < 0) return cannot(file, system_failure(errno, "read"), "cannot be read");
    const auto got = static_cast<std::size_t>(n);
    if (got == out.size()) return true;
    if (!shared_.live) return failed(changed(file, "shrank while it was read"));
    shared_.watch.changed(file);
    if (!shared_.last_round) return false;
    std::memset(out.data() + got, 0, out.size() - got);
    return true;
  }

  Outcome<void> close() {
    if (file_id_ == kNone) return {};
    const std::uint32_t file = std::exchange(file_id_, kNone);
    const Fd closing = std::move(file_);
    const auto status = status_of(closing.get());
    if (!status) return failed(status.error());
    if (is_stamp(shared_.scan.entries[file].stamp, *status)) return {};
    if (!shared_.live) return failed(changed(file, "changed while it was read"));
    shared_.watch.changed(file);
    return {};
  }

  /// A file of a source in use is troubled; of one at rest it ends the copy.
  Outcome<bool> cannot(std::uint32_t file, const Failure& failure, std::string_view how) {
    if (shared_.live) {
      shared_.watch.unreadable(file, failure.message);
      return false;
    }
    if (failure.reason == "NotFound") return failed(changed(file, how));
    return failed({failure.reason, fmt::format("source {}: {}", shared_.scan.entries.path_of(file), failure.message),
                   failure.next});
  }

  [[nodiscard]] Failure changed(std::uint32_t file, std::string_view how) const {
    return source_changed(fmt::format("source {}: {}", shared_.scan.entries.path_of(file), how));
  }

  Shared& shared_;
  DirectoryCursor directories_;
  std::uint32_t file_id_ = kNone;
  Fd file_;
  PieceHasher hasher_;
  std::span<std::byte> data_;
  Digest hash_{};
  std::optional<bool> zero_;
};

class DirectorySource final : public TreeSource {
 public:
  DirectorySource(Scan scan, bool live) {
    shared_.scan = std::move(scan);
    shared_.live = live;
    changes_.unreadable = shared_.scan.unreadable;
  }

  [[nodiscard]] const EntryList& entries() const override { return shared_.scan.entries; }
  [[nodiscard]] EntriesEnd end_of_entries() const override {
    return {entries().size(), entries().data_bytes(), shared_.scan.skipped, shared_.scan.unreadable, shared_.live, ""};
  }
  std::unique_ptr<TreeReader> reader() override { return std::make_unique<DirectoryReader>(shared_); }
  [[nodiscard]] const Changes& changes() const override { return changes_; }

  Outcome<void> restate(const std::vector<std::uint32_t>& troubled, const Tell& tell, const Tick& tick) override {
    std::vector<bool> meant = shared_.watch.take_changed();
    meant.resize(entries().size());
    const Tell say = [&](const Restated& one) {
      take(changes_, one, entries());
      return tell(one);
    };
    if (std::exchange(shared_.last_round, true)) {
      for (const std::uint32_t file : troubled) {
        if (auto said = say({.file = file, .unreadable = shared_.watch.why(file)}); !said) return said;
        meant[file] = false;
      }
    } else {
      for (const std::uint32_t file : troubled) meant[file] = true;
      std::vector<bool> directories(entries().size());
      if (auto looked = look_again(meant, directories, tick); !looked) return looked;
      if (auto said = tell_as_they_are(meant, say, tick); !said) return said;
      meant = std::move(directories);
    }
    for (std::uint32_t id = 0; id < meant.size(); ++id)
      if (meant[id])
        if (auto said = say({.file = id, .entry = entries().entry_of(id), .final = true}); !said) return said;
    return {};
  }

 private:
  /// What is not as it was listed.
  struct Different {
    std::vector<std::uint32_t> files, directories;
  };

  /// Files that nobody has read in this run, or only before they changed: without them a snapshot could hold one file
  /// from before and another from after something, and say that nothing had changed.
  Outcome<void> look_again(std::vector<bool>& files, std::vector<bool>& directories, const Tick& tick) const {
    Pool pool;
    std::deque<std::future<Outcome<Different>>> coming;
    for (std::uint32_t next = 0; next < entries().size() || !coming.empty();) {
      while (next < entries().size() && coming.size() < kChunksAhead) {
        const std::uint32_t count = std::min(kChunk, entries().size() - next);
        coming.push_back(pool.add([this, next, count] { return different_in(next, count); }));
        next += count;
      }
      auto different = pool.wait(coming.front(), tick);
      if (!different) return failed(different.error());
      coming.pop_front();
      for (const std::uint32_t id : different->files) files[id] = true;
      for (const std::uint32_t id : different->directories) directories[id] = true;
    }
    return {};
  }

  Outcome<Different> different_in(std::uint32_t first, std::uint32_t count) const {
    DirectoryCursor directories(entries(), shared_.scan.root.get(), Mounts::Entered);
    Different different;
    for (std::uint32_t id = first; id < first + count; ++id) {
      const EntryType type = entries()[id].type;
      if (type == EntryType::File && !is_same_file(id, directories)) different.files.push_back(id);
      if (type == EntryType::Directory && !is_same_directory(id, directories)) different.directories.push_back(id);
    }
    return different;
  }

  bool is_same_file(std::uint32_t id, DirectoryCursor& directories) const {
    struct stat status {};
    return look_at(id, directories, status) && S_ISREG(status.st_mode) && is_stamp(entries()[id].stamp, status);
  }

  /// False where names came or went since it was listed: one that moved meanwhile may have been listed twice, or never.
  bool is_same_directory(std::uint32_t id, DirectoryCursor& directories) const {
    struct stat status {};
    const Node& entry = entries()[id];
    return look_at(id, directories, status) && S_ISDIR(status.st_mode) &&
           status.st_mtim.tv_sec == entry.mtime_seconds &&
           static_cast<std::uint32_t>(status.st_mtim.tv_nsec) == entry.mtime_nanos;
  }

  bool look_at(std::uint32_t id, DirectoryCursor& directories, struct stat& status) const {
    if (id == 0) return ::fstat(shared_.scan.root.get(), &status) == 0;
    const auto above = directories.enter(entries()[id].parent);
    return above && ::fstatat(*above, entries()[id].name_bytes, &status, AT_SYMLINK_NOFOLLOW) == 0;
  }

  Outcome<void> tell_as_they_are(const std::vector<bool>& files, const Tell& tell, const Tick& tick) {
    DirectoryCursor directories(entries(), shared_.scan.root.get(), Mounts::Entered);
    for (std::uint32_t file = 0; file < files.size(); ++file) {
      if (!files[file]) continue;
      if (auto go_on = tick(); !go_on) return go_on;
      if (auto told = tell(as_it_is_now(file, directories)); !told) return told;
    }
    return {};
  }

  Restated as_it_is_now(std::uint32_t file, DirectoryCursor& directories) {
    Restated restated{.file = file};
    Entry entry = entries().entry_of(file);
    const auto opened = open_by_any_name(shared_.scan, directories, file);
    if (!opened) {
      if (opened.error().reason != "NotFound") restated.unreadable = opened.error().message;
      return restated;
    }
    const auto status = status_of(opened->get());
    if (!status || !S_ISREG(status->st_mode)) return restated;
    if (auto described = describe_again(entry, opened->get(), entries()); !described) {
      restated.unreadable = described.error().message;
      return restated;
    }
    if (auto noted = shared_.scan.entries.restate(file, entry); !noted) {
      restated.unreadable = noted.error().message;
      return restated;
    }
    restated.entry = std::move(entry);
    return restated;
  }

  Shared shared_;
  Changes changes_;
};

}  // namespace

Outcome<std::unique_ptr<TreeSource>> open_directory_source(const Source& source, const std::stop_token& stop,
                                                           const Listed& listed) {
  auto scanned = scan(source, stop, listed);
  if (!scanned) return failed(scanned.error());
  return std::make_unique<DirectorySource>(std::move(*scanned), source.live);
}

}  // namespace roadstead::mover
