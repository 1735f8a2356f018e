#pragma once

#include <string>
#include <vector>

#include "mover/entry.h"

namespace roadstead::mover {

/// True for what a copy carries: user.*, the ACLs and security.capability. The rest belongs to the host.
bool is_carried_attribute(std::string_view name);

/// The carried attributes of a name in an open directory, sorted by name; symbolic links are not followed. Names of
/// those that are not carried are added to `others`, but for security.selinux, which every file of some hosts has. A
/// file system without attributes has none.
Outcome<std::vector<Attribute>> attributes_of(int directory, const char* name, std::vector<std::string>* others);

/// The same of an open file or directory.
Outcome<std::vector<Attribute>> attributes_of(int fd, std::vector<std::string>* others);

}  // namespace roadstead::mover
