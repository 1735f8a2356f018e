#include "operator/adapters/apiserver/private_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>

namespace roadstead::apiserver {
namespace {

tl::unexpected<Error> file_error(const char* what, const std::string& path) {
  const int code = errno;
  const ErrorKind kind = code == ENOENT                     ? ErrorKind::NotFound
                         : code == EACCES || code == EPERM  ? ErrorKind::Forbidden
                         : code == ENOSPC || code == EDQUOT ? ErrorKind::NoSpace
                                                            : ErrorKind::Internal;
  return fail(kind, "{} {}: {}", what, path, std::strerror(code));
}

bool write_all(int file, const std::string& content) {
  std::size_t done = 0;
  while (done < content.size()) {
    const ssize_t wrote = ::write(file, content.data() + done, content.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    done += static_cast<std::size_t>(wrote);
  }
  return ::fsync(file) == 0;
}

}  // namespace

Result<std::string> read_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return file_error("read", path);
  std::ostringstream content;
  content << file.rdbuf();
  return content.str();
}

Result<void> write_file(const std::string& path, const std::string& content, mode_t mode) {
  const std::string beside = path + ".new";
  ::unlink(beside.c_str());  // left by a crash, perhaps with another mode
  const int file = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
  if (file < 0) return file_error("write", beside);
  if (!write_all(file, content)) {
    auto error = file_error("write", beside);
    ::close(file);
    ::unlink(beside.c_str());
    return error;
  }
  ::close(file);
  if (::rename(beside.c_str(), path.c_str()) != 0) return file_error("write", path);
  return {};
}

}  // namespace roadstead::apiserver
