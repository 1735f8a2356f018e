#include "operator/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace roadstead {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

ErrorKind kind_of(int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return ErrorKind::NotFound;
    case EACCES:
    case EPERM:
      return ErrorKind::Forbidden;
    case EISDIR:
    case ELOOP:
      return ErrorKind::Invalid;
    case ENOSPC:
    case EDQUOT:
      return ErrorKind::NoSpace;
    default:
      return ErrorKind::Unavailable;
  }
}

tl::unexpected<Error> failed(const std::string& path) {
  const int error = errno;
  return fail(kind_of(error), "file {}: {}", path, std::strerror(error));
}

Result<std::string> read_all(const Descriptor& file, const std::string& path, std::size_t limit) {
  std::string text;
  char buffer[16 * 1024];
  while (text.size() <= limit) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed(path);
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return fail(ErrorKind::Invalid, "file {}: it is larger than {} bytes", path, limit);
}

bool write_all(const Descriptor& file, const std::string& content) {
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t wrote = ::write(file.get(), content.data() + done, content.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    done += static_cast<std::size_t>(wrote);
  }
  return ::fsync(file.get()) == 0;
}

/// Makes a rename in the directory of `path` outlast a power loss.
bool sync_directory_of(const std::string& path) {
  const auto slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Descriptor opened(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return opened.get() >= 0 && ::fsync(opened.get()) == 0;
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) return failed(path);
  return read_all(file, path, limit);
}

Result<std::string> read_regular_file(const std::string& path, std::size_t limit, mode_t* mode) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) return failed(path);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return failed(path);
  if (!S_ISREG(info.st_mode)) return fail(ErrorKind::Invalid, "file {}: it is no regular file", path);
  if (mode) *mode = info.st_mode;
  return read_all(file, path, limit);
}

Result<void> write_file(const std::string& path, const std::string& content, mode_t mode) {
  const std::string beside = path + ".new";
  ::unlink(beside.c_str());  // left by a crash, perhaps with another mode
  {
    const Descriptor file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
    if (file.get() < 0) return failed(beside);
    if (!write_all(file, content)) {
      auto error = failed(beside);
      ::unlink(beside.c_str());
      return error;
    }
  }
  if (::rename(beside.c_str(), path.c_str()) != 0 || !sync_directory_of(path)) return failed(path);
  return {};
}

}  // namespace roadstead
