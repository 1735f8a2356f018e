#pragma once

#define XXH_INLINE_ALL  // nothing to link
#include <xxhash.h>

#include <cstdint>
#include <span>
#include <vector>

#include "mover/wire.h"

namespace roadstead::mover {

/// Eight bytes of hash for each piece of an extent, from its beginning; the last piece may be shorter. They only find
/// what differs: whether the patched extent is right is decided by its name.
inline std::vector<std::uint64_t> piece_hashes(std::span<const std::byte> extent) {
  std::vector<std::uint64_t> hashes;
  hashes.reserve(extent.size() / kPiece + 1);
  for (std::size_t at = 0; at < extent.size(); at += kPiece) {
    const auto piece = extent.subspan(at, std::min(kPiece, extent.size() - at));
    hashes.push_back(XXH3_64bits(piece.data(), piece.size()));
  }
  return hashes;
}

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
