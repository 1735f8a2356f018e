#include "operator/adapters/files/secrets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>

#include "operator/base/file.h"
#include "operator/base/log.h"

namespace roadstead::files {
namespace {

void warn_once_of_readers(const std::string& path, mode_t mode) {
  static std::mutex mutex;  // guards told
  static std::set<std::string> told;
  if ((mode & S_IROTH) == 0) return;
  std::lock_guard lock(mutex);
  if (told.insert(path).second)
    log_warning("everybody on this machine may read a secret's file: chmod o-r it", {{"file", path}});
}

Result<std::string> from_file(const std::string& path, bool secret) {
  if (path.front() != '/') return fail(ErrorKind::Invalid, "secret file {}: the path must be absolute", path);
  mode_t mode = 0;
  auto text = read_regular_file(path, FileEnvSecrets::kMaxBytes, &mode);
  if (!text) return within("secret", text.error());
  if (secret) warn_once_of_readers(path, mode);
  if (text->ends_with('\n')) text->pop_back();
  if (text->empty()) return fail(ErrorKind::Invalid, "secret file {}: it is empty", path);
  return text;
}

Result<std::string> from_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (!value) return fail(ErrorKind::NotFound, "secret: environment variable {} is not set for the operator", name);
  if (*value == '\0') return fail(ErrorKind::Invalid, "secret: environment variable {} is empty", name);
  return std::string(value);
}

Result<std::string> from_either(const SecretRef& ref, bool secret) {
  const bool has_file = ref.file && !ref.file->empty(), has_env = ref.env && !ref.env->empty();
  if (has_file == has_env) return fail(ErrorKind::Invalid, "secret reference: exactly one of file and env must be set");
  return has_file ? from_file(*ref.file, secret) : from_environment(*ref.env);
}

}  // namespace

Result<std::string> FileEnvSecrets::resolve(const SecretRef& ref) { return from_either(ref, true); }

Result<std::string> FileEnvSecrets::resolve_public(const SecretRef& ref) { return from_either(ref, false); }

}  // namespace roadstead::files
