#include "mover/attributes.h"

#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>
#include <optional>

namespace roadstead::mover {
namespace {

/// Whose attributes: a name in an open directory, not followed, or what an open descriptor is.
struct Object {
  std::string path;
  bool follow = false;

  ssize_t list(char* names, std::size_t size) const {
    return follow ? ::listxattr(path.c_str(), names, size) : ::llistxattr(path.c_str(), names, size);
  }
  ssize_t get(const std::string& name, std::string& value) const {
    return follow ? ::getxattr(path.c_str(), name.c_str(), value.data(), value.size())
                  : ::lgetxattr(path.c_str(), name.c_str(), value.data(), value.size());
  }
};

bool is_without(int error) { return error == ENOTSUP || error == ENOSYS; }

Outcome<std::string> listed(const Object& object) {
  std::string names(1024, '\0');
  for (;;) {
    const ssize_t n = object.list(names.data(), names.size());
    if (n >= 0) {
      names.resize(static_cast<std::size_t>(n));
      return names;
    }
    if (is_without(errno)) return std::string();
    if (errno != ERANGE) return failed_call(errno, "list attributes");
    const ssize_t needed = object.list(nullptr, 0);
    if (needed < 0) return failed_call(errno, "list attributes");
    names.resize(static_cast<std::size_t>(needed) + 1024);
  }
}

/// Nothing where it was removed meanwhile.
Outcome<std::optional<std::string>> value_of(const Object& object, const std::string& name) {
  std::string value(4096, '\0');
  for (;;) {
    const ssize_t n = object.get(name, value);
    if (n >= 0) {
      value.resize(static_cast<std::size_t>(n));
      return std::optional<std::string>(std::move(value));
    }
    if (errno == ENODATA) return std::nullopt;
    if (errno != ERANGE || value.size() >= kMaxAttributeBytes) return failed_call(errno, "read attribute {}", name);
    value.resize(kMaxAttributeBytes);
  }
}

Outcome<std::vector<Attribute>> attributes_at(const Object& object, std::vector<std::string>* others) {
  const auto names = listed(object);
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

Outcome<std::vector<Attribute>> attributes_of(int directory, const char* name, std::vector<std::string>* others) {
  // Through /proc: there is no call that lists the attributes of a name in an open directory.
  return attributes_at({fmt::format("/proc/self/fd/{}/{}", directory, name), false}, others);
}

Outcome<std::vector<Attribute>> attributes_of(int fd, std::vector<std::string>* others) {
  return attributes_at({fmt::format("/proc/self/fd/{}", fd), true}, others);
}

}  // namespace roadstead::mover
