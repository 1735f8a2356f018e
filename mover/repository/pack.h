#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "mover/codec.h"
#include "mover/repository/directory.h"
#include "mover/repository/patch.h"

namespace roadstead::mover {

/// A sealed pack, as far as an index needs to know it.
struct PackSeen {
  PackId id = 0;
  std::uint64_t bytes = 0;         ///< On the disk.
  std::int64_t written_nanos = 0;  ///< When it was, by the file's time.
  std::uint32_t first = 0;         ///< The index's number of its first extent.
  std::uint32_t count = 0;
  std::optional<PackTrailer> trailer;  ///< Nothing: its end is damaged.
};

/// Opens a sealed pack and reads its trailer; where that is damaged, its records are counted instead.
Outcome<PackSeen> look_at_pack(const RepositoryDirectory& directory, PackId id);

Outcome<Fd> open_pack(const RepositoryDirectory& directory, PackId id);

/// What a pack holds, in the order of its records: at most `count`. Out of the records themselves where its end is
/// damaged.
std::vector<PackedExtent> extents_of(int file, const PackSeen& pack);

/// One of them, by its place in that order; nothing where the pack has no such end, or it is damaged there.
std::optional<PackedExtent> listed_extent(int file, const PackSeen& pack, std::uint32_t place);

/// False where the list of extents at a pack's end is damaged.
bool has_whole_end(int file, const PackSeen& pack);

/// Reads what an extent's record stores, extent.stored bytes or also the hashes behind them, and compares what stands
/// before them; false where that is something else.
Outcome<bool> read_stored(int file, const PackedExtent& extent, std::span<std::byte> stored);

/// Reads the hashes behind an extent's stored bytes; false where there are none. They are not compared with anything.
Outcome<bool> read_hashes(int file, const PackedExtent& extent, std::vector<Digest>& hashes);

/// Whether what a record stores is what was written: an extent by its name, a patch by the hash it carries, because its
/// base lies elsewhere and has a name of its own. One per thread.
class RecordChecker {
 public:
  /// Reads what stands behind the record's header; valid until the next call. Nothing where it is not right. Wrong
  /// hashes of pieces are no damage, for the bytes have a name: they are returned as they should be.
  Outcome<std::optional<std::span<const std::byte>>> read(int file, const PackedExtent& extent);

 private:
  bool is_right(const PackedExtent& extent, std::span<const std::byte> stored);

  Unpacker unpacker_;
  Hasher patch_hasher_;
  PieceHasher hasher_;
  Bytes stored_;
};

/// A pack that is being written.
struct OpenPack {
  PackId id = 0;
  Fd file;
  std::uint64_t size = 0;
  std::uint64_t under_way = 0;  ///< Bytes that the kernel was told to write out,
  std::uint64_t forgotten = 0;  ///< and those that it was told to forget then.
  std::vector<PackedExtent> extents;
  std::optional<std::int64_t> written_nanos;  ///< What its file is to tell; nothing: as it is.

  [[nodiscard]] bool is_full() const { return size >= kPackBytes || extents.size() >= kPackExtents; }
};

/// Makes the file and its header.
Outcome<OpenPack> make_pack(const RepositoryDirectory& directory);

/// Appends records that stand in `parts`: `extents` are theirs, their offsets counted from the first of these bytes.
Outcome<void> append(const RepositoryDirectory& directory, OpenPack& pack, std::span<PackedExtent> extents,
                     std::span<const std::span<const std::byte>> parts);

/// Writes the end of a pack, syncs and renames it; its directory is not synced yet. Returns its size.
Outcome<std::uint64_t> seal(const RepositoryDirectory& directory, OpenPack& pack);

/// Seals what writers left unfinished, up to the first extent whose hash is wrong; removes what holds nothing. Durable.
Outcome<void> keep_unfinished(const RepositoryDirectory& directory);

/// The packs that are being written, shared by the threads of a backup: as many as threads write at the same moment, so
/// that a small backup makes one. Safe from several threads.
class PackPool {
 public:
  explicit PackPool(const RepositoryDirectory& directory) : directory_(directory) {}

  /// Appends records to some pack.
  Outcome<void> append(std::span<PackedExtent> extents, std::span<const std::span<const std::byte>> parts);

  /// Seals all packs, durably. No append() at the same time.
  Outcome<void> seal_all();

  /// Of records and of what was sealed.
  [[nodiscard]] std::uint64_t stored_bytes() const;

  /// The packs sealed so far.
  [[nodiscard]] std::vector<PackId> sealed() const;

 private:
  Outcome<OpenPack> take();
  Outcome<void> give_back(OpenPack pack);
  Outcome<void> seal_one(OpenPack pack);

  const RepositoryDirectory& directory_;
  mutable std::mutex mutex_;      // guards what follows
  std::vector<OpenPack> open_;    ///< That nobody writes to now.
  std::vector<OpenPack> closed_;  ///< Full, oldest first: on their way to the disk, so that sealing is short.
  std::vector<PackId> sealed_;
  std::uint64_t stored_bytes_ = 0;
};

}  // namespace roadstead::mover
