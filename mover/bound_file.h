#pragma once

#include <array>
#include <string_view>

#include "mover/files.h"

namespace roadstead::mover {

/// A file of notes about a tree that are only good for this tree and this boot of the machine: they are not synced, and
/// a killed mover's writes are all in the page cache, but those before a crash of the machine may not be.
struct BoundFile {
  static constexpr std::uint64_t kHeaderBytes = 64;

  Fd file;            ///< Opened to append; what is noted begins at kHeaderBytes.
  bool fits = false;  ///< It was there, for this tree and in this boot. Otherwise it is empty now.

  /// Opens `name` in `directory`, or makes it. `title` (at most 20 bytes) says what the notes are, and their version.
  static Outcome<BoundFile> open(int directory, const char* name, std::string_view title, std::uint64_t tree_inode);

  /// Which tree the file was made for, in whatever boot; 0 where there is none.
  static Outcome<std::uint64_t> tree_of(int directory, const char* name, std::string_view title);
};

/// The finalizer of splitmix64.
std::uint64_t mixed(std::uint64_t value);

}  // namespace roadstead::mover
