#pragma once

#include <atomic>
#include <vector>

#include "mover/codec.h"
#include "mover/tree_source.h"

namespace roadstead::mover {

/// What the receiver's repository has, by the first eight bytes of names.
class KnownExtents {
 public:
  void add(std::span<const std::uint64_t> prefixes) {
    prefixes_.insert(prefixes_.end(), prefixes.begin(), prefixes.end());
  }
  void done();
  [[nodiscard]] bool contains(const Digest& digest) const;
  [[nodiscard]] std::size_t size() const { return prefixes_.size(); }

 private:
  std::vector<std::uint64_t> prefixes_;  ///< Sorted after done().
};

/// What a sender counted; see CopyData.
struct SentCounts {
  std::atomic<std::uint64_t> data{0};
  std::atomic<std::uint64_t> same{0};
  std::atomic<std::uint64_t> verified{0};  ///< As the receiver says.
};

/// Answers one thread's wants out of a source.
class Answerer {
 public:
  /// `names`: whether data must come with its hash although it does not travel.
  Answerer(TreeSource& source, const KnownExtents& known, SentCounts& counts, Compression compression,
           bool names = true);

  /// The most bytes an answer to this want may take.
  static std::size_t room_for(const Want& want) { return kAnswerHeader + std::max<std::size_t>(want.length, kMinRoom); }

  /// Writes header and payload to the front of `out`, which has room; returns how many bytes that is.
  Outcome<std::size_t> answer(const Want& want, std::span<std::byte> out);

  void announce(const Want& want) const;
  Outcome<void> end() { return reader_->end(); }

  PackingChoice& packing() { return packing_; }

 private:
  static constexpr std::size_t kMinRoom = kMaxPieces * sizeof(std::uint64_t);

  Outcome<std::size_t> answer_patch(const Spot& spot, const PieceSet& pieces, std::span<std::byte> out);
  Outcome<std::size_t> answer_data(const Spot& spot, std::span<std::byte> out);
  Outcome<std::size_t> answer_pieces(const Spot& spot, std::span<std::byte> out);
  std::size_t write(AnswerHeader header, std::span<const std::byte> payload, std::span<std::byte> out) const;
  StoredBytes packed(StoredBytes stored);

  const EntryList& entries_;
  const KnownExtents& known_;
  SentCounts& counts_;
  bool names_;
  std::unique_ptr<TreeReader> reader_;
  PackingChoice packing_;
  std::optional<Packer> packer_;
  Bytes patch_;
};

}  // namespace roadstead::mover
