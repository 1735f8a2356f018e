#pragma once

#include <string>
#include <vector>

#include "mover/entry.h"

namespace roadstead::mover {

/// True for what a copy carries: user.*, the ACLs and security.capability. The rest belongs to the host.
bool is_carried_attribute(std::string_view name);

/// The carried attributes of an open file or directory, sorted by name; the descriptor may stand for a name only
/// (O_PATH). Names of those that are not carried are added to `others`, but for security.selinux, which every file of
/// some hosts has. A file system without attributes has none.
Outcome<std::vector<Attribute>> attributes_of(int fd, std::vector<std::string>* others);

/// Looks at the attributes of names in open directories. Nothing is opened for it, as opening a device may do
/// something. Safe from several threads.
class NameAttributes {
 public:
  NameAttributes();

  /// As attributes_of(); a symbolic link is not followed.
  Outcome<std::vector<Attribute>> of(int directory, const char* name, std::vector<std::string>* others) const;

 private:
  bool has_call_;            ///< One call lists them.
  std::string descriptors_;  ///< "/proc/1234/fd/", where paths to our descriptors begin.
};

}  // namespace roadstead::mover
