#include "mover/live_source.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <set>

#include "mover/directory_cursor.h"
#include "mover/piece_hash.h"

namespace roadstead::mover {
namespace {

constexpr std::size_t kCached = std::size_t{256} << 10;  ///< Hashed while it is still in the CPU's cache.
constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;

bool all_zero(std::span<const std::byte> data) {
  return data.front() == std::byte{0} && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
}

/// Which files of a source in use were seen to change. Safe from several threads.
class Watch {
 public:
  void changed(std::uint32_t file) {
    const std::lock_guard lock(mutex_);
    changed_.insert(file);
  }
  void unreadable(std::uint32_t file, std::string why) {
    const std::lock_guard lock(mutex_);
    why_[file] = std::move(why);
  }
  std::set<std::uint32_t> take_changed() {
    const std::lock_guard lock(mutex_);
    return std::exchange(changed_, {});
  }
  std::string why(std::uint32_t file) {
    const std::lock_guard lock(mutex_);
    const auto found = why_.find(file);
    return found == why_.end() ? "it changes all the time" : found->second;
  }

 private:
  std::mutex mutex_;  // guards what follows
  std::set<std::uint32_t> changed_;
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

bool is_inode(const Fd& file, std::uint64_t inode) {
  const auto status = status_of(file.get());
  return status && status->st_ino == inode;
}

/// The file that was listed, where its first name is gone or another file's by now and it has others; else `own`, which
/// is what the first name leads to.
Outcome<Fd> by_any_name(const Scan& scan, std::uint32_t file, Outcome<Fd> own) {
  const auto linked = scan.linked.find(file);
  if (linked == scan.linked.end() || (own && is_inode(*own, linked->second.inode))) return own;
  for (const std::uint32_t other : linked->second.others) {
    const auto directory = open_entry_directory(scan.entries, scan.root.get(), scan.entries[other].parent);
    if (!directory) continue;
    auto opened = open_file(directory->get(), scan.entries[other].name_bytes);
    if (opened && is_inode(*opened, linked->second.inode)) return opened;
  }
  return own;
}

/// Keeps one file open, and its directory.
class DirectoryReader final : public TreeReader {
 public:
  explicit DirectoryReader(Shared& shared) : shared_(shared) {}
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
    const Node& entry = shared_.scan.entries[file];
    if (!directory_ || directory_id_ != entry.parent) {
      auto directory = open_entry_directory(shared_.scan.entries, shared_.scan.root.get(), entry.parent);
      directory_id_ = directory ? entry.parent : kNone;
      directory_ = directory ? std::move(*directory) : Fd();
    }
    auto opened = by_any_name(shared_.scan, file, open_file(directory_.get(), entry.name_bytes));
    if (!opened) return cannot(file, opened.error(), "vanished");
    const auto status = status_of(opened->get());
    if (!status) return failed(status.error());
    if (!S_ISREG(status->st_mode)) return cannot(file, {"NotFound", "is no file any more", ""}, "is no file any more");
    file_ = std::move(*opened);
    file_id_ = file;
    if (is_stamp(entry.stamp, *status)) return true;
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
    const bool gone = failure.reason == "NotFound" || failure.reason == "NotADirectory";
    if (shared_.live) {
      shared_.watch.unreadable(file, failure.message);
      return false;
    }
    if (gone) return failed(changed(file, how));
    return failed({failure.reason, fmt::format("source {}: {}", shared_.scan.entries.path_of(file), failure.message),
                   failure.next});
  }

  [[nodiscard]] Failure changed(std::uint32_t file, std::string_view how) const {
    return source_changed(fmt::format("source {}: {}", shared_.scan.entries.path_of(file), how));
  }

  Shared& shared_;
  std::uint32_t directory_id_ = kNone;
  Fd directory_;
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

  Outcome<std::vector<Restated>> restate(const std::vector<std::uint32_t>& troubled, const Tick& tick) override {
    std::set<std::uint32_t> files = shared_.watch.take_changed();
    std::vector<Restated> all;
    if (shared_.last_round) {
      for (const std::uint32_t file : troubled) {
        all.push_back({.file = file, .unreadable = shared_.watch.why(file)});
        files.erase(file);
      }
      for (const std::uint32_t file : files)
        all.push_back({.file = file, .entry = entries().entry_of(file), .final = true});
    } else {
      files.insert(troubled.begin(), troubled.end());
      if (auto looked = add_changed_since(files, tick); !looked) return failed(looked.error());
      for (const std::uint32_t file : files) {
        if (auto go_on = tick(); !go_on) return failed(go_on.error());
        all.push_back(as_it_is_now(file));
      }
      for (const std::uint32_t directory : changed_directories_)
        all.push_back({.file = directory, .entry = entries().entry_of(directory), .final = true});
      shared_.last_round = true;
    }
    for (const Restated& one : all) take(changes_, one, entries());
    return all;
  }

 private:
  /// Files that nobody has read in this run, or only before they changed: without them a snapshot could hold one file
  /// from before and another from after something, and say that nothing had changed.
  Outcome<void> add_changed_since(std::set<std::uint32_t>& files, const Tick& tick) {
    DirectoryCursor directories(entries(), shared_.scan.root.get());
    for (std::uint32_t id = 0; id < entries().size(); ++id) {
      const Node& entry = entries()[id];
      if (entry.type != EntryType::File && entry.type != EntryType::Directory) continue;
      if (auto go_on = tick(); !go_on) return go_on;
      if (entry.type == EntryType::Directory) {
        look_at_directory(id, directories);
        continue;
      }
      const auto directory = directories.enter(entry.parent);
      const auto status = directory ? status_of(*directory, entry.name_bytes) : Outcome<std::optional<struct stat>>();
      const bool same = status && *status && S_ISREG((*status)->st_mode) && is_stamp(entry.stamp, **status);
      if (!same) files.insert(id);
    }
    return {};
  }

  /// Names came or went since it was listed: one that moved meanwhile may have been listed twice, or never.
  void look_at_directory(std::uint32_t id, DirectoryCursor& directories) {
    const auto directory = directories.enter(id);
    const auto status = directory ? status_of(*directory) : Outcome<struct stat>(failed(directory.error()));
    const Node& entry = entries()[id];
    if (!status || status->st_mtim.tv_sec != entry.mtime_seconds ||
        static_cast<std::uint32_t>(status->st_mtim.tv_nsec) != entry.mtime_nanos)
      changed_directories_.push_back(id);
  }

  Restated as_it_is_now(std::uint32_t file) {
    Restated restated{.file = file};
    Entry entry = entries().entry_of(file);
    const auto directory = open_entry_directory(entries(), shared_.scan.root.get(), entry.parent);
    const auto opened = by_any_name(
        shared_.scan, file,
        directory ? open_file(directory->get(), entry.name.c_str()) : Outcome<Fd>(failed(directory.error())));
    if (!opened) {
      const std::string& reason = opened.error().reason;
      if (reason != "NotFound" && reason != "NotADirectory") restated.unreadable = opened.error().message;
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
  std::vector<std::uint32_t> changed_directories_;  ///< Since they were listed.
};

}  // namespace

Outcome<std::unique_ptr<TreeSource>> open_directory_source(const Source& source, const std::stop_token& stop,
                                                           const Listed& listed) {
  auto scanned = scan(source, stop, listed);
  if (!scanned) return failed(scanned.error());
  return std::make_unique<DirectorySource>(std::move(*scanned), source.live);
}

}  // namespace roadstead::mover
