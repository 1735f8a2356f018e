#include "mover/scan.h"

#include <fcntl.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "mover/attributes.h"
#include "mover/filter.h"
#include "mover/settled.h"

namespace roadstead::mover {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
constexpr std::size_t kChunk = 256;  ///< Names that one thread looks at in one go.
constexpr std::size_t kAhead = 16;   ///< Chunks that are looked at before those ahead of them were taken.
constexpr unsigned kMaxThreads = 4;

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
  std::string prefix;  ///< Of its entries' paths.
  std::vector<std::string> names;
};

/// What one thread found out about one name.
struct Seen {
  Entry entry;
  std::uint64_t inode = 0;
  std::uint64_t allocated = 0;
  bool linked = false;               ///< Has more than one name.
  bool foreign = false;              ///< On another file system.
  std::vector<std::string> skipped;  ///< Told: the entry itself, or attributes.
  std::string unreadable;            ///< Told: the path and why, of a live source.
  bool taken = false;                ///< False: no entry comes of it.
};

using Chunk = std::vector<Seen>;

/// Looks at names; safe from several threads.
class Looker {
 public:
  Looker(const Source& source, dev_t device, const Settled& settled)
      : filter_(source), live_(source.live), device_(device), settled_(settled) {}

  Outcome<Chunk> look(const Directory& directory, std::size_t first, std::size_t count) const {
    Chunk chunk;
    chunk.reserve(count);
    for (std::size_t i = first; i < first + count; ++i) {
      auto seen = look_at(directory, directory.names[i]);
      if (!seen) return failed(seen.error());
      if (seen->taken || !seen->skipped.empty() || !seen->unreadable.empty()) chunk.push_back(std::move(*seen));
    }
    return chunk;
  }

 private:
  Outcome<Seen> look_at(const Directory& directory, const std::string& name) const {
    Seen seen;
    const int at = directory.fd.get();
    const auto found = status_of(at, name);
    if (!found) return failed(found.error());
    if (!*found) return vanished(directory, name);
    const struct stat& status = **found;
    const std::string path = directory.prefix + name;
    if (!filter_.takes(path, S_ISDIR(status.st_mode))) return seen;
    const auto type = type_of(status);
    if (!type) {
      seen.skipped.push_back(path);
      return seen;
    }
    Entry& entry = seen.entry;
    entry.type = *type;
    entry.parent = directory.id;
    entry.name = name;
    seen.inode = status.st_ino;
    seen.foreign = status.st_dev != device_;
    seen.linked = status.st_nlink > 1 && !S_ISDIR(status.st_mode) && !seen.foreign;
    if (seen.foreign) seen.skipped.push_back(path + " (the content of another file system)");
    take_status(entry, status);
    if (*type == EntryType::CharacterDevice || *type == EntryType::BlockDevice) {
      entry.major = major(status.st_rdev);
      entry.minor = minor(status.st_rdev);
    }
    if (*type == EntryType::SymbolicLink)
      if (auto described = describe_link(entry, at); !described) return vanished(directory, name);
    if (*type == EntryType::File) {
      seen.allocated = allocated_of(status);
      if (auto described = describe_file(entry, at, status); !described)
        return gone_or(described.error(), directory, name);
    }
    std::vector<std::string> others;
    auto attributes = attributes_of(at, name.c_str(), &others);
    if (!attributes) return gone_or(attributes.error(), directory, name);
    entry.attributes = std::move(*attributes);
    for (const std::string& other : others) seen.skipped.push_back(fmt::format("{} (attribute {})", path, other));
    seen.taken = true;
    return seen;
  }

  Outcome<void> describe_file(Entry& entry, int at, const struct stat& status) const {
    take_file_status(entry, status, settled_);
    if (allocated_of(status) >= entry.size) return {};
    const Fd file(::openat(at, entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return failed_call(errno, "open");
    auto ranges = ranges_in(file.get(), entry.size);
    if (!ranges) return failed(ranges.error());
    entry.sparse = true;
    entry.ranges = std::move(*ranges);
    return {};
  }

  static Outcome<void> describe_link(Entry& entry, int at) {
    std::string target(kMaxLinkTarget + 1, '\0');
    const ssize_t n = ::readlinkat(at, entry.name.c_str(), target.data(), target.size());
    if (n <= 0) return failed_call(n < 0 ? errno : ENOENT, "read a symbolic link");
    target.resize(static_cast<std::size_t>(n));
    entry.link_target = std::move(target);
    return {};
  }

  /// A live tree loses names all the time; from one at rest it is not a copy any more.
  Outcome<Seen> vanished(const Directory& directory, const std::string& name) const {
    if (live_) return Seen{};
    return failed(source_changed(fmt::format("source {}: vanished while it was listed", directory.prefix + name)));
  }

  Outcome<Seen> gone_or(const Failure& failure, const Directory& directory, const std::string& name) const {
    if (failure.reason == "NotFound" || failure.reason == "SourceChanged") return vanished(directory, name);
    if (!live_)
      return failed(
          {failure.reason, fmt::format("source {}: {}", directory.prefix + name, failure.message), failure.next});
    Seen seen;  // what cannot be looked at cannot be read either
    seen.unreadable = fmt::format("{} ({})", directory.prefix + name, failure.message);
    return seen;
  }

  Filter filter_;
  bool live_;
  dev_t device_;
  Settled settled_;
};

/// Runs tasks on some threads, in the order in which they come.
class Pool {
 public:
  explicit Pool(unsigned threads) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  }

  std::future<Outcome<Chunk>> add(std::packaged_task<Outcome<Chunk>()> task) {
    auto future = task.get_future();
    {
      const std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
    return future;
  }

 private:
  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [&] { return !tasks_.empty(); })) {
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      lock.lock();
    }
  }

  std::mutex mutex_;  // guards tasks_
  std::condition_variable_any wake_;
  std::deque<std::packaged_task<Outcome<Chunk>()>> tasks_;
  std::vector<std::jthread> threads_;
};

class Scanner {
 public:
  Scanner(const Source& source, Scan& scan, const std::stop_token& stop, const Listed& listed)
      : source_(source), scan_(scan), stop_(stop), listed_(listed) {}

  Outcome<void> run() {
    if (auto added = add_root(); !added) return added;
    looker_.emplace(source_, device_, Settled::before_now(scan_.root.get(), source_.settle_seconds));
    Pool pool(std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads));  // joined before what its tasks read
    for (;;) {
      if (auto begun = begin_chunks(pool); !begun) return begun;
      if (coming_.empty()) return {};
      auto chunk = coming_.front().get();
      coming_.pop_front();
      if (!chunk) return failed(chunk.error());
      if (stop_.stop_requested()) return failed(cancelled());
      for (Seen& seen : *chunk)
        if (auto taken = take(std::move(seen)); !taken) return taken;
      if (listed_)
        if (auto told = listed_(scan_); !told) return told;
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

  /// Lists directories whose turn has come until enough names are being looked at.
  Outcome<void> begin_chunks(Pool& pool) {
    while (coming_.size() < kAhead) {
      if (!directory_ || next_name_ == directory_->names.size()) {
        const auto more = next_directory();
        if (!more) return failed(more.error());
        if (!*more) return {};
        if (stop_.stop_requested()) return failed(cancelled());
        if (listed_)  // empty directories make no chunks, and many of them take long
          if (auto told = listed_(scan_); !told) return told;
        continue;
      }
      const std::size_t count = std::min(kChunk, directory_->names.size() - next_name_);
      coming_.push_back(
          pool.add(std::packaged_task<Outcome<Chunk>()>([this, directory = directory_, first = next_name_, count] {
            return looker_->look(*directory, first, count);
          })));
      next_name_ += count;
    }
    return {};
  }

  /// False: none that is listed yet.
  Outcome<bool> next_directory() {
    directory_.reset();
    next_name_ = 0;
    while (next_id_ < scan_.entries.size() &&
           (scan_.entries[next_id_].type != EntryType::Directory || foreign_[next_id_]))
      ++next_id_;
    if (next_id_ == scan_.entries.size()) return false;
    const std::uint32_t id = next_id_++;
    auto fd = open_entry_directory(scan_.entries, scan_.root.get(), id);
    if (!fd) return gone_or(fd.error(), id);
    auto names = names_in(fd->get());
    if (!names) return gone_or(names.error(), id);
    std::sort(names->begin(), names->end());
    auto directory = std::make_shared<Directory>();
    directory->id = id;
    directory->fd = std::move(*fd);
    directory->prefix = id == 0 ? "" : scan_.entries.path_of(id) + "/";
    directory->names = std::move(*names);
    directory_ = std::move(directory);
    return true;
  }

  Outcome<bool> gone_or(const Failure& failure, std::uint32_t id) {
    const std::string path = scan_.entries.path_of(id);
    if (source_.live) {
      tell(scan_.unreadable, fmt::format("{}/ ({})", path, failure.message));
      return true;
    }
    if (failure.reason != "NotFound") return failed(failure);
    return failed(source_changed(fmt::format("source {}: vanished while it was listed", path)));
  }

  Outcome<void> take(Seen seen) {
    for (std::string& one : seen.skipped) tell(scan_.skipped, std::move(one));
    if (!seen.unreadable.empty()) tell(scan_.unreadable, std::move(seen.unreadable));
    if (!seen.taken) return {};
    Entry& entry = seen.entry;
    if (seen.linked) {
      const auto [first, fresh] = links_.try_emplace(seen.inode, scan_.entries.size());
      if (!fresh) {
        LinkedNames& names = scan_.linked[first->second];
        names.inode = seen.inode;
        names.others.push_back(scan_.entries.size());
        entry.type = EntryType::HardLink;
        entry.link_to = first->second;
        entry.size = entry.stamp = 0;
        entry.major = entry.minor = 0;
        entry.link_target.clear();
        entry.sparse = false;
        entry.ranges.clear();
        entry.attributes.clear();
      }
    }
    if (entry.type == EntryType::File) scan_.allocated_bytes += seen.allocated;
    fit_ranges(entry, scan_.entries);
    // A directory of another file system stays empty: its status has the mounted root's device.
    foreign_.resize(scan_.entries.size() + 1, false);
    foreign_.back() = seen.foreign;
    return add(entry);
  }

  Outcome<void> add(const Entry& entry) {
    if (foreign_.empty()) foreign_.push_back(false);
    if (auto added = scan_.entries.add(entry); !added)
      return failed("TooLarge", fmt::format("source {}: {}", entry.name, added.error().message),
                    "exclude what is too deep or too much");
    return {};
  }

  const Source& source_;
  Scan& scan_;
  const std::stop_token& stop_;
  const Listed& listed_;
  dev_t device_ = 0;
  std::optional<Looker> looker_;
  std::unordered_map<std::uint64_t, std::uint32_t>
      links_;                                       ///< Files of more than one name by inode: their first entry.
  std::vector<bool> foreign_;                       ///< By entry.
  std::uint32_t next_id_ = 0;                       ///< The entry from which on directories are not listed yet.
  std::shared_ptr<const Directory> directory_;      ///< The last one listed,
  std::size_t next_name_ = 0;                       ///< and its first name that nobody looks at yet.
  std::deque<std::future<Outcome<Chunk>>> coming_;  ///< In the order of the list.
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

Outcome<Fd> open_entry_directory(const EntryList& entries, int root, std::uint32_t directory) {
  std::vector<std::uint32_t> chain;
  for (std::uint32_t id = directory; id != 0; id = entries[id].parent) chain.push_back(id);
  auto at = open_directory(root, ".");
  for (auto id = chain.rbegin(); at && id != chain.rend(); ++id)
    at = open_directory(at->get(), std::string(entries[*id].name()));
  return at;
}

}  // namespace roadstead::mover
