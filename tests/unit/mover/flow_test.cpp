// The parts that decide what travels: pieces, what is known, when packing pays, how fast a limited line goes.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "mover/answerer.h"
#include "mover/assembly.h"
#include "mover/piece_hash.h"
#include "mover/throttle.h"
#include "mover/ticking.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

Bytes bytes_of(std::size_t size, unsigned seed) {
  Bytes bytes(size);
  std::uint32_t state = seed * 2654435761U + 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

std::vector<Digest> pieces_in(PieceHasher& hasher, std::span<const std::byte> bytes) {
  static_cast<void>(hasher.of(bytes));
  return {hasher.pieces().begin(), hasher.pieces().end()};
}

TEST(PieceHashes, DifferExactlyWhereTheBytesDo) {
  const Bytes before = bytes_of(5 * kPiece + 100, 1);
  Bytes after = before;
  after[2 * kPiece] ^= std::byte{1};
  after[5 * kPiece + 99] ^= std::byte{1};
  PieceHasher hasher;
  const auto one = pieces_in(hasher, before), other = pieces_in(hasher, after);
  ASSERT_EQ(one.size(), 6U);
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(one[i] == other[i], i != 2 && i != 5) << i;
}

/// All that matters to a tree of chunks and pieces: none, parts of a block, of a chunk, of a piece; odd numbers of
/// each.
std::vector<std::size_t> lengths() {
  std::vector<std::size_t> all;
  for (const std::size_t middle : {std::size_t{0}, std::size_t{64}, std::size_t{1024}, std::size_t{3072}, kPiece,
                                   2 * kPiece, 3 * kPiece, 17 * kPiece, 100 * kPiece, kExtent, kMaxExtent})
    for (const std::size_t length : {middle - 1, middle, middle + 1, middle + 700})
      if (length <= kMaxExtent) all.push_back(length);
  return all;
}

TEST(PieceHashes, AreThoseOfWhichAnExtentsNameIsMade) {
  const Bytes bytes = bytes_of(kMaxExtent, 3);
  PieceHasher hasher;
  for (const std::size_t length : lengths()) {
    const auto extent = std::span(bytes).first(length);
    const Digest name = Hasher().of(extent);
    EXPECT_EQ(hasher.of(extent), name) << length;
    const auto pieces = pieces_in(hasher, extent);
    ASSERT_EQ(pieces.size(), length <= kPiece ? 0 : (length + kPiece - 1) / kPiece);
    if (pieces.empty()) continue;
    EXPECT_EQ(name_of_pieces(pieces), name) << length;
    for (std::size_t i = 0; i < pieces.size(); ++i)
      EXPECT_EQ(piece_hash(i, extent.subspan(i * kPiece, std::min(kPiece, length - i * kPiece))), pieces[i])
          << length << ", piece " << i;
  }
}

TEST(PieceHashes, AreTheSameWhenAnExtentComesInParts) {
  PieceHasher whole, parts;
  for (const std::size_t length : {kExtent - 5, 3 * kPiece + 100, 6 * kPiece + 1, 7 * kPiece}) {
    const Bytes bytes = bytes_of(length, 4);
    parts.start();
    for (std::size_t at = 0; at < length; at += 3 * kPiece)
      parts.add(std::span(bytes).subspan(at, std::min(3 * kPiece, length - at)));
    EXPECT_EQ(parts.finish(), whole.of(bytes)) << length;
    EXPECT_TRUE(std::ranges::equal(parts.pieces(), whole.pieces())) << length;
  }
}

TEST(PieceHashes, OfTheSameBytesInAnotherPlaceAreOthers) {
  const Bytes bytes = bytes_of(kPiece, 5);
  EXPECT_NE(piece_hash(0, bytes), piece_hash(1, bytes));
}

TEST(PieceSets, AreRangesOfTheExtentAndNeverBeyondIt) {
  PieceSet set{};
  for (const std::size_t piece : {0U, 1U, 3U, 127U}) insert(set, piece);
  EXPECT_EQ(ranges_of(set, kExtent),
            (std::vector<Range>{{0, 2 * kPiece}, {3 * kPiece, kPiece}, {127 * kPiece, kPiece}}));
  EXPECT_EQ(ranges_of(set, 3 * kPiece + 5), (std::vector<Range>{{0, 2 * kPiece}, {3 * kPiece, 5}}));
  EXPECT_TRUE(ranges_of(PieceSet{}, kExtent).empty());
}

TEST(KnownExtents, AreFoundByTheBeginningOfTheirNames) {
  Digest here{}, elsewhere{};
  here[0] = std::byte{1};
  elsewhere[8] = std::byte{1};  // beyond the first eight bytes
  KnownExtents known;
  const std::array<std::uint64_t, 2> prefixes{prefix_of(here), 99};
  known.add(prefixes);
  known.done();
  EXPECT_TRUE(known.contains(here));
  EXPECT_FALSE(known.contains(elsewhere));
}

EntryList two_files() {
  EntryList entries;
  EXPECT_TRUE(entries.add({.type = EntryType::Directory}));
  EXPECT_TRUE(entries.add({.type = EntryType::File, .name = "dense", .size = 2 * kMiB + 10}));
  EXPECT_TRUE(entries.add({.type = EntryType::File,
                           .name = "sparse",
                           .size = 10 * kMiB,
                           .sparse = true,
                           .ranges = {{kMiB - 4, 8}, {5 * kMiB, 2 * kMiB}}}));
  return entries;
}

TEST(Spots, AreExactlyTheExtentsThatAFileHas) {
  const EntryList entries = two_files();
  const auto index = [&](std::uint32_t file, std::uint64_t offset, std::uint64_t length) {
    const auto spot = spot_of(entries, file, offset, static_cast<std::uint32_t>(length));
    return spot ? static_cast<int>(spot->index) : -1;
  };
  EXPECT_EQ(index(1, 0, kMiB), 0);
  EXPECT_EQ(index(1, 2 * kMiB, 10), 2);
  EXPECT_EQ(index(1, 2 * kMiB, 11), -1);
  EXPECT_EQ(index(1, 1, 10), -1) << "within an extent";
  EXPECT_EQ(index(1, 3 * kMiB, 1), -1);
  EXPECT_EQ(index(1, ~std::uint64_t{0}, 1), -1);
  EXPECT_EQ(index(2, kMiB - 4, 4), 0);
  EXPECT_EQ(index(2, kMiB, 4), 1);
  EXPECT_EQ(index(2, 5 * kMiB, kMiB), 2);
  EXPECT_EQ(index(2, 6 * kMiB, kMiB), 3);
  EXPECT_EQ(index(2, 2 * kMiB, kMiB), -1) << "a hole";
  EXPECT_EQ(index(2, 7 * kMiB, 1), -1);
  EXPECT_EQ(index(0, 0, 1), -1) << "a directory";
  EXPECT_EQ(index(9, 0, 1), -1);
}

/// A line of so many bytes per second, in windows of 250 ms.
class PackingOnALine : public ::testing::Test {
 protected:
  /// What goes through in a window if packing is as it is now; true: packing was on.
  bool window(double plain_rate, double packed_rate, double waiting_plain, double waiting_packed) {
    constexpr double kSeconds = 0.25;
    const bool on = choice_.on();
    now_ += 250ms;
    bytes_ += static_cast<std::uint64_t>((on ? packed_rate : plain_rate) * kSeconds);
    waited_ +=
        std::chrono::nanoseconds(static_cast<std::int64_t>((on ? waiting_packed : waiting_plain) * kSeconds * 1e9));
    choice_.sent(now_, bytes_, waited_);
    return on;
  }

  PackingChoice choice_{Compression::Auto};
  Clock::time_point now_{Clock::time_point{} + 1h};
  std::uint64_t bytes_ = 0;
  std::chrono::nanoseconds waited_{0};
};

TEST_F(PackingOnALine, ThatIsSlowGoesOnAndStays) {
  int on = 0;
  for (int i = 0; i < 40; ++i) on += window(100e6, 250e6, 0.8, 0.2) ? 1 : 0;
  EXPECT_GE(on, 36);
}

TEST_F(PackingOnALine, ThatIsFastIsNeverTried) {
  for (int i = 0; i < 40; ++i) EXPECT_FALSE(window(900e6, 400e6, 0.1, 0.0));
}

TEST_F(PackingOnALine, WhoseEndIsSlowIsTriedAndGivenUpEverMoreRarely) {
  int on = 0;
  for (int i = 0; i < 400; ++i) on += window(300e6, 300e6, 0.9, 0.5) ? 1 : 0;
  EXPECT_GE(on, 2);
  EXPECT_LE(on, 12);
}

TEST_F(PackingOnALine, ThatBecomesFastIsLeftOffAgain) {
  for (int i = 0; i < 20; ++i) window(100e6, 250e6, 0.8, 0.2);
  ASSERT_TRUE(choice_.on());
  int on = 0;
  for (int i = 0; i < 200; ++i) on += window(900e6, 400e6, 0.1, 0.0) ? 1 : 0;
  EXPECT_LE(on, 45) << "until it was left off for a moment, once in ten seconds";
}

TEST(Packing, SkipsWhatDoesNotShrinkForAWhile) {
  PackingChoice choice(Compression::Zstd);
  int tried = 0;
  for (int i = 0; i < 1000; ++i)
    if (choice.tries()) {
      ++tried;
      choice.did_not_shrink();
    }
  EXPECT_LT(tried, 50);
  EXPECT_FALSE(PackingChoice(Compression::None).tries());
}

TEST(Packing, GivesBackWhatItWasGiven) {
  Packer packer;
  Unpacker unpacker;
  const Bytes text(100'000, std::byte{'a'});
  const auto packed = packer.pack(text);
  ASSERT_TRUE(packed);
  EXPECT_LT(packed->size(), 1000U);
  const auto plain = unpacker.unpack(kZstd, *packed, text.size());
  ASSERT_TRUE(plain);
  EXPECT_TRUE(std::equal(plain->begin(), plain->end(), text.begin(), text.end()));
  EXPECT_FALSE(unpacker.unpack(kZstd, *packed, text.size() - 1));
  EXPECT_FALSE(unpacker.unpack(kZstd, packed->first(packed->size() - 1), text.size()));
  EXPECT_FALSE(unpacker.unpack(kPlain, text, 5));
  EXPECT_FALSE(packer.pack(bytes_of(100'000, 3))) << "noise does not shrink";
}

TEST(LongWork, IsTickedAndItsOutcomeReturned) {
  std::atomic<int> ticks{0};
  const auto done = while_ticking(
      [&]() -> Outcome<void> {
        ++ticks;
        return {};
      },
      [&]() -> Outcome<int> {
        const auto end = Clock::now() + 10s;
        while (ticks < 2 && Clock::now() < end) std::this_thread::yield();
        return 7;
      });
  ASSERT_TRUE(done);
  EXPECT_EQ(*done, 7);
  EXPECT_GE(ticks, 2);
}

TEST(LongWork, GivesWayToWhatItsTickSaysOnceItHasEnded) {
  std::atomic<bool> told{false}, ended{false};
  const auto done = while_ticking(
      [&]() -> Outcome<void> {
        told = true;
        return failed("Cancelled", "", "");
      },
      [&]() -> Outcome<void> {
        const auto end = Clock::now() + 10s;
        while (!told && Clock::now() < end) std::this_thread::yield();
        ended = true;
        return {};
      });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, "Cancelled");
  EXPECT_TRUE(ended);
}

TEST(AThrottle, LetsThroughItsRateAndSharesIt) {
  Throttle throttle(1'000'000);
  const auto begin = Clock::time_point{} + 1h;
  auto next = begin;
  for (int i = 0; i < 100; ++i) next = throttle.take(50'000, next);
  const std::chrono::duration<double> time = next - begin;
  EXPECT_NEAR(time.count(), 5.0, 0.15) << "5 MB";
}

TEST(Troubles, AreTakenEachOnceHoweverManyOfAFilesExtentsCouldNotBeHad) {
  Troubles troubles;
  for (const std::uint32_t file : {7, 3, 7, 3, 5}) troubles.add(file);
  EXPECT_EQ(troubles.take(), (std::vector<std::uint32_t>{3, 5, 7}));
  EXPECT_TRUE(troubles.take().empty());
}

}  // namespace
}  // namespace roadstead::mover
