#pragma once

// Small faces of system calls. Names are resolved one component at a time and symbolic links are never followed.

#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mover/outcome.h"

namespace roadstead::mover {

/// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// It is the caller's to close now.
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

/// Opens a directory named by the job (links in this path are the operator's business).
Outcome<Fd> open_root(const std::string& path);

/// Opens the directory `name` in `at`; a symbolic link or anything else is refused with ENOTDIR or ELOOP.
Outcome<Fd> open_directory(int at, const std::string& name);

/// The same inside a tree that we build or remove: MountPoint where something else is mounted there, the same file
/// system at another place included.
Outcome<Fd> open_below(int at, const char* name);

/// Opens what is no directory in the same way. Running: a program that runs cannot be opened to be written.
Outcome<Fd> open_file_below(int at, const char* name, int flags);

/// The directory `name` in `at`; nothing where there is no such name.
Outcome<std::optional<Fd>> open_directory_if_any(int at, const std::string& name);

/// Opens it, after making it with `mode` where it is missing.
Outcome<Fd> make_and_open_directory(int at, const std::string& name, mode_t mode);

/// The status of `name` itself; nothing where there is no such name.
Outcome<std::optional<struct stat>> status_of(int at, const std::string& name);

Outcome<struct stat> status_of(int fd);

/// The names in a directory but "." and "..", in no particular order.
Outcome<std::vector<std::string>> names_in(int directory);

/// Removes `name` and everything below it; nothing there counts as removed. Returns how many entries went. What is
/// mounted below it is not touched: MountPoint. TooDeep beyond 4096 directories.
Outcome<std::uint64_t> remove_tree(int at, const std::string& name, const std::stop_token& stop);

/// The same; `go_on` is called before each entry, and its failure ends it.
using GoOn = std::function<Outcome<void>()>;
Outcome<std::uint64_t> remove_tree(int at, const std::string& name, const GoOn& go_on);

/// Reads up to `buffer.size()` bytes at `offset`; fewer only at the end of the file. errno is set where it returns -1.
ssize_t read_at(int fd, std::span<std::byte> buffer, std::uint64_t offset);

/// Writes all bytes at `offset`; 0 or an errno.
int write_at(int fd, std::span<const std::byte> data, std::uint64_t offset);

/// The whole content of a file, at most `limit` bytes of it.
Outcome<std::string> content_of(int fd, std::size_t limit);

inline constexpr const char* kPartName = ".roadstead.part";

struct Ownership {
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t mode = 0600;
};

/// Replaces the file `name` by one with this content: all old or all new, and durable on return. It is written in
/// `scratch`, a directory on the same mount, so that a crash leaves nothing in `directory`; its name there is
/// kPartName.
Outcome<void> write_durably(int scratch, int directory, const std::string& name, std::string_view content,
                            const Ownership& ownership);

Outcome<void> sync_directory(int directory);

}  // namespace roadstead::mover
