#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "mover/hasher.h"
#include "mover/wire.h"

namespace roadstead::mover {

// BLAKE3 is a tree over chunks of 1 KiB, and the whole pieces of an extent (kPiece) are subtrees of it. So the hashes
// of pieces fall out of the computation of the extent's name, and the name can be computed from them alone: who knows
// an extent's piece hashes can tell which pieces of another one differ, and whether pieces that arrived make it what
// its name says, without the bytes of the others. https://github.com/BLAKE3-team/BLAKE3-specs, sections 2.1 and 2.4.

/// How many pieces an extent of this length has, the last one perhaps shorter.
constexpr std::size_t pieces_of(std::size_t length) { return (length + kPiece - 1) / kPiece; }
inline constexpr std::size_t kMostPieces = kMaxExtent / kPiece;

/// The hash of an extent's piece, which counts from 0 and is not the only one: its place is part of it.
Digest piece_hash(std::size_t piece, std::span<const std::byte> bytes);

/// The name of an extent that has these pieces, at least two and at most kMostPieces.
Digest name_of_pieces(std::span<const Digest> pieces);

/// Names extents as Hasher does, and keeps the hashes of their pieces. One per thread.
class PieceHasher {
 public:
  void start() { count_ = 0; }
  /// Every part but an extent's last is whole pieces, two at least; no more than kMaxExtent in all.
  void add(std::span<const std::byte> part);
  [[nodiscard]] Digest finish();

  Digest of(std::span<const std::byte> extent) {
    start();
    add(extent);
    return finish();
  }

  /// Of the extent that was finished last; none if it has only one. Valid until the next start().
  [[nodiscard]] std::span<const Digest> pieces() const { return std::span(pieces_).first(count_ < 2 ? 0 : count_); }

 private:
  std::array<Digest, kMostPieces> pieces_{};
  std::size_t count_ = 0;
};

/// What is sent of a piece's hash to find what differs. Whether the patched extent is right is decided by its name.
inline std::uint64_t short_hash(const Digest& piece) { return prefix_of(piece); }

inline bool contains(const PieceSet& set, std::size_t piece) {
  return (std::to_integer<unsigned>(set[piece / 8]) >> (piece % 8) & 1U) != 0;
}

inline void insert(PieceSet& set, std::size_t piece) { set[piece / 8] |= std::byte{1} << (piece % 8); }

/// Where the pieces of a set lie in an extent of this length; those behind its end are none.
inline std::vector<Range> ranges_of(const PieceSet& set, std::size_t length) {
  std::vector<Range> ranges;
  for (std::size_t piece = 0; piece * kPiece < length; ++piece) {
    if (!contains(set, piece)) continue;
    const std::size_t at = piece * kPiece, bytes = std::min(kPiece, length - at);
    if (!ranges.empty() && ranges.back().offset + ranges.back().length == at)
      ranges.back().length += bytes;
    else
      ranges.push_back({at, bytes});
  }
  return ranges;
}

}  // namespace roadstead::mover
