#pragma once

#include <sys/stat.h>

#include "mover/entry.h"

namespace roadstead::mover {

// Owners, modes, times, attributes and ACLs. Only what differs is set. Attributes that a copy does not carry are left
// alone, a volume's label among them. Everything happens through descriptors: no symbolic link is followed.
//
// Unsupported: the target's file system cannot keep an attribute. Failures name the path.

/// Refuses attributes that a copy does not carry (ProtocolError): nobody may set a label or a signature.
Outcome<void> check_attributes(const EntryList& entries);

/// What is known about an object before it gets its metadata.
enum class Attributes {
  None,     ///< It was just made where nothing is inherited.
  Unknown,  ///< It is looked at; what the entry does not have is removed.
};

/// Gives an open file or directory the metadata of an entry. `now`: its owner, mode and time of change.
Outcome<void> give_metadata(int fd, const EntryList& entries, std::uint32_t id, const struct stat& now,
                            Attributes attributes);

/// Gives it to a symbolic link, a device or a FIFO, by its name in an open directory.
Outcome<void> give_metadata_at(int directory, const EntryList& entries, std::uint32_t id);

/// "a/b", or words for the root.
std::string name_of(const EntryList& entries, std::uint32_t id);

}  // namespace roadstead::mover
