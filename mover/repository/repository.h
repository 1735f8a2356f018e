#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "mover/repository/directory.h"
#include "mover/repository/index.h"
#include "mover/repository/pack.h"

namespace roadstead::mover {

/// A patch whose base is damaged, or was swept because nobody needed the patch: it cannot be read.
struct BaselessPatch {
  Digest name{};
  Digest base{};
  PackId pack = 0;
};

/// A repository directory with its index in memory. Movable; what reads from it or writes to it must not outlive it.
class Repository {
 public:
  /// Locks the directory and reads what its packs hold. Write also makes what is missing, keeps the whole extents of
  /// packs that were left unfinished, and removes a manifest that was. Errors: those of RepositoryDirectory::open(),
  /// TooLarge.
  static Outcome<Repository> open(const std::string& path, Use use);

  [[nodiscard]] const RepositoryDirectory& directory() const { return state_->directory; }

  /// True for what is in a sealed pack or on its way into one; always for zero bytes. What is known to be damaged is
  /// not there. Safe from several threads.
  [[nodiscard]] bool has(const Digest& name) const;
  [[nodiscard]] std::size_t extents() const { return state_->index->size(); }
  /// So many may be added: the index is made for them at once and need not grow. Before any PackWriter.
  void expect(std::size_t more) { state_->index->reserve(extents() + more); }
  /// The first eight bytes of names, those in the newest packs first; at most `most`.
  [[nodiscard]] std::vector<std::uint64_t> prefixes(std::size_t most) const;

  /// Reads again what the packs hold now. With no PackWriter or ExtentReader about.
  Outcome<void> reload();
  /// The names of extents that are damaged, or patches of such, and that no other pack has; in order.
  [[nodiscard]] Outcome<std::vector<Digest>> lost() const;

  /// Those of this name.
  [[nodiscard]] std::span<const BaselessPatch> baseless(const Digest& name) const;

  /// Seals what all PackWriters have written, durably; they must have finished.
  Outcome<void> seal() { return state_->pool.seal_all(); }
  /// What was added to the packs since open(), in bytes on the disk.
  [[nodiscard]] std::uint64_t stored_bytes() const { return state_->pool.stored_bytes(); }
  [[nodiscard]] std::uint64_t free_bytes() const { return state_->directory.free_bytes(); }

  /// The packs as they were at open(), oldest first.
  [[nodiscard]] const std::vector<PackSeen>& packs() const { return state_->packs; }
  /// The number of an extent: its pack is that whose numbers, from `first`, hold it. Nothing where it is not in a pack
  /// that was there at open().
  [[nodiscard]] std::optional<std::uint32_t> number_of(const Digest& name) const;
  [[nodiscard]] const PackSeen& pack_of(std::uint32_t number) const;

 private:
  friend class PackWriter;
  struct State {
    explicit State(RepositoryDirectory opened) : directory(std::move(opened)) {}
    RepositoryDirectory directory;
    std::vector<PackSeen> packs;
    std::optional<ExtentIndex> index;
    std::vector<BaselessPatch> baseless;  ///< In the order of their names.
    PackPool pool{directory};
  };
  explicit Repository(std::unique_ptr<State> state) : state_(std::move(state)) {}
  Outcome<void> look_at_packs(const std::vector<PackId>& ids);
  /// What the threads that load packs share.
  struct Loading {
    const std::vector<DamagedExtent> damaged;
    std::vector<std::uint8_t> whole;  ///< By number: in the index, and no patch.
    bool patches = false;             ///< These are loaded now, not what is whole.
    std::mutex mutex{};               // guards State::baseless
  };
  Outcome<void> load_pack(const PackSeen& pack, Loading& loading);
  Outcome<void> load(std::vector<DamagedExtent> damaged);

  std::unique_ptr<State> state_;
};

/// An extent as it can be sent.
struct StoredExtent {
  std::uint8_t codec = kPlain;       ///< Or kZstd.
  std::uint32_t length = 0;          ///< Of the file's bytes.
  std::span<const std::byte> bytes;  ///< Valid until the reader is used again.
};

/// Reads extents. One per thread. DamagedExtent: it cannot be had; the message names its pack.
class ExtentReader {
 public:
  explicit ExtentReader(const Repository& repository) : repository_(repository) {}

  /// The bytes as they are stored, a patch put together, not compared with the name: whoever gets them does that.
  Outcome<StoredExtent> stored(const Digest& name);

  /// The file's bytes, whose hash is the name. Valid until the reader is used again.
  Outcome<std::span<const std::byte>> plain(const Digest& name);

  /// The file's bytes, not compared with the name. DamagedExtent also where there are not as many as `out` takes.
  Outcome<void> read(const Digest& name, std::span<std::byte> out);

  /// The hashes of its pieces, without its bytes, not compared with the name; false where it has too few for that.
  Outcome<bool> pieces(const Digest& name, std::vector<Digest>& hashes);

  /// Some of the file's bytes, ranges that count from the extent's beginning, one after another. Not compared with the
  /// name where the others need not be read for them.
  Outcome<void> read(const Digest& name, const std::vector<Range>& ranges, Bytes& out);

  /// What a patch of it would be based on: itself, or what it is a patch of. Valid until the reader is used again.
  Outcome<PatchBase> patch_base(const Digest& name);

 private:
  struct Open {
    Fd file;
    std::vector<PackedExtent> extents;  ///< Where the pack's end is damaged; else they are read there one by one.
    std::uint64_t used = 0;             ///< When, counted in reads.
  };
  /// An extent in a pack that is open.
  struct Found {
    PackedExtent extent;
    int file = -1;
  };
  Outcome<Found> seek(const Digest& name);
  Outcome<Open*> open(const PackSeen& pack);
  Outcome<void> read_record(const Found& found, std::span<std::byte> stored);
  Outcome<void> read_whole(const Found& found, std::span<std::byte> out);
  Outcome<void> read_patched(const Found& found, std::span<std::byte> out);
  Outcome<Found> seek_base(const PackedExtent& extent);
  [[nodiscard]] Failure wrong(const Digest& name, std::string_view why) const;

  const Repository& repository_;
  std::unordered_map<PackId, Open> open_;  ///< A few.
  std::uint64_t reads_ = 0;
  Bytes stored_, patch_, plain_;
  Unpacker unpacker_, patch_unpacker_;
  Hasher hasher_;
};

/// Adds extents. One per thread; cheap.
class PackWriter {
 public:
  explicit PackWriter(Repository& repository) : state_(*repository.state_) {}
  PackWriter(const PackWriter&) = delete;
  PackWriter& operator=(const PackWriter&) = delete;
  /// What was added and not finished is written as well as may be: the next attempt need not bring it again.
  ~PackWriter() { [[maybe_unused]] const auto ignored = finish(); }

  /// Takes an extent of `length` bytes, stored as they are (kPlain) or packed; the caller has compared them with the
  /// name. `pieces`: the hashes of its pieces, wanted where PackedExtent::hash_bytes() says so. One that is there, or
  /// that another thread has taken, is not written again. NoSpace with numbers.
  Outcome<void> add(const Digest& name, std::uint8_t codec, std::uint32_t length, std::span<const std::byte> stored,
                    std::span<const Digest> pieces);

  /// Likewise, as a patch of an extent that is there.
  Outcome<void> add_patch(const Digest& name, std::uint32_t length, const Patch& patch);

  /// Everything taken is in a pack; durable with Repository::seal().
  Outcome<void> finish();

 private:
  Outcome<void> add(PackedExtent extent, std::span<const std::byte> stored, std::span<const std::byte> hashes);
  Outcome<void> write_out(std::span<const std::byte> last, std::span<const std::byte> hashes);

  Repository::State& state_;
  Bytes buffer_;
  std::vector<PackedExtent> extents_;  ///< In the buffer, but for the stored bytes of the last.
};

}  // namespace roadstead::mover
