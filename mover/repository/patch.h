#pragma once

#include <optional>
#include <span>

#include "mover/codec.h"
#include "mover/repository/format.h"
#include "mover/sink.h"

namespace roadstead::mover {

/// What an extent has of its own beside a base. Of one that is no patch: nothing beside itself.
struct PatchBase {
  Digest base{};                       ///< Never a patch itself.
  PieceSet pieces{};                   ///< Those in which it differs from the base,
  std::span<const std::byte> bytes{};  ///< and their bytes, one after another.
};

/// A patch record to be written.
struct Patch {
  Digest base{};
  std::uint8_t codec = kPatch;
  std::span<const std::byte> stored;
};

/// What a patch record stores: hash of what follows (32), base (32), pieces (16), hashes of the pieces (32 each), the
/// pieces' bytes, plain or packed.
struct PatchView {
  Digest base{};
  PieceSet pieces{};
  std::span<const std::byte> hashes;
  std::span<const std::byte> bytes;
};

inline constexpr std::size_t kPatchBase = 32;  ///< Where the base's name stands in what is stored.
inline constexpr std::size_t kPatchHead = 80;
/// With the hashes of as many pieces as a patch may have.
inline constexpr std::size_t kMaxPatchHead = kPatchHead + kMaxPieces / kMostPatched * sizeof(Digest);

/// Makes patches. One per thread.
class PatchMaker {
 public:
  /// The extent, of `length` bytes, as a patch of the base of what it was. Nothing where too much of it differs from
  /// the base by now: it is better stored whole. Valid until the next call.
  std::optional<Patch> make(const PatchBase& old, std::size_t length, const Patched& patched);

 private:
  Hasher hasher_;
  Packer packer_;
  Bytes pieces_, out_;
};

/// What a patch record stores, or the beginning of it with at least the hashes; nothing where that cannot be.
std::optional<PatchView> view_patch(std::span<const std::byte> stored);

/// Whether the bytes are those that were written. Without the base: that has a name of its own.
bool is_whole_patch(std::span<const std::byte> stored, Hasher& hasher);

/// The pieces' bytes of a patch of an extent of this length; nothing where they do not fit.
std::optional<std::span<const std::byte>> unpack_patch(std::uint8_t codec, const PatchView& patch, std::size_t length,
                                                       Unpacker& unpacker);

/// Puts pieces into the base's bytes.
void put_pieces(const PieceSet& pieces, std::span<const std::byte> bytes, std::span<std::byte> extent);

}  // namespace roadstead::mover
