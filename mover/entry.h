#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "mover/outcome.h"

namespace roadstead::mover {

/// What a tree holds. Devices, FIFOs and sockets will take the numbers from 5 on; today they are skipped.
enum class EntryType : std::uint8_t { Directory = 1, File = 2, SymbolicLink = 3, HardLink = 4 };

/// Bytes of a file that are data; what lies between ranges is a hole.
struct Range {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool operator==(const Range&) const = default;
};

/// Beyond so many ranges the rest of a file counts as one (it is then written without its holes).
inline constexpr std::size_t kMaxRanges = 32768;
/// And of all files together: what is announced must not cost more memory than an honest tree does.
inline constexpr std::size_t kMaxAllRanges = std::size_t{1} << 22;
inline constexpr std::size_t kMaxName = 255;
inline constexpr std::size_t kMaxLinkTarget = 4095;
inline constexpr std::uint16_t kMaxDepth = 512;
inline constexpr std::size_t kMaxEntries = std::size_t{1} << 24;

/// One name of a tree. There are no paths: an entry names its parent by number, so it cannot point out of the tree.
struct Entry {
  EntryType type = EntryType::File;
  std::uint32_t parent = 0;  ///< The number of an earlier entry that is a directory; the root's is 0, itself.
  std::string name;          ///< Any bytes but '/' and zero; the root's is empty.
  std::uint32_t mode = 0;    ///< Permissions with setuid, setgid and sticky (07777).
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t mtime_seconds = 0;
  std::uint32_t mtime_nanos = 0;
  std::uint64_t size = 0;  ///< Files only.
  /// Files only: a number that changes whenever the source file does (inode and change time mixed). The receiver only
  /// compares it.
  std::uint64_t stamp = 0;
  std::uint32_t link_to = 0;  ///< Hard links only: the number of an earlier entry that is a file.
  std::uint16_t depth = 0;    ///< Computed, not sent.
  bool sparse = false;        ///< Files only: `ranges` says where the data is; else all of it is data.
  std::shared_ptr<const std::vector<Range>> ranges;
  std::shared_ptr<const std::string> link_target;  ///< Symbolic links only.
};

/// A tree as a list: parents come before children, the first entry is the root.
class EntryList {
 public:
  /// Takes an entry that keeps the rules above and in the comments of Entry; refuses any other with ProtocolError,
  /// so that everything behind this function may trust them. Two entries of one name are found by children_of().
  Outcome<void> add(Entry entry);

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(entries_.size()); }
  [[nodiscard]] const Entry& operator[](std::uint32_t id) const { return entries_[id]; }

  /// "base/16384/1259", for people.
  [[nodiscard]] std::string path_of(std::uint32_t id) const;

  /// The data of a file: one range for an ordinary file, none for an empty one.
  [[nodiscard]] std::vector<Range> ranges_of(std::uint32_t id) const;

  [[nodiscard]] std::uint64_t data_bytes_of(std::uint32_t id) const;

  [[nodiscard]] std::uint64_t data_bytes() const { return data_bytes_; }
  [[nodiscard]] std::uint64_t files() const { return files_; }
  /// How many ranges further sparse files may have.
  [[nodiscard]] std::size_t ranges_left() const { return kMaxAllRanges - ranges_; }

 private:
  std::vector<Entry> entries_;
  std::uint64_t data_bytes_ = 0;  ///< At most 2^63 - 1.
  std::uint64_t files_ = 0;
  std::size_t ranges_ = 0;
};

/// Every directory's children, sorted by name.
class Children {
 public:
  /// ProtocolError where a directory has two entries of one name.
  static Outcome<Children> of(const EntryList& entries);

  /// The numbers of a directory's entries.
  [[nodiscard]] std::vector<std::uint32_t>::const_iterator begin(std::uint32_t directory) const {
    return ids_.begin() + static_cast<std::ptrdiff_t>(first_[directory]);
  }
  [[nodiscard]] std::vector<std::uint32_t>::const_iterator end(std::uint32_t directory) const {
    return ids_.begin() + static_cast<std::ptrdiff_t>(first_[directory + 1]);
  }

 private:
  std::vector<std::uint64_t> first_;  ///< By directory: where its children begin in ids_.
  std::vector<std::uint32_t> ids_;
};

}  // namespace roadstead::mover
