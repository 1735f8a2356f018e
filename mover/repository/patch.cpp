#include "mover/repository/patch.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "mover/piece_hash.h"

namespace roadstead::mover {
namespace {

/// Of an extent's pieces. With more, a base keeps bytes that nobody needs, and reading takes more than it saves.
constexpr std::size_t kMostPatched = 4;

static_assert(kPatchHead == kPatchBase + sizeof(Digest) + sizeof(PieceSet));

std::size_t count_of(const PieceSet& set) {
  std::size_t count = 0;
  for (const std::byte bits : set) count += static_cast<std::size_t>(std::popcount(std::to_integer<unsigned>(bits)));
  return count;
}

std::size_t bytes_of(const std::vector<Range>& ranges) {
  std::size_t bytes = 0;
  for (const Range& range : ranges) bytes += range.length;
  return bytes;
}

}  // namespace

std::optional<Patch> PatchMaker::make(const PatchBase& old, const PieceSet& changed, std::span<const std::byte> plain,
                                      bool pack) {
  PieceSet pieces = old.pieces;
  for (std::size_t i = 0; i < pieces.size(); ++i) pieces[i] |= changed[i];
  const std::size_t all = (plain.size() + kPiece - 1) / kPiece;
  if (count_of(pieces) * kMostPatched > all) return std::nullopt;
  pieces_.clear();
  for (const Range& range : ranges_of(pieces, plain.size())) {
    const auto bytes = plain.subspan(range.offset, range.length);
    pieces_.insert(pieces_.end(), bytes.begin(), bytes.end());
  }
  const auto packed = pack ? packer_.pack(pieces_) : std::nullopt;
  const std::span<const std::byte> stored = packed ? *packed : std::span<const std::byte>(pieces_);
  out_.resize(kPatchHead + stored.size());
  std::byte* to = out_.data() + kPatchBase;
  to = std::copy(old.base.begin(), old.base.end(), to);
  to = std::copy(pieces.begin(), pieces.end(), to);
  std::copy(stored.begin(), stored.end(), to);
  const Digest check = hasher_.of(std::span(out_).subspan(sizeof(Digest)));
  std::copy(check.begin(), check.end(), out_.begin());
  return Patch{old.base, packed ? kZstdPatch : kPatch, out_};
}

std::optional<PatchBase> patch_base(std::span<const std::byte> stored) {
  if (stored.size() < kPatchHead) return std::nullopt;
  PatchBase head;
  std::memcpy(head.base.data(), stored.data() + kPatchBase, sizeof head.base);
  std::memcpy(head.pieces.data(), stored.data() + kPatchBase + sizeof head.base, sizeof head.pieces);
  return head;
}

bool is_whole_patch(std::span<const std::byte> stored, Hasher& hasher) {
  if (stored.size() < kPatchHead) return false;
  const Digest check = hasher.of(stored.subspan(sizeof(Digest)));
  return std::equal(check.begin(), check.end(), stored.begin());
}

bool apply_patch(std::uint8_t codec, std::span<const std::byte> stored, Unpacker& unpacker,
                 std::span<std::byte> bytes) {
  const auto head = patch_base(stored);
  if (!head) return false;
  const auto ranges = ranges_of(head->pieces, bytes.size());
  const auto pieces =
      unpacker.unpack(codec == kZstdPatch ? kZstd : kPlain, stored.subspan(kPatchHead), bytes_of(ranges));
  if (!pieces) return false;
  auto from = pieces->begin();
  for (const Range& range : ranges) {
    std::copy_n(from, range.length, bytes.begin() + static_cast<std::ptrdiff_t>(range.offset));
    from += static_cast<std::ptrdiff_t>(range.length);
  }
  return true;
}

}  // namespace roadstead::mover
