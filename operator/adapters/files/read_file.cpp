#include "operator/adapters/files/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace roadstead::files {
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
    default:
      return ErrorKind::Unavailable;
  }
}

}  // namespace

Result<std::string> read_regular_file(const std::string& path, std::size_t limit, mode_t* mode) {
  const auto failed = [&] { return fail(kind_of(errno), "file {}: {}", path, std::strerror(errno)); };
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (file.get() < 0) return failed();
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return failed();
  if (!S_ISREG(info.st_mode)) return fail(ErrorKind::Invalid, "file {}: it is no regular file", path);
  if (mode) *mode = info.st_mode;
  std::string text;
  char buffer[16 * 1024];
  while (text.size() <= limit) {
    const ssize_t got = ::read(file.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return failed();
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
  }
  return fail(ErrorKind::Invalid, "file {}: it is larger than {} bytes", path, limit);
}

}  // namespace roadstead::files
