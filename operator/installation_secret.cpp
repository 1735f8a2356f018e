#include "operator/installation_secret.h"

#include <algorithm>
#include <cctype>

#include "operator/base/file.h"
#include "operator/base/hash.h"

namespace roadstead {
namespace {

constexpr std::size_t kBytes = 32;

Result<std::string> checked(std::string secret, const std::string& path) {
  while (!secret.empty() && std::isspace(static_cast<unsigned char>(secret.back())) != 0) secret.pop_back();
  const bool hex = std::all_of(secret.begin(), secret.end(), [](unsigned char c) { return std::isxdigit(c) != 0; });
  if (secret.size() != 2 * kBytes || !hex)
    return fail(ErrorKind::Invalid, "{} does not hold {} hex digits; move it away and a new one is made", path,
                2 * kBytes);
  return secret;
}

}  // namespace

Result<std::string> installation_secret(const std::string& data_dir) {
  const std::string path = data_dir + "/installation.key";
  auto found = read_file(path);
  if (found) return checked(std::move(*found), path);
  if (found.error().kind != ErrorKind::NotFound) return found;
  std::string secret = random_hex(kBytes);
  if (auto written = write_file(path, secret, 0600); !written) return tl::unexpected(written.error());
  return secret;
}

}  // namespace roadstead
