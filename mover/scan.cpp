#include "mover/scan.h"

#include <fcntl.h>

#include <algorithm>
#include <unordered_map>

namespace roadstead::mover {
namespace {

constexpr std::int64_t kNanos = 1'000'000'000;
constexpr std::uint32_t kTellEvery = 512;  ///< Entries.

/// Where a sparse file has data. The kernel tells; a file system that cannot says "all of it".
/// At most `most` ranges, which is not 0: beyond them the rest counts as data.
Outcome<std::vector<Range>> ranges_in(int fd, std::uint64_t size, std::size_t most) {
  std::vector<Range> ranges;
  std::uint64_t at = 0;
  while (at < size) {
    const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) return failed_call(errno, "find the holes of a file");
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return failed_call(errno, "find the holes of a file");
    const auto begin = static_cast<std::uint64_t>(data);
    const std::uint64_t end = ranges.size() + 1 == most ? size : std::min(static_cast<std::uint64_t>(hole), size);
    if (begin >= end) break;
    ranges.push_back({begin, end - begin});
    at = end;
  }
  return ranges;
}

class Scanner {
 public:
  Scanner(const Source& source, Scan& scan, const std::stop_token& stop, const Listed& listed)
      : filter_(source), scan_(scan), stop_(stop), listed_(listed) {}

  Outcome<void> add_root(const struct stat& status) {
    device_ = status.st_dev;
    return add(Entry{.type = EntryType::Directory}, status);
  }

  /// Lists one directory; its sub-directories are entries then, to be listed later.
  Outcome<void> list(std::uint32_t directory) {
    auto opened = open_entry_directory(scan_.entries, scan_.root.get(), directory);
    if (!opened) return gone_or(opened.error(), directory);
    auto names = names_in(opened->get());
    if (!names) return gone_or(names.error(), directory);
    std::sort(names->begin(), names->end());
    const std::string prefix = directory == 0 ? "" : scan_.entries.path_of(directory) + "/";
    for (std::string& name : *names) {
      if (stop_.stop_requested()) return failed(cancelled());
      if (auto done = take(opened->get(), directory, prefix, std::move(name)); !done) return done;
      if (listed_ && scan_.entries.size() % kTellEvery == 0)
        if (auto told = listed_(scan_); !told) return told;
    }
    return {};
  }

  [[nodiscard]] bool is_foreign(std::uint32_t id) const { return foreign_[id]; }

 private:
  Outcome<void> take(int at, std::uint32_t parent, const std::string& prefix, std::string name) {
    const std::string path = prefix + name;
    const auto found = status_of(at, name);
    if (!found) return failed(found.error());
    if (!*found) return failed(source_changed(fmt::format("source {}: vanished while it was listed", path)));
    const struct stat& status = **found;
    if (!filter_.takes(path, S_ISDIR(status.st_mode))) return {};
    Entry entry{.parent = parent, .name = std::move(name)};
    switch (status.st_mode & S_IFMT) {
      case S_IFDIR:
        entry.type = EntryType::Directory;
        break;
      case S_IFREG:
        if (auto done = describe_file(entry, at, status, path); !done) return done;
        break;
      case S_IFLNK:
        if (auto done = describe_symbolic_link(entry, at, path); !done) return done;
        break;
      default:
        skip(path);
        return {};
    }
    if (status.st_dev != device_) skip(path + " (the content of another file system)");
    return add(std::move(entry), status);
  }

  Outcome<void> describe_file(Entry& entry, int at, const struct stat& status, const std::string& path) {
    if (status.st_nlink > 1) {
      const auto [first, fresh] = links_.try_emplace(status.st_ino, scan_.entries.size());
      if (!fresh) {
        entry.type = EntryType::HardLink;
        entry.link_to = first->second;
        return {};
      }
    }
    entry.type = EntryType::File;
    entry.size = static_cast<std::uint64_t>(status.st_size);
    entry.stamp = static_cast<std::uint64_t>(status.st_ctim.tv_sec * kNanos + status.st_ctim.tv_nsec) ^
                  (status.st_ino * 0x9e3779b97f4a7c15U);
    const auto allocated = static_cast<std::uint64_t>(status.st_blocks) * 512;
    scan_.allocated_bytes += allocated;
    const std::size_t most = std::min(kMaxRanges, scan_.entries.ranges_left());
    if (allocated >= entry.size || most == 0) return {};
    const Fd file(::openat(at, entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return failed(source_changed(fmt::format("source {}: cannot be opened any more", path)));
    auto ranges = ranges_in(file.get(), entry.size, most);
    if (!ranges) return failed(ranges.error());
    entry.sparse = true;
    entry.ranges = std::make_shared<const std::vector<Range>>(std::move(*ranges));
    return {};
  }

  Outcome<void> describe_symbolic_link(Entry& entry, int at, const std::string& path) {
    std::string target(kMaxLinkTarget + 1, '\0');
    const ssize_t n = ::readlinkat(at, entry.name.c_str(), target.data(), target.size());
    if (n <= 0) return failed(source_changed(fmt::format("source {}: is no symbolic link any more", path)));
    target.resize(static_cast<std::size_t>(n));
    entry.type = EntryType::SymbolicLink;
    entry.link_target = std::make_shared<const std::string>(std::move(target));
    return {};
  }

  Outcome<void> add(Entry entry, const struct stat& status) {
    entry.mode = status.st_mode & 07777;
    entry.uid = status.st_uid;
    entry.gid = status.st_gid;
    entry.mtime_seconds = status.st_mtim.tv_sec;
    entry.mtime_nanos = static_cast<std::uint32_t>(status.st_mtim.tv_nsec);
    const std::string name = entry.name;
    if (auto added = scan_.entries.add(std::move(entry)); !added)
      return failed("TooLarge", fmt::format("source {}: {}", name, added.error().message),
                    "exclude what is too deep or too much");
    scan_.identities.push_back(identity_of(status));
    // A directory of another file system stays empty: its status has the mounted root's device.
    foreign_.push_back(status.st_dev != device_);
    return {};
  }

  void skip(const std::string& path) {
    ++scan_.skipped.count;
    if (scan_.skipped.names.size() < Skipped::kNamed) scan_.skipped.names.push_back(path);
  }

  Outcome<void> gone_or(const Failure& failure, std::uint32_t directory) const {
    if (failure.reason != "NotFound") return failed(failure);
    return failed(
        source_changed(fmt::format("source {}: vanished while it was listed", scan_.entries.path_of(directory))));
  }

  Filter filter_;
  Scan& scan_;
  const std::stop_token& stop_;
  const Listed& listed_;
  dev_t device_ = 0;
  std::unordered_map<ino_t, std::uint32_t> links_;  ///< Files of more than one name by inode: their first entry.
  std::vector<bool> foreign_;
};

}  // namespace

Identity identity_of(const struct stat& status) {
  return {status.st_ino, status.st_ctim.tv_sec * kNanos + status.st_ctim.tv_nsec};
}

Outcome<Scan> scan(const Source& source, const std::stop_token& stop, const Listed& listed) {
  Scan result;
  auto root = open_root(source.path);
  if (!root) return failed(root.error());
  result.root = std::move(*root);
  const auto status = status_of(result.root.get());
  if (!status) return failed(status.error());
  Scanner scanner(source, result, stop, listed);
  if (auto added = scanner.add_root(*status); !added) return failed(added.error());
  for (std::uint32_t id = 0; id < result.entries.size(); ++id) {
    if (result.entries[id].type != EntryType::Directory || scanner.is_foreign(id)) continue;
    if (auto done = scanner.list(id); !done) return failed(done.error());
  }
  return result;
}

Outcome<Fd> open_entry_directory(const EntryList& entries, int root, std::uint32_t directory) {
  std::vector<std::uint32_t> chain;
  for (std::uint32_t id = directory; id != 0; id = entries[id].parent) chain.push_back(id);
  auto at = open_directory(root, ".");
  for (auto id = chain.rbegin(); at && id != chain.rend(); ++id) at = open_directory(at->get(), entries[*id].name);
  return at;
}

}  // namespace roadstead::mover
