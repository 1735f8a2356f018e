#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "mover/files.h"
#include "mover/hasher.h"

namespace roadstead::mover {

inline constexpr const char* kHashesName = "hashes";

/// `<request>/hashes`: the digests of a volume's files as they were found while the application still ran.
///
/// A file is told by device, inode, size and both times of change; any touch of it makes its record worthless. Digests
/// stay on the disk, 16 bytes a file in memory. Believed as BoundFile says.
class HashFile {
 public:
  /// Opens it, or makes it for this tree.
  static Outcome<HashFile> open(int request, std::uint64_t tree_inode);

  HashFile(HashFile&&) = default;

  /// The digests of the file's pieces of kExtent bytes from its beginning, the last one shorter; kZeroDigest for a
  /// piece that is a hole. Nothing where it is not known, or not believed. Safe from several threads.
  [[nodiscard]] std::optional<std::vector<Digest>> find(const struct stat& status) const;
  [[nodiscard]] bool has(const struct stat& status) const;

  /// Remembers them. Safe from several threads; a record that cannot be written is only hashed again.
  void add(const struct stat& status, const std::vector<Digest>& digests);

  /// Writes what was added; the destructor does not.
  void flush();

 private:
  struct Head {
    std::uint64_t key = 0;
    std::uint64_t count = 0;
    std::uint64_t check = 0;  ///< Of the key and the digests behind this head.
  };
  struct Known {
    std::uint64_t key = 0;
    std::uint64_t offset = 0;  ///< Of its head.
  };

  explicit HashFile(Fd file) : file_(std::move(file)), mutex_(std::make_unique<std::mutex>()) {}
  static std::uint64_t key_of(const struct stat& status);
  [[nodiscard]] std::vector<Known>::const_iterator known_of(std::uint64_t key) const;
  void load();
  void write_out();

  Fd file_;
  std::vector<Known> known_;           ///< Sorted by key; read only after open().
  std::unique_ptr<std::mutex> mutex_;  // guards fresh_
  std::vector<std::byte> fresh_;
};

}  // namespace roadstead::mover
