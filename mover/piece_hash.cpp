#include "mover/piece_hash.h"

#include <bit>
#include <cstring>

extern "C" {
#include <blake3_impl.h>  // the compression function over many inputs at once, which blake3.h keeps to itself
}

namespace roadstead::mover {
namespace {

static_assert(std::endian::native == std::endian::little);  // words of hashes are copied as they lie

constexpr std::size_t kChunk = BLAKE3_CHUNK_LEN;
constexpr std::size_t kChunks = kPiece / kChunk;  ///< Of a whole piece.
constexpr std::size_t kBatch = 8;                 ///< Pieces hashed at once, so that the widest registers are full.
static_assert(kPiece == kChunks * kChunk && std::has_single_bit(kChunks));

using Words = std::array<std::uint32_t, 8>;

const std::uint8_t* raw(const std::byte* bytes) { return reinterpret_cast<const std::uint8_t*>(bytes); }

/// Hashes `count` whole chunks that lie one after another, the first of them the extent's `chunk`-th.
void hash_chunks(const std::byte* data, std::size_t count, std::size_t chunk, Digest* out) {
  std::array<const std::uint8_t*, kBatch * kChunks> inputs{};
  for (std::size_t i = 0; i < count; ++i) inputs[i] = raw(data + i * kChunk);
  blake3_hash_many(inputs.data(), count, kChunk / BLAKE3_BLOCK_LEN, IV, chunk, true, 0, CHUNK_START, CHUNK_END,
                   reinterpret_cast<std::uint8_t*>(out));
}

/// Replaces `count` nodes of a level by those of the level above; one that is left over goes up as it is.
std::size_t climb(Digest* nodes, std::size_t count) {
  std::array<const std::uint8_t*, kMostPieces / 2> inputs{};
  std::array<Digest, kMostPieces / 2> parents;
  const std::size_t pairs = count / 2;
  for (std::size_t i = 0; i < pairs; ++i) inputs[i] = raw(nodes[2 * i].data());
  blake3_hash_many(inputs.data(), pairs, 1, IV, 0, false, PARENT, 0, 0,
                   reinterpret_cast<std::uint8_t*>(parents.data()));
  std::copy_n(parents.begin(), pairs, nodes);
  if (count % 2 == 1) nodes[pairs] = nodes[count - 1];
  return pairs + count % 2;
}

Digest hash_short_chunk(std::span<const std::byte> data, std::size_t chunk) {
  Words chain;
  std::copy_n(IV, chain.size(), chain.begin());
  for (std::size_t at = 0; at < data.size(); at += BLAKE3_BLOCK_LEN) {
    std::array<std::uint8_t, BLAKE3_BLOCK_LEN> block{};
    const std::size_t length = std::min<std::size_t>(data.size() - at, block.size());
    std::memcpy(block.data(), data.data() + at, length);
    const auto flags =
        static_cast<std::uint8_t>((at == 0 ? CHUNK_START : 0) | (at + length == data.size() ? CHUNK_END : 0));
    blake3_compress_in_place(chain.data(), block.data(), static_cast<std::uint8_t>(length), chunk, flags);
  }
  return std::bit_cast<Digest>(chain);
}

}  // namespace

Digest piece_hash(std::size_t piece, std::span<const std::byte> bytes) {
  std::array<Digest, kChunks> nodes;
  const std::size_t whole = bytes.size() / kChunk;
  std::size_t count = whole;
  hash_chunks(bytes.data(), whole, piece * kChunks, nodes.data());
  if (bytes.size() % kChunk != 0)
    nodes[count++] = hash_short_chunk(bytes.subspan(whole * kChunk), piece * kChunks + whole);
  while (count > 1) count = climb(nodes.data(), count);
  return nodes[0];
}

Digest name_of_pieces(std::span<const Digest> pieces) {
  std::array<Digest, kMostPieces> nodes;
  std::size_t count = pieces.size();
  std::copy(pieces.begin(), pieces.end(), nodes.begin());
  while (count > 2) count = climb(nodes.data(), count);
  Words chain;
  std::copy_n(IV, chain.size(), chain.begin());
  blake3_compress_in_place(chain.data(), raw(nodes[0].data()), BLAKE3_BLOCK_LEN, 0, PARENT | ROOT);
  return std::bit_cast<Digest>(chain);
}

void PieceHasher::add(std::span<const std::byte> part) {
  if (count_ == 0 && part.size() <= kPiece) {
    pieces_[count_++] = Hasher().of(part);
    return;
  }
  std::array<Digest, kBatch * kChunks> nodes;
  while (part.size() >= kPiece) {
    const std::size_t pieces = std::min(part.size() / kPiece, kBatch);
    std::size_t count = pieces * kChunks;
    hash_chunks(part.data(), count, count_ * kChunks, nodes.data());
    while (count > pieces) count = climb(nodes.data(), count);
    std::copy_n(nodes.begin(), pieces, pieces_.begin() + static_cast<std::ptrdiff_t>(count_));
    count_ += pieces;
    part = part.subspan(pieces * kPiece);
  }
  if (part.empty()) return;
  pieces_[count_] = piece_hash(count_, part);
  ++count_;
}

Digest PieceHasher::finish() {
  if (count_ == 0) return Hasher().of({});
  return count_ == 1 ? pieces_[0] : name_of_pieces(std::span(pieces_).first(count_));
}

}  // namespace roadstead::mover
