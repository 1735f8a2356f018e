#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "mover/contract/job.h"
#include "mover/entry.h"
#include "mover/repository/repository.h"

namespace roadstead::mover {

/// The names of a file's extents, in order; kZeroDigest for zero bytes.
using DigestsOf = std::function<std::span<const Digest>(std::uint32_t file)>;

/// Makes a snapshot of what is in the repository: seals the packs, writes the manifest, syncs it and makes it visible.
/// Of `header`, the counts and stored_bytes are filled in. Entries marked in `leave_out` (may be empty) are not part of
/// it, nor what is below them, nor hard links to them. Exists: there is a snapshot of this id. Internal: an extent that
/// is named is not there.
Outcome<SnapshotSeen> commit(Repository& repository, SnapshotSeen header, const EntryList& entries,
                             const DigestsOf& digests_of, const std::vector<bool>& leave_out = {});

/// A snapshot, whole.
struct Manifest {
  SnapshotSeen header;
  EntryList entries;
  std::vector<Digest> digests;  ///< Of all files, in the order of Node::first_extent.
};

/// NotFound: no such snapshot. DamagedSnapshot: its manifest is not what was written.
Outcome<Manifest> read_manifest(const RepositoryDirectory& directory, const std::string& id);

/// What it says of itself; the rest is not looked at.
Outcome<SnapshotSeen> read_header(const RepositoryDirectory& directory, const std::string& id);

/// The snapshots of a directory.
struct SnapshotList {
  std::vector<SnapshotSeen> snapshots;  ///< By data_as_of.
  std::vector<std::string> unreadable;  ///< Ids.
};
Outcome<SnapshotList> list_snapshots(const RepositoryDirectory& directory);

/// What a manifest says of an entry, enough to compare it.
struct ManifestEntry {
  EntryType type = EntryType::File;
  bool sparse = false;
  std::uint16_t mode = 0;
  std::uint32_t parent = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::int64_t mtime_seconds = 0;
  std::uint32_t mtime_nanos = 0;
  std::uint64_t size = 0;   ///< Files only.
  std::uint64_t stamp = 0;  ///< Files only.
  std::string_view name;
  std::span<const Digest> digests;     ///< Files only.
  std::span<const std::byte> encoded;  ///< As on the wire: take_entry() reads it.
};

/// Ends a mapping of so many bytes.
struct Unmap {
  std::size_t bytes = 0;
  void operator()(const std::byte* at) const;
};

/// A manifest as it lies in a file that is mapped into memory: beside the mapping 4 bytes for an entry and 8 for a
/// directory. Views are valid as long as it. Reading is safe from several threads.
class ManifestView {
 public:
  /// Reads and checks all of it. Errors as read_manifest().
  static Outcome<ManifestView> open(const RepositoryDirectory& directory, const std::string& id);

  [[nodiscard]] const SnapshotSeen& header() const { return header_; }
  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(offsets_.size()); }
  [[nodiscard]] ManifestEntry operator[](std::uint32_t id) const;
  [[nodiscard]] ChildIds children_of(std::uint32_t directory) const;
  /// The entry of this name in a directory; 0 (the root is nobody's child) where there is none. Walking a tree in order
  /// is quickest with the entry after the last found as `guess`.
  [[nodiscard]] std::uint32_t find(std::uint32_t directory, std::string_view name, std::uint32_t guess = 0) const;
  /// "base/16384/1259", for people.
  [[nodiscard]] std::string path_of(std::uint32_t id) const;

 private:
  struct Children {
    std::uint32_t directory = 0;
    std::uint32_t first = 0;
  };
  ManifestView() = default;
  Outcome<void> check(int file, std::uint64_t bytes, const std::string& path);
  bool index(std::uint64_t at, std::uint64_t end, std::uint32_t entries);
  [[nodiscard]] const std::byte* at(std::uint32_t id) const;
  [[nodiscard]] std::string_view name_of(std::uint32_t id) const;

  std::unique_ptr<const std::byte, Unmap> map_;
  SnapshotSeen header_;
  std::vector<std::uint32_t> offsets_;  ///< Of each entry, its lower 32 bits;
  std::vector<std::uint32_t> turns_;    ///< those from which on the upper bits are one more.
  std::vector<Children> children_;      ///< Of directories that are not empty, by their number.
};

}  // namespace roadstead::mover
