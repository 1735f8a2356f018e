#pragma once

#include <optional>
#include <span>

#include "mover/codec.h"
#include "mover/repository/format.h"

namespace roadstead::mover {

/// What a patch record has in common with another extent.
struct PatchBase {
  Digest base{};      ///< Never a patch itself.
  PieceSet pieces{};  ///< Those in which it differs from the base.
};

/// What a patch record stores: hash of what follows (32), base (32), pieces (16), the pieces' bytes, plain or packed.
struct Patch {
  Digest base{};
  std::uint8_t codec = kPatch;
  std::span<const std::byte> stored;
};

inline constexpr std::size_t kPatchBase = 32;  ///< Where the base's name stands in what is stored.
inline constexpr std::size_t kPatchHead = 80;

/// Makes patches. One per thread.
class PatchMaker {
 public:
  /// `plain`, an extent, as a patch of the base of `old`, from which it differs in `changed`. Nothing where too much of
  /// it differs from the base by now: it is better stored whole. Valid until the next call.
  std::optional<Patch> make(const PatchBase& old, const PieceSet& changed, std::span<const std::byte> plain, bool pack);

 private:
  Hasher hasher_;
  Packer packer_;
  Bytes pieces_, out_;
};

/// The head of what a patch record stores, whatever its bytes are worth. Nothing where there is none.
std::optional<PatchBase> patch_base(std::span<const std::byte> stored);

/// Whether the bytes are those that were written. Without the base: that has a name of its own.
bool is_whole_patch(std::span<const std::byte> stored, Hasher& hasher);

/// Puts the pieces of a patch into the base's bytes; false where they do not fit.
bool apply_patch(std::uint8_t codec, std::span<const std::byte> stored, Unpacker& unpacker, std::span<std::byte> bytes);

}  // namespace roadstead::mover
