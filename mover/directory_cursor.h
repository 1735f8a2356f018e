#pragma once

#include <vector>

#include "mover/entry.h"
#include "mover/files.h"

namespace roadstead::mover {

/// Opens a directory of a source. NotFound where there is none of this name, or something else.
Outcome<Fd> open_source_directory(int at, const char* name);

/// Whether a directory cursor goes on into what is mounted inside the tree, the same file system once more included.
enum class Mounts {
  Refused,  ///< MountPoint: for trees that are written.
  Entered,  ///< For sources.
};

/// Opens the directories of a listed tree, component by component from its root, so that no link can lead out of it.
/// Those on the way to the last one stay open: neighbours in the list cost one call each. For one thread.
class DirectoryCursor {
 public:
  DirectoryCursor(const EntryList& entries, int root, Mounts mounts = Mounts::Refused)
      : entries_(entries), root_(root), mounts_(mounts) {}

  /// A descriptor that is good until the next call. A failure's message has the whole path. NotFound also for what is
  /// no directory any more, where mounts are entered.
  Outcome<int> enter(std::uint32_t directory);

 private:
  static constexpr std::size_t kMaxOpen = 32;  ///< Deeper directories are walked to from the last of these.

  struct Level {
    std::uint32_t id;
    Fd fd;
  };

  [[nodiscard]] Outcome<Fd> open(int at, std::uint32_t id) const;

  const EntryList& entries_;
  int root_;
  Mounts mounts_;
  std::vector<Level> levels_;  ///< Each in the one before it.
  Fd deep_;
  std::vector<std::uint32_t> chain_;  ///< Kept for its memory.
};

}  // namespace roadstead::mover
