#include "mover/keystone.h"

#include <fcntl.h>

#include <algorithm>

#include "mover/metadata.h"

namespace roadstead::mover {
namespace {

constexpr std::size_t kLimit = std::size_t{64} << 20;

/// The first component, taken off.
std::string take_name(std::string_view& path) {
  const std::size_t slash = path.find('/');
  std::string name(path.substr(0, slash));
  path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
  return name;
}

Outcome<void> dress_and_sync(int fd, const EntryList& entries, std::uint32_t id) {
  const auto now = status_of(fd);
  if (!now) return failed(now.error());
  if (auto given = give_metadata(fd, entries, id, *now, Attributes::Unknown); !given) return given;
  if (::fsync(fd) != 0) return failed_call(errno, "sync {}", name_of(entries, id));
  return {};
}

}  // namespace

std::uint32_t entry_at(const EntryList& entries, std::string_view path) {
  std::uint32_t id = 0;
  while (!path.empty()) {
    if (entries[id].type != EntryType::Directory) return 0;
    id = entries.find(id, take_name(path));
    if (id == 0) return 0;
  }
  return id;
}

Outcome<Keystone> Keystone::find(const EntryList& entries, const std::string& path) {
  const std::uint32_t id = entry_at(entries, path);
  const auto refuse = [&](std::string_view why) {
    return failed("Refused", fmt::format("{} {} in the source", path, why),
                  "make sure that the source is a whole copy of what the volume holds; nothing was touched");
  };
  if (id == 0 || entries[id].type != EntryType::File) return refuse("is no file");
  for (std::uint32_t other = id; other < entries.size(); ++other)
    if (entries[other].type == EntryType::HardLink && entries[other].link_to() == id)
      return refuse("has several names");
  return Keystone(path, id);
}

Outcome<void> Keystone::set_aside(int tree, int request) const {
  auto at = open_directory(tree, ".");
  for (std::string_view rest(path_); at;) {
    const std::string name = take_name(rest);
    const auto status = status_of(at->get(), name);
    if (!status) return failed(status.error());
    if (!*status) return {};
    if (!S_ISDIR((*status)->st_mode)) return move_out(at->get(), name, **status, request);
    if (rest.empty()) return {};  // a directory of its name is removed with all else that does not fit
    at = open_below(at->get(), name.c_str());
  }
  return failed(at.error());
}

Outcome<void> Keystone::move_out(int directory, const std::string& name, const struct stat& status, int request) const {
  if (::renameat(directory, name.c_str(), request, kKeystoneName) != 0) {
    if (errno != EXDEV) return failed_call(errno, "set {} aside", path_);
    if (auto copied = copy_out(directory, name, status, request); !copied) return copied;
    if (::unlinkat(directory, name.c_str(), 0) != 0) return failed_call(errno, "remove {}", path_);
  }
  if (auto synced = sync_directory(request); !synced) return synced;
  return sync_directory(directory);
}

/// To another mount; what is no file holds nothing.
Outcome<void> Keystone::copy_out(int directory, const std::string& name, const struct stat& status, int request) const {
  if (!S_ISREG(status.st_mode)) return {};
  if (static_cast<std::uint64_t>(status.st_size) > kLimit)
    return failed("TooLarge",
                  fmt::format("{} has {} bytes and is to be set aside to another file system", path_, status.st_size),
                  "name a smaller keystone; nothing was touched");
  const Fd file(::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file) return failed_call(errno, "open {}", path_);
  const auto content = content_of(file.get(), kLimit);
  if (!content) return failed(content.error());
  return write_durably(request, request, kKeystoneName, *content,
                       {status.st_uid, status.st_gid, status.st_mode & 07777U});
}

Outcome<Fd> Keystone::open_new(int request) const {
  if (::unlinkat(request, kNewKeystoneName, 0) != 0 && errno != ENOENT)
    return failed_call(errno, "remove {}", kNewKeystoneName);
  Fd fd(::openat(request, kNewKeystoneName, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return failed_call(errno, "make {}", kNewKeystoneName);
  return fd;
}

Outcome<void> Keystone::copy_in(const EntryList& entries, const Fd& gathered, int directory) const {
  if (::unlinkat(directory, kPartName, 0) != 0 && errno != ENOENT) return failed_call(errno, "remove {}", kPartName);
  const Fd part(::openat(directory, kPartName, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!part) return failed_call(errno, "make {}", kPartName);
  std::vector<std::byte> buffer(kExtent);
  for (std::uint64_t at = 0;;) {
    const ssize_t n = read_at(gathered.get(), buffer, at);
    if (n < 0) return failed_call(errno, "read {}", kNewKeystoneName);
    if (n == 0) break;
    if (const int error = write_at(part.get(), std::span(buffer).first(static_cast<std::size_t>(n)), at))
      return failed_call(error, "write {}", path_);
    at += static_cast<std::uint64_t>(n);
  }
  if (auto synced = dress_and_sync(part.get(), entries, entry_); !synced) return synced;
  if (::renameat(directory, kPartName, directory, entries[entry_].name_bytes) != 0)
    return failed_call(errno, "put {} in place", path_);
  return {};
}

Outcome<void> Keystone::put(const EntryList& entries, int tree, int request) const {
  const std::uint32_t parent = entries[entry_].parent;
  DirectoryCursor directories(entries, tree);
  const auto directory = directories.enter(parent);
  if (!directory) return failed(directory.error());
  const Fd gathered(::openat(request, kNewKeystoneName, O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!gathered) return failed_call(errno, "open {}", kNewKeystoneName);
  struct stat here {
  }, there{};
  if (::fstat(gathered.get(), &here) != 0 || ::fstat(*directory, &there) != 0)
    return failed_call(errno, "look at {}", kNewKeystoneName);
  bool moved = false;
  if (here.st_dev == there.st_dev) {
    if (auto synced = dress_and_sync(gathered.get(), entries, entry_); !synced) return synced;
    moved = ::renameat(request, kNewKeystoneName, *directory, entries[entry_].name_bytes) == 0;
    if (!moved && errno != EXDEV)
      return failed_call(errno, "put {} in place", path_);  // EXDEV: the same, mounted twice
  }
  if (!moved)
    if (auto copied = copy_in(entries, gathered, *directory); !copied) return copied;
  return dress_and_sync(*directory, entries, parent);
}

}  // namespace roadstead::mover
