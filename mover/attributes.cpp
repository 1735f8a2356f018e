#include "mover/attributes.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

namespace roadstead::mover {
namespace {

constexpr const char* kDescriptors = "/proc/self/fd/";
constexpr std::size_t kFewNames = 1024;  ///< Bytes; most files have none.
constexpr long kListAt = 465;            ///< listxattrat(), which Linux has since 6.13.

/// Asked once: kernels that do not have it say so, and so do engines that forbid what they do not know.
bool has_list_at() {
  static const bool has = ::syscall(kListAt, -1, "name", AT_SYMLINK_NOFOLLOW, nullptr, 0) < 0 && errno == EBADF;
  return has;
}

bool is_without(int error) { return error == ENOTSUP || error == ENOSYS; }

/// An open descriptor. Those that only stand for a name are refused by calls for descriptors, but their path is not.
class Opened {
 public:
  explicit Opened(int fd) : fd_(fd) {}

  ssize_t list(char* names, std::size_t size) const {
    const ssize_t n = ::flistxattr(fd_, names, size);
    return n < 0 && errno == EBADF ? ::listxattr(path().c_str(), names, size) : n;
  }
  ssize_t get(const char* name, std::string& value) const {
    const ssize_t n = ::fgetxattr(fd_, name, value.data(), value.size());
    return n < 0 && errno == EBADF ? ::getxattr(path().c_str(), name, value.data(), value.size()) : n;
  }

 private:
  [[nodiscard]] std::string path() const { return kDescriptors + std::to_string(fd_); }

  int fd_;
};

/// A name in an open directory.
class Named {
 public:
  Named(int directory, const char* name, bool has_call, const std::string& descriptors)
      : directory_(directory), name_(name), has_call_(has_call), descriptors_(descriptors) {}

  ssize_t list(char* names, std::size_t size) const {
    if (has_call_) return ::syscall(kListAt, directory_, name_, AT_SYMLINK_NOFOLLOW, names, size);
    return ::llistxattr(path().c_str(), names, size);
  }
  ssize_t get(const char* name, std::string& value) const {
    return ::lgetxattr(path().c_str(), name, value.data(), value.size());
  }

 private:
  [[nodiscard]] std::string path() const {
    const fmt::format_int directory(directory_);
    std::string path;
    path.reserve(descriptors_.size() + directory.size() + kMaxName + 2);
    return path.append(descriptors_).append(directory.data(), directory.size()).append(1, '/').append(name_);
  }

  int directory_;
  const char* name_;
  bool has_call_;
  const std::string& descriptors_;
};

template <class Object>
Outcome<std::string> names_of(const Object& object) {
  std::array<char, kFewNames> few;  // NOLINT(*-member-init): the kernel writes it
  const ssize_t n = object.list(few.data(), few.size());
  if (n >= 0) return std::string(few.data(), static_cast<std::size_t>(n));
  if (is_without(errno)) return std::string();
  while (errno == ERANGE) {
    const ssize_t needed = object.list(nullptr, 0);
    if (needed < 0) break;
    std::string names(static_cast<std::size_t>(needed) + kFewNames, '\0');
    const ssize_t got = object.list(names.data(), names.size());
    if (got < 0) continue;
    names.resize(static_cast<std::size_t>(got));
    return names;
  }
  return failed_call(errno, "list attributes");
}

/// Nothing where it was removed meanwhile.
template <class Object>
Outcome<std::optional<std::string>> value_of(const Object& object, const std::string& name) {
  std::string value(4096, '\0');
  for (;;) {
    const ssize_t n = object.get(name.c_str(), value);
    if (n >= 0) {
      value.resize(static_cast<std::size_t>(n));
      return std::optional<std::string>(std::move(value));
    }
    if (errno == ENODATA) return std::nullopt;
    if (errno != ERANGE || value.size() >= kMaxAttributeBytes) return failed_call(errno, "read attribute {}", name);
    value.resize(kMaxAttributeBytes);
  }
}

template <class Object>
Outcome<std::vector<Attribute>> attributes_at(const Object& object, std::vector<std::string>* others) {
  const auto names = names_of(object);
  if (!names) return failed(names.error());
  std::vector<Attribute> attributes;
  for (std::size_t at = 0; at < names->size();) {
    const std::string name = names->c_str() + at;
    at += name.size() + 1;
    if (!is_carried_attribute(name)) {
      if (others != nullptr && name != "security.selinux") others->push_back(name);
      continue;
    }
    auto value = value_of(object, name);
    if (!value) return failed(value.error());
    if (*value) attributes.push_back({name, std::move(**value)});
  }
  std::sort(attributes.begin(), attributes.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return attributes;
}

}  // namespace

bool is_carried_attribute(std::string_view name) {
  return name.starts_with("user.") || name == "system.posix_acl_access" || name == "system.posix_acl_default" ||
         name == "security.capability";
}

Outcome<std::vector<Attribute>> attributes_of(int fd, std::vector<std::string>* others) {
  return attributes_at(Opened(fd), others);
}

// The process by its number, as /proc knows it: one link less to follow for each name.
NameAttributes::NameAttributes() : has_call_(has_list_at()), descriptors_(kDescriptors) {
  std::array<char, 32> number{};
  const ssize_t n = ::readlink("/proc/self", number.data(), number.size());
  if (n > 0 && static_cast<std::size_t>(n) < number.size())
    descriptors_ = fmt::format("/proc/{}/fd/", std::string_view(number.data(), static_cast<std::size_t>(n)));
}

Outcome<std::vector<Attribute>> NameAttributes::of(int directory, const char* name,
                                                   std::vector<std::string>* others) const {
  return attributes_at(Named(directory, name, has_call_, descriptors_), others);
}

}  // namespace roadstead::mover
