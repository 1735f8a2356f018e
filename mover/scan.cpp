#include "mover/scan.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <future>
#include <unordered_map>
#include <unordered_set>

#include "mover/attributes.h"
#include "mover/directory_cursor.h"
#include "mover/filter.h"
#include "mover/pool.h"
#include "mover/settled.h"

namespace roadstead::mover {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
constexpr std::size_t kChunk = 256;       ///< Names that one thread looks at in one go.
constexpr std::size_t kChunksAhead = 16;  ///< Chunks that are looked at before those ahead of them were taken.
/// Directories that are listed before those ahead of them were taken. Their names take less memory than their entries
/// are going to.
constexpr std::size_t kDirectoriesAhead = 8;

/// Where a sparse file has data. The kernel tells; a file system that cannot says "all of it".
/// At most kMaxRanges ranges: beyond them the rest counts as data.
Outcome<std::vector<Range>> ranges_in(int fd, std::uint64_t size) {
  std::vector<Range> ranges;
  std::uint64_t at = 0;
  while (at < size) {
    const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) return failed_call(errno, "find the holes of a file");
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return failed_call(errno, "find the holes of a file");
    const auto begin = static_cast<std::uint64_t>(data);
    const bool last = ranges.size() + 1 == kMaxRanges;
    const std::uint64_t end = last ? size : std::min(static_cast<std::uint64_t>(hole), size);
    if (begin >= end) break;
    ranges.push_back({begin, end - begin});
    at = end;
  }
  return ranges;
}

std::uint64_t allocated_of(const struct stat& status) { return static_cast<std::uint64_t>(status.st_blocks) * 512; }

void take_status(Entry& entry, const struct stat& status) {
  entry.mode = status.st_mode & 07777;
  entry.uid = status.st_uid;
  entry.gid = status.st_gid;
  entry.mtime_seconds = status.st_mtim.tv_sec;
  entry.mtime_nanos = static_cast<std::uint32_t>(status.st_mtim.tv_nsec);
}

void take_file_status(Entry& entry, const struct stat& status, const Settled& settled) {
  entry.size = static_cast<std::uint64_t>(status.st_size);
  entry.stamp = stamp_of(status) | (settled.has(status) ? 0 : kUnsettled);
}

/// Written without its holes, as too many ranges are.
void fit_ranges(Entry& entry, const EntryList& entries) {
  if (entry.ranges.size() <= entries.ranges_left()) return;
  entry.sparse = false;
  entry.ranges.clear();
}

std::optional<EntryType> type_of(const struct stat& status) {
  switch (status.st_mode & S_IFMT) {
    case S_IFDIR:
      return EntryType::Directory;
    case S_IFREG:
      return EntryType::File;
    case S_IFLNK:
      return EntryType::SymbolicLink;
    case S_IFCHR:
      return EntryType::CharacterDevice;
    case S_IFBLK:
      return EntryType::BlockDevice;
    case S_IFIFO:
      return EntryType::Fifo;
    default:
      return std::nullopt;
  }
}

/// One directory's names, and what is needed to look at them.
struct Directory {
  std::uint32_t id = 0;
  Fd fd;
  std::string prefix;              ///< Of its entries' paths.
  std::vector<char> text;          ///< The names, each with a zero byte behind it.
  std::vector<const char*> names;  ///< Sorted, in `text`.

  [[nodiscard]] std::size_t first_chunk() const { return std::min(kChunk, names.size()); }
};

/// What one thread found out about one name.
struct Seen {
  const char* name = nullptr;  ///< The directory's.
  Entry entry;                 ///< Without its name.
  std::uint64_t inode = 0;
  std::uint64_t allocated = 0;
  bool linked = false;               ///< Has more than one name.
  bool foreign = false;              ///< On another file system.
  std::vector<std::string> skipped;  ///< Told: the entry itself, or attributes.
  std::string unreadable;            ///< Told: the path and why, of a live source.
  bool taken = false;                ///< False: no entry comes of it.
};

/// A look at some names of a directory.
struct Chunk {
  std::shared_ptr<const Directory> directory;
  std::vector<Seen> seen;
  std::optional<Failure> unlisted;  ///< Why the directory's names cannot be had.
};

Outcome<void> read_names(Directory& directory) {
  const int fd = ::openat(directory.fd.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);  // an offset of its own
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fd < 0 ? nullptr : ::fdopendir(fd), ::closedir);
  if (!stream) return failed_call(errno, "list a directory");
  std::vector<std::size_t> begins;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    begins.push_back(directory.text.size());
    directory.text.insert(directory.text.end(), name.begin(), name.end());
    directory.text.push_back('\0');
    errno = 0;
  }
  if (errno != 0) return failed_call(errno, "list a directory");
  directory.names.reserve(begins.size());
  for (const std::size_t begin : begins) directory.names.push_back(directory.text.data() + begin);
  std::sort(directory.names.begin(), directory.names.end(),
            [](const char* a, const char* b) { return std::strcmp(a, b) < 0; });
  return {};
}

/// Lists directories and looks at names; safe from several threads.
class Looker {
 public:
  Looker(const Source& source, dev_t device, const Settled& settled)
      : live_(source.live), device_(device), settled_(settled) {
    if (!source.exclude.empty() || source.keep_wal) filter_.emplace(source);
  }

  /// And a look at the first names: most directories have no more.
  Outcome<Chunk> list(const std::shared_ptr<Directory>& directory) const {
    if (auto read = read_names(*directory); !read) return Chunk{directory, {}, std::move(read.error())};
    return look(directory, 0, directory->first_chunk());
  }

  Outcome<Chunk> look(std::shared_ptr<const Directory> directory, std::size_t first, std::size_t count) const {
    Chunk chunk{std::move(directory), {}, {}};
    chunk.seen.reserve(count);
    for (std::size_t i = first; i < first + count; ++i) {
      Seen& seen = chunk.seen.emplace_back();
      seen.name = chunk.directory->names[i];
      if (auto looked = look_at(*chunk.directory, seen); !looked) return failed(looked.error());
      if (!seen.taken && seen.skipped.empty() && seen.unreadable.empty()) chunk.seen.pop_back();
    }
    return chunk;
  }

 private:
  Outcome<void> look_at(const Directory& directory, Seen& seen) const {
    const int at = directory.fd.get();
    struct stat status {};
    if (::fstatat(at, seen.name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return vanished(directory, seen);
      return failed_call(errno, "look at {}", seen.name);
    }
    if (filter_ && !filter_->takes(directory.prefix + seen.name, S_ISDIR(status.st_mode))) return {};
    const auto type = type_of(status);
    if (!type) {
      seen.skipped.push_back(directory.prefix + seen.name);
      return {};
    }
    seen.inode = status.st_ino;
    seen.foreign = status.st_dev != device_;
    seen.linked = status.st_nlink > 1 && !S_ISDIR(status.st_mode) && !seen.foreign;
    if (seen.foreign)
      seen.skipped.push_back(fmt::format("{}{} (the content of another file system)", directory.prefix, seen.name));
    Entry& entry = seen.entry;
    entry.type = *type;
    entry.parent = directory.id;
    take_status(entry, status);
    if (*type == EntryType::CharacterDevice || *type == EntryType::BlockDevice) {
      entry.major = major(status.st_rdev);
      entry.minor = minor(status.st_rdev);
    }
    if (*type == EntryType::SymbolicLink)
      if (auto described = describe_link(seen, at); !described) return vanished(directory, seen);
    if (*type == EntryType::File) {
      seen.allocated = allocated_of(status);
      if (auto described = describe_file(seen, at, status); !described)
        return gone_or(described.error(), directory, seen);
    }
    std::vector<std::string> others;
    auto attributes = attributes_.of(at, seen.name, &others);
    if (!attributes) return gone_or(attributes.error(), directory, seen);
    entry.attributes = std::move(*attributes);
    for (const std::string& other : others)
      seen.skipped.push_back(fmt::format("{}{} (attribute {})", directory.prefix, seen.name, other));
    seen.taken = true;
    return {};
  }

  Outcome<void> describe_file(Seen& seen, int at, const struct stat& status) const {
    Entry& entry = seen.entry;
    take_file_status(entry, status, settled_);
    if (allocated_of(status) >= entry.size) return {};
    const Fd file(::openat(at, seen.name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return failed_call(errno, "open");
    auto ranges = ranges_in(file.get(), entry.size);
    if (!ranges) return failed(ranges.error());
    entry.sparse = true;
    entry.ranges = std::move(*ranges);
    return {};
  }

  static Outcome<void> describe_link(Seen& seen, int at) {
    std::string target(kMaxLinkTarget + 1, '\0');
    const ssize_t n = ::readlinkat(at, seen.name, target.data(), target.size());
    if (n <= 0) return failed_call(n < 0 ? errno : ENOENT, "read a symbolic link");
    target.resize(static_cast<std::size_t>(n));
    seen.entry.link_target = std::move(target);
    return {};
  }

  /// A live tree loses names all the time; from one at rest it is not a copy any more.
  Outcome<void> vanished(const Directory& directory, Seen& seen) const {
    if (!live_)
      return failed(
          source_changed(fmt::format("source {}{}: vanished while it was listed", directory.prefix, seen.name)));
    seen.skipped.clear();
    return {};
  }

  Outcome<void> gone_or(const Failure& failure, const Directory& directory, Seen& seen) const {
    if (failure.reason == "NotFound" || failure.reason == "SourceChanged") return vanished(directory, seen);
    if (!live_)
      return failed(
          {failure.reason, fmt::format("source {}{}: {}", directory.prefix, seen.name, failure.message), failure.next});
    seen.skipped.clear();
    // What cannot be looked at cannot be read either.
    seen.unreadable = fmt::format("{}{} ({})", directory.prefix, seen.name, failure.message);
    return {};
  }

  std::optional<Filter> filter_;
  bool live_;
  dev_t device_;
  Settled settled_;
  NameAttributes attributes_;
};

class Scanner {
 public:
  Scanner(const Source& source, Scan& scan, const std::stop_token& stop, const Listed& listed)
      : source_(source),
        scan_(scan),
        stop_(stop),
        listed_(listed),
        tick_([this]() -> Outcome<void> {
          if (stop_.stop_requested()) return failed(cancelled());
          return listed_ ? listed_(scan_) : Outcome<void>{};
        }),
        directories_(scan.entries, scan.root.get(), Mounts::Entered) {}

  Outcome<void> run() {
    if (auto added = add_root(); !added) return added;
    looker_.emplace(source_, device_, Settled::before_now(scan_.root.get(), source_.settle_seconds));
    Pool pool;  // ends before what its work reads
    for (;;) {
      if (auto begun = begin_directories(pool); !begun) return begun;
      begin_chunks(pool);
      if (coming_.empty() && listings_.empty()) return tick_();
      if (auto taken = coming_.empty() ? take_directory(pool) : take_chunk(pool); !taken) return taken;
    }
  }

 private:
  Outcome<void> add_root() {
    const auto status = status_of(scan_.root.get());
    if (!status) return failed(status.error());
    device_ = status->st_dev;
    Entry root{.type = EntryType::Directory};
    take_status(root, *status);
    std::vector<std::string> others;
    auto attributes = attributes_of(scan_.root.get(), &others);
    if (!attributes) return failed(attributes.error());
    root.attributes = std::move(*attributes);
    for (const std::string& other : others) tell(scan_.skipped, fmt::format(". (attribute {})", other));
    return add(root);
  }

  Outcome<Fd> open(std::uint32_t id) {
    if (id == 0) return open_source_directory(scan_.root.get(), ".");
    const auto above = directories_.enter(scan_.entries[id].parent);
    if (!above) return failed(above.error());
    return open_source_directory(*above, scan_.entries[id].name_bytes);
  }

  Outcome<void> begin_directories(Pool& pool) {
    for (; listings_.size() < kDirectoriesAhead && next_id_ < scan_.entries.size(); ++next_id_) {
      if (scan_.entries[next_id_].type != EntryType::Directory || foreign_.contains(next_id_)) continue;
      auto fd = open(next_id_);
      if (!fd) {
        if (auto may = gone_or(fd.error(), next_id_); !may) return may;
        continue;
      }
      auto directory = std::make_shared<Directory>();
      directory->id = next_id_;
      directory->fd = std::move(*fd);
      if (next_id_ != 0) directory->prefix = scan_.entries.path_of(next_id_) + "/";
      listings_.push_back(pool.add([this, directory] { return looker_->list(directory); }));
    }
    return {};
  }

  /// Of the directory that was taken last.
  void begin_chunks(Pool& pool) {
    while (directory_ && coming_.size() < kChunksAhead) {
      const std::size_t count = std::min(kChunk, directory_->names.size() - next_name_);
      if (count > 0)
        coming_.push_back(pool.add([this, directory = directory_, first = next_name_, count] {
          return looker_->look(directory, first, count);
        }));
      next_name_ += count;
      if (next_name_ == directory_->names.size()) directory_.reset();
    }
  }

  Outcome<void> take_directory(Pool& pool) {
    auto next = std::move(listings_.front());
    listings_.pop_front();
    auto listing = pool.wait(next, tick_);
    if (!listing) return failed(listing.error());
    if (listing->unlisted) return gone_or(*listing->unlisted, listing->directory->id);
    directory_ = listing->directory;
    next_name_ = directory_->first_chunk();
    begin_chunks(pool);  // which are looked at while these are taken
    return take_all(*listing);
  }

  Outcome<void> take_chunk(Pool& pool) {
    auto next = std::move(coming_.front());
    coming_.pop_front();
    auto chunk = pool.wait(next, tick_);
    if (!chunk) return failed(chunk.error());
    return take_all(*chunk);
  }

  Outcome<void> gone_or(const Failure& failure, std::uint32_t id) {
    const std::string path = scan_.entries.path_of(id);
    if (source_.live && id != 0) {
      tell(scan_.unreadable, fmt::format("{}/ ({})", path, failure.message));
      return {};
    }
    if (failure.reason == "NotFound")
      return failed(source_changed(fmt::format("source {}: vanished while it was listed", path)));
    return failed({failure.reason, fmt::format("source {}: {}", path, failure.message), failure.next});
  }

  Outcome<void> take_all(Chunk& chunk) {
    for (Seen& seen : chunk.seen)
      if (auto taken = take(seen); !taken) return taken;
    return {};
  }

  Outcome<void> take(Seen& seen) {
    for (std::string& one : seen.skipped) tell(scan_.skipped, std::move(one));
    if (!seen.unreadable.empty()) tell(scan_.unreadable, std::move(seen.unreadable));
    if (!seen.taken) return {};
    Entry& entry = seen.entry;
    if (seen.linked) take_link(seen);
    if (entry.type == EntryType::File) scan_.allocated_bytes += seen.allocated;
    fit_ranges(entry, scan_.entries);
    // A directory of another file system stays empty: its status has the mounted root's device.
    if (seen.foreign) foreign_.insert(scan_.entries.size());
    name_.assign(seen.name);
    entry.name.swap(name_);
    auto added = add(entry);
    entry.name.swap(name_);  // with its memory
    return added;
  }

  /// One more name of what was taken by another one becomes a hard link.
  void take_link(Seen& seen) {
    const auto [first, fresh] = links_.try_emplace(seen.inode, scan_.entries.size());
    if (fresh) return;
    LinkedNames& names = scan_.linked[first->second];
    names.inode = seen.inode;
    names.others.push_back(scan_.entries.size());
    Entry& entry = seen.entry;
    entry.type = EntryType::HardLink;
    entry.link_to = first->second;
    entry.size = entry.stamp = 0;
    entry.major = entry.minor = 0;
    entry.link_target.clear();
    entry.sparse = false;
    entry.ranges.clear();
    entry.attributes.clear();
  }

  Outcome<void> add(const Entry& entry) {
    if (auto added = scan_.entries.add(entry); !added)
      return failed("TooLarge", fmt::format("source {}: {}", entry.name, added.error().message),
                    "exclude what is too deep or too much");
    return {};
  }

  const Source& source_;
  Scan& scan_;
  const std::stop_token& stop_;
  const Listed& listed_;
  const Tick tick_;
  DirectoryCursor directories_;
  dev_t device_ = 0;
  std::optional<Looker> looker_;
  /// Files of more than one name by inode: their first entry.
  std::unordered_map<std::uint64_t, std::uint32_t> links_;
  std::unordered_set<std::uint32_t> foreign_;         ///< Directories that are not looked into.
  std::uint32_t next_id_ = 0;                         ///< The entry from which on directories are not begun yet.
  std::deque<std::future<Outcome<Chunk>>> listings_;  ///< In the order of the list,
  std::shared_ptr<const Directory> directory_;        ///< after what is left of this one,
  std::size_t next_name_ = 0;                         ///< from this name on,
  std::deque<std::future<Outcome<Chunk>>> coming_;    ///< and after these of it.
  std::string name_;                                  ///< Kept for its memory.
};

}  // namespace

void tell(Told& told, std::string name) {
  ++told.count;
  if (told.names.size() < Told::kNamed) told.names.push_back(std::move(name));
}

std::uint64_t stamp_of(const struct stat& status) {
  const auto time = static_cast<std::uint64_t>(status.st_ctim.tv_sec * kNanos + status.st_ctim.tv_nsec);
  return (time ^ (status.st_ino * 0x9e3779b97f4a7c15U)) & ~kUnsettled;
}

bool is_stamp(std::uint64_t stamp, const struct stat& status) { return (stamp & ~kUnsettled) == stamp_of(status); }

Outcome<Scan> scan(const Source& source, const std::stop_token& stop, const Listed& listed) {
  Scan result;
  auto root = open_root(source.path);
  if (!root) return failed(root.error());
  result.root = std::move(*root);
  if (auto done = Scanner(source, result, stop, listed).run(); !done) return failed(done.error());
  return result;
}

Outcome<void> describe_again(Entry& entry, int fd, const EntryList& entries) {
  const auto status = status_of(fd);
  if (!status) return failed(status.error());
  take_status(entry, *status);
  take_file_status(entry, *status, Settled());
  entry.sparse = allocated_of(*status) < entry.size;
  entry.ranges.clear();
  if (entry.sparse) {
    auto ranges = ranges_in(fd, entry.size);
    if (!ranges) return failed(ranges.error());
    entry.ranges = std::move(*ranges);
    fit_ranges(entry, entries);
  }
  auto attributes = attributes_of(fd, nullptr);
  if (!attributes) return failed(attributes.error());
  entry.attributes = std::move(*attributes);
  return {};
}

}  // namespace roadstead::mover
