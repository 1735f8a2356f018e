#include "operator/installation_secret.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "operator/base/hash.h"

namespace roadstead {
namespace {

constexpr std::size_t kBytes = 32;

std::string why(int error) { return std::system_category().message(error); }

Result<std::string> read_secret(const std::string& path) {
  std::ifstream file(path);
  std::string secret;
  if (!(file >> secret)) return fail(ErrorKind::Forbidden, "{} cannot be read", path);
  const bool hex = std::all_of(secret.begin(), secret.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (secret.size() != 2 * kBytes || !hex)
    return fail(ErrorKind::Invalid, "{} does not hold {} hex digits; move it away and a new one is made", path,
                2 * kBytes);
  return secret;
}

/// Written whole under another name first: a crash never leaves half a secret.
Result<void> write_secret(const std::string& path, const std::string& secret) {
  const std::string part = path + ".part";
  const int fd = ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return fail(ErrorKind::Unavailable, "{} cannot be written: {}", part, why(errno));
  const bool written =
      ::write(fd, secret.data(), secret.size()) == static_cast<ssize_t>(secret.size()) && ::fsync(fd) == 0;
  ::close(fd);
  if (!written || ::rename(part.c_str(), path.c_str()) != 0)
    return fail(ErrorKind::Unavailable, "{} cannot be written: {}", path, why(errno));
  return {};
}

}  // namespace

Result<std::string> installation_secret(const std::string& data_dir) {
  const std::string path = data_dir + "/installation.key";
  if (::access(path.c_str(), F_OK) == 0) return read_secret(path);
  const std::string secret = random_hex(kBytes);
  return write_secret(path, secret).map([&] { return secret; });
}

}  // namespace roadstead
