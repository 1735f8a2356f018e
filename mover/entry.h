#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "mover/outcome.h"

namespace roadstead::mover {

/// What a tree holds. Sockets are skipped and told: they mean nothing without the process that made them.
enum class EntryType : std::uint8_t {
  Directory = 1,
  File = 2,
  SymbolicLink = 3,
  HardLink = 4,
  CharacterDevice = 5,
  BlockDevice = 6,
  Fifo = 7
};

/// Bytes of a file that are data; what lies between ranges is a hole.
struct Range {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  bool operator==(const Range&) const = default;
};

/// An extended attribute. ACLs and file capabilities are those of their names (system.posix_acl_*,
/// security.capability).
struct Attribute {
  std::string name;
  std::string value;
  bool operator==(const Attribute&) const = default;
};

/// Bytes of a file that are compared, named and moved as one: each range of data cut at multiples of it. Smaller than
/// the protocol allows: it stays in the CPU's caches between reading, hashing and encryption.
inline constexpr std::size_t kExtent = std::size_t{1} << 20;

/// Beyond so many ranges the rest of a file counts as one (it is then written without its holes).
inline constexpr std::size_t kMaxRanges = 32768;
/// And of all files together: what is announced must not cost more memory than an honest tree does.
inline constexpr std::size_t kMaxAllRanges = std::size_t{1} << 22;
inline constexpr std::size_t kMaxName = 255;
inline constexpr std::size_t kMaxLinkTarget = 4095;
inline constexpr std::uint16_t kMaxDepth = 4096;
inline constexpr std::size_t kMaxEntries = std::size_t{1} << 26;
/// Attributes of one entry, names and values; and those of all entries, equal ones counted once.
inline constexpr std::size_t kMaxAttributeBytes = std::size_t{256} << 10;
inline constexpr std::size_t kMaxAllAttributeBytes = std::size_t{64} << 20;

/// In a stamp: the file may have changed once more since without showing it. Who has only such a stamp to compare with
/// looks at the bytes.
inline constexpr std::uint64_t kUnsettled = std::uint64_t{1} << 63;

/// One name of a tree, as it is announced. There are no paths: an entry names its parent by number, so it cannot point
/// out of the tree.
struct Entry {
  EntryType type = EntryType::File;
  std::uint32_t parent = 0;  ///< The number of an earlier entry that is a directory; the root's is 0, itself.
  std::string name{};        ///< Any bytes but '/' and zero; the root's is empty.
  std::uint32_t mode = 0;    ///< Permissions with setuid, setgid and sticky (07777).
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t mtime_seconds = 0;
  std::uint32_t mtime_nanos = 0;
  std::uint64_t size = 0;  ///< Files only.
  /// Files only: a number that changes whenever the source file does (inode and change time mixed), and kUnsettled.
  /// Only compared.
  std::uint64_t stamp = 0;
  std::uint32_t link_to = 0;  ///< Hard links only: an earlier entry, no directory and no hard link itself.
  std::uint32_t major = 0;    ///< Devices only,
  std::uint32_t minor = 0;    ///< like this.
  bool sparse = false;        ///< Files only: `ranges` says where the data is; else all of it is data.
  std::vector<Range> ranges{};
  std::string link_target{};            ///< Symbolic links only.
  std::vector<Attribute> attributes{};  ///< By name, each once.
};

/// An entry as a list keeps it: 72 bytes and its name. What only few entries have is kept by the list.
struct Node {
  EntryType type = EntryType::File;
  bool sparse = false;
  std::uint16_t mode = 0;
  std::uint16_t depth = 0;  ///< 0: the root.
  std::uint8_t name_length = 0;
  std::uint32_t parent = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t mtime_nanos = 0;
  std::uint32_t attributes = 0;  ///< Which set of the list's; 0: none.
  std::uint32_t detail = 0;      ///< Hard links: link_to. Sparse files, symbolic links: where the list keeps the rest.
  std::uint32_t first_extent =
      0;  ///< Files: how many extents were added before its own. Directories: their first child.
  std::int64_t mtime_seconds = 0;
  std::uint64_t size = 0;  ///< Files: bytes. Devices: major << 32 | minor. Directories: how many children.
  std::uint64_t stamp = 0;
  const char* name_bytes = nullptr;  ///< Ends with a zero byte.

  [[nodiscard]] std::string_view name() const { return {name_bytes, name_length}; }
  [[nodiscard]] std::uint32_t link_to() const { return detail; }
  [[nodiscard]] std::uint32_t major_number() const { return static_cast<std::uint32_t>(size >> 32); }
  [[nodiscard]] std::uint32_t minor_number() const { return static_cast<std::uint32_t>(size); }
};

/// The numbers of a directory's entries: they follow each other.
class ChildIds {
 public:
  class Iterator {
   public:
    explicit Iterator(std::uint32_t id) : id_(id) {}
    std::uint32_t operator*() const { return id_; }
    Iterator& operator++() {
      ++id_;
      return *this;
    }
    bool operator==(const Iterator&) const = default;

   private:
    std::uint32_t id_;
  };
  ChildIds(std::uint32_t first, std::uint32_t count) : first_(first), count_(count) {}
  [[nodiscard]] Iterator begin() const { return Iterator(first_); }
  [[nodiscard]] Iterator end() const { return Iterator(first_ + count_); }
  [[nodiscard]] std::uint32_t first() const { return first_; }
  [[nodiscard]] std::uint32_t size() const { return count_; }

 private:
  std::uint32_t first_, count_;
};

/// A tree as a list: the root, then the entries of one directory after another, directories in the order in which they
/// stand in the list themselves, the entries of each by the bytes of their names.
class EntryList {
 public:
  EntryList() = default;
  EntryList(EntryList&&) = default;
  EntryList& operator=(EntryList&&) = default;

  /// Takes an entry that keeps the rules above and in the comments of Entry; refuses any other with ProtocolError, so
  /// that everything behind this function may trust them.
  Outcome<void> add(const Entry& entry);

  /// Puts what is known now of a file that has changed since it was added; name and place stay. ProtocolError as add().
  /// Its first_extent changes: its extents count anew, behind all others.
  Outcome<void> restate(std::uint32_t id, const Entry& entry);

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(nodes_.size()); }
  [[nodiscard]] const Node& operator[](std::uint32_t id) const { return nodes_[id]; }

  /// Of a directory.
  [[nodiscard]] ChildIds children_of(std::uint32_t id) const {
    return {nodes_[id].first_extent, static_cast<std::uint32_t>(nodes_[id].size)};
  }
  /// The entry of this name in a directory; 0 (the root is nobody's child) where there is none.
  [[nodiscard]] std::uint32_t find(std::uint32_t directory, std::string_view name) const;

  /// As it was added.
  [[nodiscard]] Entry entry_of(std::uint32_t id) const;

  /// "base/16384/1259", for people.
  [[nodiscard]] std::string path_of(std::uint32_t id) const;

  [[nodiscard]] const std::string& link_target_of(std::uint32_t id) const;
  /// Empty for most.
  [[nodiscard]] const std::vector<Attribute>& attributes_of(std::uint32_t id) const;

  /// The data of a file: one range for an ordinary file, none for an empty one.
  [[nodiscard]] std::vector<Range> ranges_of(std::uint32_t id) const;
  [[nodiscard]] std::uint64_t data_bytes_of(std::uint32_t id) const;
  /// How many extents a file has.
  [[nodiscard]] std::uint32_t extents_of(std::uint32_t id) const;

  [[nodiscard]] std::uint64_t data_bytes() const { return data_bytes_; }
  [[nodiscard]] std::uint64_t logical_bytes() const { return logical_bytes_; }
  [[nodiscard]] std::uint64_t files() const { return files_; }
  /// Of all files as they were added, and as they were restated.
  [[nodiscard]] std::uint32_t extents() const { return extents_; }
  /// How many ranges further sparse files may have.
  [[nodiscard]] std::size_t ranges_left() const { return kMaxAllRanges - ranges_; }

 private:
  struct Detail {  ///< Of a sparse file, or a symbolic link.
    std::string link_target;
    std::vector<Range> ranges;
  };

  Outcome<void> check(const Entry& entry) const;
  Outcome<void> check_place(const Entry& entry) const;
  Outcome<void> check_file(const Entry& entry) const;
  [[nodiscard]] std::string refusal(std::string_view why) const;
  void keep_file(Node& node, const Entry& entry);
  const char* keep_name(std::string_view name);
  std::uint32_t keep_attributes(const std::vector<Attribute>& attributes);

  std::deque<Node> nodes_;                      ///< Grows without a moment at which all is there twice.
  std::vector<std::unique_ptr<char[]>> names_;  ///< Blocks; names do not move.
  std::size_t names_left_ = 0;                  ///< In the last of them.
  std::vector<Detail> details_;
  std::vector<std::vector<Attribute>> attribute_sets_;  ///< Number n is at n - 1.
  std::unordered_map<std::string, std::uint32_t> known_sets_;
  std::size_t attribute_bytes_ = 0;
  std::uint64_t data_bytes_ = 0;  ///< At most 2^63 - 1.
  std::uint64_t logical_bytes_ = 0;
  std::uint64_t files_ = 0;
  std::uint32_t extents_ = 0;
  std::size_t ranges_ = 0;
};

/// The first piece of a range: up to the next multiple of kExtent, so that both trees are cut alike.
Range first_piece_of(const Range& range);
/// How many pieces a range has.
std::uint64_t pieces_in(const Range& range);

}  // namespace roadstead::mover
