#include "mover/repository/patch.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace roadstead::mover {
namespace {

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

void append(Bytes& out, std::span<const std::byte> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

}  // namespace

std::optional<Patch> PatchMaker::make(const PatchBase& old, std::size_t length, const Patched& patched) {
  PieceSet all = old.pieces;
  for (std::size_t i = 0; i < all.size(); ++i) all[i] |= patched.changed[i];
  if (count_of(all) * kMostPatched > pieces_of(length)) return std::nullopt;
  out_.assign(sizeof(Digest), std::byte{0});  // the check's place
  append(out_, old.base);
  append(out_, all);
  pieces_.clear();
  std::span<const std::byte> before = old.bytes, now = patched.bytes;
  for (std::size_t piece = 0; piece < pieces_of(length); ++piece) {
    const std::size_t bytes = std::min(kPiece, length - piece * kPiece);
    const bool fresh = contains(patched.changed, piece);
    if (contains(all, piece)) {
      append(pieces_, (fresh ? now : before).first(bytes));
      append(out_, patched.pieces[piece]);
    }
    if (fresh) now = now.subspan(bytes);
    if (contains(old.pieces, piece)) before = before.subspan(bytes);
  }
  const auto packed = patched.packed ? packer_.pack(pieces_) : std::nullopt;
  append(out_, packed ? *packed : std::span<const std::byte>(pieces_));
  const Digest check = hasher_.of(std::span(out_).subspan(sizeof(Digest)));
  std::copy(check.begin(), check.end(), out_.begin());
  return Patch{old.base, packed ? kZstdPatch : kPatch, out_};
}

std::optional<PatchView> view_patch(std::span<const std::byte> stored) {
  if (stored.size() < kPatchHead) return std::nullopt;
  PatchView view;
  std::memcpy(view.base.data(), stored.data() + kPatchBase, sizeof view.base);
  std::memcpy(view.pieces.data(), stored.data() + kPatchBase + sizeof view.base, sizeof view.pieces);
  const std::size_t hashes = count_of(view.pieces) * sizeof(Digest);
  if (stored.size() - kPatchHead < hashes) return std::nullopt;
  view.hashes = stored.subspan(kPatchHead, hashes);
  view.bytes = stored.subspan(kPatchHead + hashes);
  return view;
}

bool is_whole_patch(std::span<const std::byte> stored, Hasher& hasher) {
  if (!view_patch(stored)) return false;
  const Digest check = hasher.of(stored.subspan(sizeof(Digest)));
  return std::equal(check.begin(), check.end(), stored.begin());
}

std::optional<std::span<const std::byte>> unpack_patch(std::uint8_t codec, const PatchView& patch, std::size_t length,
                                                       Unpacker& unpacker) {
  const auto bytes =
      unpacker.unpack(codec == kZstdPatch ? kZstd : kPlain, patch.bytes, bytes_of(ranges_of(patch.pieces, length)));
  return bytes ? std::optional(*bytes) : std::nullopt;
}

void put_pieces(const PieceSet& pieces, std::span<const std::byte> bytes, std::span<std::byte> extent) {
  for (const Range& range : ranges_of(pieces, extent.size())) {
    std::memcpy(extent.data() + range.offset, bytes.data(), range.length);
    bytes = bytes.subspan(range.length);
  }
}

}  // namespace roadstead::mover
