#include "mover/metadata.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>

#include "mover/attributes.h"
#include "mover/files.h"

namespace roadstead::mover {
namespace {

constexpr mode_t kModeBits = 07777;
constexpr mode_t kSetIds = 06000;

std::array<timespec, 2> times_of(const Node& entry) {
  const timespec time{entry.mtime_seconds, static_cast<long>(entry.mtime_nanos)};
  return {time, time};
}

bool has_time(const struct stat& now, const Node& entry) {
  return now.st_mtim.tv_sec == entry.mtime_seconds && now.st_mtim.tv_nsec == static_cast<long>(entry.mtime_nanos);
}

bool has_owner(const struct stat& now, const Node& entry) { return now.st_uid == entry.uid && now.st_gid == entry.gid; }

/// What an open descriptor is, by a path that leads to nothing else; for descriptors that only stand for a name
/// (O_PATH), which calls by descriptor refuse.
class Object {
 public:
  Object(int fd, bool only_name) : fd_(fd), only_name_(only_name), path_(only_name ? proc_path(fd) : std::string()) {}

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] int own(uid_t uid, gid_t gid) const {
    return only_name_ ? ::fchownat(fd_, "", uid, gid, AT_EMPTY_PATH) : ::fchown(fd_, uid, gid);
  }
  [[nodiscard]] int mode(mode_t mode) const { return only_name_ ? ::chmod(path_.c_str(), mode) : ::fchmod(fd_, mode); }
  [[nodiscard]] int times(const std::array<timespec, 2>& times) const {
    return only_name_ ? ::utimensat(AT_FDCWD, path_.c_str(), times.data(), 0) : ::futimens(fd_, times.data());
  }
  [[nodiscard]] int set(const Attribute& one) const {
    return only_name_ ? ::setxattr(path_.c_str(), one.name.c_str(), one.value.data(), one.value.size(), 0)
                      : ::fsetxattr(fd_, one.name.c_str(), one.value.data(), one.value.size(), 0);
  }
  [[nodiscard]] int remove(const std::string& name) const {
    return only_name_ ? ::removexattr(path_.c_str(), name.c_str()) : ::fremovexattr(fd_, name.c_str());
  }

 private:
  static std::string proc_path(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

  int fd_;
  bool only_name_;
  std::string path_;
};

const Attribute* find(const std::vector<Attribute>& attributes, std::string_view name) {
  const auto found =
      std::find_if(attributes.begin(), attributes.end(), [&](const auto& one) { return one.name == name; });
  return found == attributes.end() ? nullptr : &*found;
}

/// True where something was changed.
Outcome<bool> give_attributes(const Object& object, const EntryList& entries, std::uint32_t id, Attributes known) {
  const std::vector<Attribute>& wanted = entries.attributes_of(id);
  std::vector<Attribute> found;
  if (known == Attributes::Unknown) {
    auto read = attributes_of(object.fd(), nullptr);
    if (!read)
      return failed(
          {read.error().reason, fmt::format("{}: {}", name_of(entries, id), read.error().message), read.error().next});
    found = std::move(*read);
  }
  bool changed = false;
  for (const Attribute& one : found) {
    if (find(wanted, one.name) != nullptr) continue;
    if (object.remove(one.name) != 0 && errno != ENODATA)
      return failed_call(errno, "remove attribute {} of {}", one.name, name_of(entries, id));
    changed = true;
  }
  for (const Attribute& one : wanted) {
    const Attribute* has = find(found, one.name);
    if (has != nullptr && has->value == one.value) continue;
    if (object.set(one) != 0) {
      if (errno == ENOTSUP || errno == ENOSYS)
        return failed("Unsupported",
                      fmt::format("{} has the attribute {}, which the target's file system cannot keep",
                                  name_of(entries, id), one.name),
                      "copy to a volume on a file system with extended attributes and ACLs (ext4, xfs, btrfs)");
      return failed_call(errno, "give {} its attribute {}", name_of(entries, id), one.name);
    }
    changed = true;
  }
  return changed;
}

/// Owner first: a change of owner takes setuid, setgid and the capability away. Attributes before the mode: an ACL
/// changes the mode, and the mode an ACL's mask, which are the same bits in the end. Times last.
Outcome<void> give(const Object& object, const EntryList& entries, std::uint32_t id, const struct stat& now,
                   Attributes known) {
  const Node& entry = entries[id];
  const bool new_owner = !has_owner(now, entry);
  if (new_owner && object.own(entry.uid, entry.gid) != 0)
    return failed_call(errno, "give {} its owner", name_of(entries, id));
  bool new_attributes = false;
  if (known == Attributes::Unknown || entry.attributes != 0) {
    const auto given = give_attributes(object, entries, id, known);
    if (!given) return failed(given.error());
    new_attributes = *given;
  }
  const bool right = (now.st_mode & kModeBits) == entry.mode;
  if ((!right || new_attributes || (new_owner && (entry.mode & kSetIds) != 0)) && object.mode(entry.mode) != 0)
    return failed_call(errno, "give {} its mode", name_of(entries, id));
  if (!has_time(now, entry) && object.times(times_of(entry)) != 0)
    return failed_call(errno, "give {} its time", name_of(entries, id));
  return {};
}

Outcome<void> give_to_link(int directory, const EntryList& entries, std::uint32_t id, const struct stat& now) {
  const Node& entry = entries[id];
  if (entry.attributes != 0)
    return failed(protocol_error(fmt::format("the symbolic link {} cannot have attributes", name_of(entries, id))));
  if (!has_owner(now, entry) && ::fchownat(directory, entry.name_bytes, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return failed_call(errno, "give {} its owner", name_of(entries, id));
  if (!has_time(now, entry) &&
      ::utimensat(directory, entry.name_bytes, times_of(entry).data(), AT_SYMLINK_NOFOLLOW) != 0)
    return failed_call(errno, "give {} its time", name_of(entries, id));
  return {};
}

}  // namespace

std::string name_of(const EntryList& entries, std::uint32_t id) {
  return id == 0 ? "the tree's root" : entries.path_of(id);
}

Outcome<void> check_attributes(const EntryList& entries) {
  for (std::uint32_t id = 0; id < entries.size(); ++id) {
    if (entries[id].attributes == 0) continue;
    for (const Attribute& one : entries.attributes_of(id))
      if (!is_carried_attribute(one.name))
        return failed(protocol_error(
            fmt::format("{} has the attribute {}, which no copy carries", name_of(entries, id), one.name)));
  }
  return {};
}

Outcome<void> give_metadata(int fd, const EntryList& entries, std::uint32_t id, const struct stat& now,
                            Attributes attributes) {
  return give(Object(fd, false), entries, id, now, attributes);
}

Outcome<void> give_metadata_at(int directory, const EntryList& entries, std::uint32_t id) {
  const auto fd = open_file_below(directory, entries[id].name_bytes, O_PATH);
  if (!fd) return failed(fd.error());
  const auto now = status_of(fd->get());
  if (!now) return failed(now.error());
  if (S_ISLNK(now->st_mode)) return give_to_link(directory, entries, id, *now);
  return give(Object(fd->get(), true), entries, id, *now, Attributes::Unknown);
}

}  // namespace roadstead::mover
