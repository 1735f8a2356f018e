#pragma once

#include <vector>

#include "mover/entry.h"
#include "mover/files.h"

namespace roadstead::mover {

/// Opens the directories of a listed tree, component by component from its root, so that no link can lead out of it.
/// Those on the way to the last one stay open: neighbours in the list cost one call each. For one thread.
class DirectoryCursor {
 public:
  DirectoryCursor(const EntryList& entries, int root) : entries_(entries), root_(root) {}

  /// A descriptor that is good until the next call. A failure's message has the whole path.
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
  std::vector<Level> levels_;  ///< Each in the one before it.
  Fd deep_;
  std::vector<std::uint32_t> chain_;  ///< Kept for its memory.
};

}  // namespace roadstead::mover
