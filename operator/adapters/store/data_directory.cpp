#include "operator/adapters/store/data_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace roadstead::store {
namespace {

std::string holder(int lock) {
  std::array<char, 32> text{};
  const ssize_t length = ::pread(lock, text.data(), text.size() - 1, 0);
  std::string pid(text.data(), length > 0 ? static_cast<std::size_t>(length) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "unknown" : pid;
}

}  // namespace

Result<DataDirectory> DataDirectory::open(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    std::filesystem::create_directories(path, error);
    if (error) return fail(ErrorKind::Unavailable, "make data directory {}: {}", path.string(), error.message());
    ::chmod(path.c_str(), 0700);
  }
  const std::string name = (path / "lock").string();
  const int lock = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock < 0) return fail(ErrorKind::Unavailable, "open {}: {}", name, std::strerror(errno));
  DataDirectory directory(path, lock);
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0)
    return fail(ErrorKind::Conflict,
                "data directory {} is in use by another operator (process {}): stop that one, or give this one a "
                "directory of its own with --data",
                path.string(), holder(lock));
  const std::string pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock, 0) != 0 || ::pwrite(lock, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size()))
    return fail(ErrorKind::Unavailable, "write {}: {}", name, std::strerror(errno));
  return directory;
}

DataDirectory::DataDirectory(DataDirectory&& other) noexcept
    : path_(std::move(other.path_)), lock_(std::exchange(other.lock_, -1)) {}

DataDirectory::~DataDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

}  // namespace roadstead::store
