#include "mover/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <algorithm>
#include <memory>

namespace roadstead::mover {
namespace {

constexpr int kDirectoryFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

/// -1 with errno EXDEV where `name` is on another mount.
int open_on_this_mount(int at, const char* name, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags);
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH;
  // A symbolic link may be opened itself.
  if ((flags & O_PATH) != 0) how.resolve &= ~static_cast<std::uint64_t>(RESOLVE_NO_SYMLINKS);
  const long opened = ::syscall(SYS_openat2, at, name, &how, sizeof how);
  // Kernels before 5.6 do not have it, and engines of their time forbid what they do not know.
  if (opened >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(opened);
  Fd fd(::openat(at, name, flags));
  struct stat above {
  }, below{};
  if (!fd || ::fstat(at, &above) != 0 || ::fstat(fd.get(), &below) != 0) return -1;
  if (above.st_dev == below.st_dev) return fd.release();
  errno = EXDEV;
  return -1;
}

tl::unexpected<Failure> not_opened(int error, std::string_view what, const char* name) {
  if (error == EXDEV)
    return failed("MountPoint", fmt::format("something is mounted at {} inside the tree", name),
                  "unmount what is mounted inside the volume, then run the step again");
  if (error == ETXTBSY)
    return failed("Running", fmt::format("{} is a program that runs", name),
                  "stop whatever uses the volume, then run the step again");
  return failed_call(error, "open {}{}", what, name);
}

Outcome<std::uint64_t> remove_tree(int at, const std::string& name, const GoOn& go_on, unsigned depth) {
  constexpr unsigned kMaxDepth = 4096;
  if (auto may = go_on(); !may) return failed(may.error());
  if (::unlinkat(at, name.c_str(), 0) == 0) return 1;
  if (errno == ENOENT) return 0;
  // EISDIR by Linux, EPERM by POSIX.
  if (errno != EISDIR && errno != EPERM) return failed_call(errno, "remove {}", name);
  if (depth == kMaxDepth)
    return failed("TooDeep", fmt::format("{} is deeper than {} directories", name, kMaxDepth),
                  "remove it by hand, then run the step again");
  auto directory = open_below(at, name.c_str());
  if (!directory) return failed(directory.error());
  auto names = names_in(directory->get());
  if (!names) return failed(names.error());
  std::uint64_t removed = 1;
  for (const std::string& child : *names) {
    auto below = remove_tree(directory->get(), child, go_on, depth + 1);
    if (!below) return below;
    removed += *below;
  }
  if (::unlinkat(at, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
    return failed_call(errno, "remove directory {}", name);
  return removed;
}

}  // namespace

Outcome<Fd> open_below(int at, const char* name) {
  Fd fd(open_on_this_mount(at, name, kDirectoryFlags));
  if (!fd) return not_opened(errno, "directory ", name);
  return fd;
}

Outcome<Fd> open_file_below(int at, const char* name, int flags) {
  Fd fd(open_on_this_mount(at, name, flags | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return not_opened(errno, "", name);
  return fd;
}

Outcome<Fd> open_root(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return failed_call(errno, "open directory {}", path);
  return fd;
}

Outcome<Fd> open_directory(int at, const std::string& name) {
  Fd fd(::openat(at, name.c_str(), kDirectoryFlags));
  if (!fd) return failed_call(errno, "open directory {}", name);
  return fd;
}

Outcome<std::optional<Fd>> open_directory_if_any(int at, const std::string& name) {
  Fd fd(::openat(at, name.c_str(), kDirectoryFlags));
  if (!fd && errno == ENOENT) return std::nullopt;
  if (!fd) return failed_call(errno, "open directory {}", name);
  return fd;
}

Outcome<Fd> make_and_open_directory(int at, const std::string& name, mode_t mode) {
  if (::mkdirat(at, name.c_str(), mode) != 0 && errno != EEXIST) return failed_call(errno, "make directory {}", name);
  return open_directory(at, name);
}

Outcome<std::optional<struct stat>> status_of(int at, const std::string& name) {
  struct stat status {};
  if (::fstatat(at, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return status;
  if (errno == ENOENT) return std::nullopt;
  return failed_call(errno, "look at {}", name);
}

Outcome<struct stat> status_of(int fd) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return failed_call(errno, "look at an open file");
  return status;
}

Outcome<std::vector<std::string>> names_in(int directory) {
  const int fd = ::openat(directory, ".", kDirectoryFlags);  // an offset of its own
  const std::unique_ptr<DIR, CloseDirectory> stream(fd < 0 ? nullptr : ::fdopendir(fd));
  if (!stream) return failed_call(errno, "list a directory");
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) return failed_call(errno, "list a directory");
  return names;
}

Outcome<std::uint64_t> remove_tree(int at, const std::string& name, const std::stop_token& stop) {
  const auto go_on = [&]() -> Outcome<void> {
    if (stop.stop_requested()) return failed(cancelled());
    return {};
  };
  return remove_tree(at, name, go_on, 0);
}

Outcome<std::uint64_t> remove_tree(int at, const std::string& name, const GoOn& go_on) {
  return remove_tree(at, name, go_on, 0);
}

ssize_t read_at(int fd, std::span<std::byte> buffer, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < buffer.size()) {
    const ssize_t n = ::pread(fd, buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return -1;
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return static_cast<ssize_t>(done);
}

int write_at(int fd, std::span<const std::byte> data, std::uint64_t offset) {
  while (!data.empty()) {
    const ssize_t n = ::pwrite(fd, data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    if (n == 0) return EIO;
    data = data.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return 0;
}

Outcome<std::string> content_of(int fd, std::size_t limit) {
  const auto status = status_of(fd);
  if (!status) return failed(status.error());
  std::string content(std::min(static_cast<std::size_t>(status->st_size), limit), '\0');
  const ssize_t n = read_at(fd, std::as_writable_bytes(std::span(content)), 0);
  if (n < 0) return failed_call(errno, "read a file");
  content.resize(static_cast<std::size_t>(n));
  return content;
}

Outcome<void> write_durably(int scratch, int directory, const std::string& name, std::string_view content,
                            const Ownership& ownership) {
  if (::unlinkat(scratch, kPartName, 0) != 0 && errno != ENOENT) return failed_call(errno, "remove {}", kPartName);
  const Fd fd(::openat(scratch, kPartName, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return failed_call(errno, "make {}", kPartName);
  if (const int error = write_at(fd.get(), std::as_bytes(std::span(content)), 0))
    return failed_call(error, "write {}", name);
  // The mode after the owner: a change of owner takes setuid and setgid away.
  if (::fchown(fd.get(), ownership.uid, ownership.gid) != 0) return failed_call(errno, "give {} its owner", name);
  if (::fchmod(fd.get(), ownership.mode) != 0) return failed_call(errno, "give {} its mode", name);
  if (::fsync(fd.get()) != 0) return failed_call(errno, "sync {}", name);
  if (::renameat(scratch, kPartName, directory, name.c_str()) != 0) return failed_call(errno, "put {} in place", name);
  return sync_directory(directory);
}

Outcome<void> sync_directory(int directory) {
  if (::fsync(directory) != 0) return failed_call(errno, "sync a directory");
  return {};
}

}  // namespace roadstead::mover
