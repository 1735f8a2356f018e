#include "mover/answerer.h"

#include <algorithm>
#include <cstring>

#include "mover/piece_hash.h"

namespace roadstead::mover {

void KnownExtents::done() { std::sort(prefixes_.begin(), prefixes_.end()); }

bool KnownExtents::contains(const Digest& digest) const {
  return std::binary_search(prefixes_.begin(), prefixes_.end(), prefix_of(digest));
}

Answerer::Answerer(TreeSource& source, const KnownExtents& known, SentCounts& counts, Compression compression,
                   bool names)
    : entries_(source.entries()),
      known_(known),
      counts_(counts),
      names_(names),
      reader_(source.reader()),
      packing_(compression) {}

Outcome<std::size_t> Answerer::answer(const Want& want, std::span<std::byte> out) {
  const auto spot = spot_of(entries_, want.file, want.offset, want.length);
  if (!spot) return failed(spot.error());
  if (want.pieces) return answer_patch(*spot, *want.pieces, out);
  const bool named = names_ || want.have;
  const auto found = reader_->find(*spot, out.subspan(kAnswerHeader, spot->length), named);
  if (!found) return failed(found.error());
  AnswerHeader header{AnswerKind::Trouble, kPlain, spot->file, spot->offset, spot->length, 0, {}};
  if (!*found) return write(header, {}, out);
  if (named && !want.whole && want.have == reader_->hash()) {
    counts_.same += spot->length;
    header.kind = AnswerKind::Same;
    return write(header, {}, out);
  }
  if (reader_->is_zero()) {
    header.kind = AnswerKind::Zero;
    return write(header, {}, out);
  }
  if (want.whole || !named) return answer_data(*spot, out);
  if (known_.contains(reader_->hash())) {
    counts_.same += spot->length;
    header.kind = AnswerKind::Have;
    header.hash = reader_->hash();
    return write(header, {}, out);
  }
  return want.patchable && want.length > kPiece ? answer_pieces(*spot, out) : answer_data(*spot, out);
}

Outcome<std::size_t> Answerer::answer_data(const Spot& spot, std::span<std::byte> out) {
  auto stored = reader_->stored();
  if (!stored) return failed(stored.error());
  const StoredBytes bytes = packed(*stored);
  counts_.data += spot.length;
  AnswerHeader header{AnswerKind::Data, bytes.codec, spot.file, spot.offset, spot.length, 0, {}};
  if (names_) header.hash = reader_->hash();
  return write(header, bytes.bytes, out);
}

Outcome<std::size_t> Answerer::answer_pieces(const Spot& spot, std::span<std::byte> out) {
  const auto pieces = reader_->pieces();
  if (!pieces) return failed(pieces.error());
  std::vector<std::uint64_t> hashes(pieces->size());
  std::transform(pieces->begin(), pieces->end(), hashes.begin(), short_hash);
  const AnswerHeader header{AnswerKind::Pieces, kPlain, spot.file, spot.offset, spot.length, 0, reader_->hash()};
  return write(header, std::as_bytes(std::span(hashes)), out);
}

Outcome<std::size_t> Answerer::answer_patch(const Spot& spot, const PieceSet& pieces, std::span<std::byte> out) {
  const auto ranges = ranges_of(pieces, spot.length);
  if (ranges.empty()) return failed(protocol_error("the peer wants no piece of an extent"));
  const auto read = reader_->read(spot, ranges, patch_);
  if (!read) return failed(read.error());
  AnswerHeader header{
      *read ? AnswerKind::Patch : AnswerKind::Trouble, kPlain, spot.file, spot.offset, spot.length, 0, {}};
  if (!*read) return write(header, {}, out);
  const StoredBytes bytes = packed({kPlain, patch_});
  header.codec = bytes.codec;
  counts_.data += patch_.size();
  return write(header, bytes.bytes, out);
}

StoredBytes Answerer::packed(StoredBytes stored) {
  if (stored.codec != kPlain || stored.bytes.size() < kPiece / 16 || !packing_.tries()) return stored;
  if (!packer_) packer_.emplace();
  if (const auto bytes = packer_->pack(stored.bytes)) {
    packing_.did_shrink();
    return {kZstd, *bytes};
  }
  packing_.did_not_shrink();
  return stored;
}

std::size_t Answerer::write(AnswerHeader header, std::span<const std::byte> payload, std::span<std::byte> out) const {
  header.stored = static_cast<std::uint32_t>(payload.size());
  put_answer(out.first<kAnswerHeader>(), header);
  std::byte* to = out.data() + kAnswerHeader;
  if (!payload.empty() && payload.data() != to) std::memcpy(to, payload.data(), payload.size());
  return kAnswerHeader + payload.size();
}

void Answerer::announce(const Want& want) const { reader_->announce({want.file, 0, want.offset, want.length}); }

}  // namespace roadstead::mover
