#pragma once

#include <sys/stat.h>

#include <vector>

#include "mover/entry.h"
#include "mover/sink.h"

namespace roadstead::mover {

/// Files of more than one name in a tree that is overwritten in place. What is written through one name shows under all
/// others, so names that do not belong together in the source are taken apart first: also from those that lie somewhere
/// else, outside of the tree.
class LinkGroups {
 public:
  /// An entry (a file, or a hard link to one) that lies there as a file of several names.
  void note(std::uint32_t id, const struct stat& status) { noted_.push_back({status.st_ino, id}); }

  /// Removes names until each file is only reached by names that the source has for it as well.
  Outcome<void> take_apart(const EntryList& entries, int root, const Tick& tick);

  /// How many names a file may have to be written in place.
  [[nodiscard]] nlink_t names_of(std::uint32_t file) const;

 private:
  struct Name {
    std::uint64_t inode = 0;
    std::uint32_t id = 0;
  };
  struct Group {
    std::uint32_t file = 0;
    std::uint32_t names = 0;
  };

  std::vector<Name> noted_;
  std::vector<Group> whole_;  ///< By file.
};

}  // namespace roadstead::mover
