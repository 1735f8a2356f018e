#include "mover/wire.h"

#include <gtest/gtest.h>

#include "mover/assembly.h"
#include "mover/entry.h"
#include "mover/filter.h"
#include "mover/finish_file.h"
#include "mover/progress.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;

Entry directory(std::uint32_t parent, std::string name) {
  return {.type = EntryType::Directory, .parent = parent, .name = std::move(name), .mode = 0755};
}

Entry file(std::uint32_t parent, std::string name, std::uint64_t size = 0) {
  return {.type = EntryType::File, .parent = parent, .name = std::move(name), .mode = 0644, .size = size};
}

EntryList with_root() {
  EntryList entries;
  EXPECT_TRUE(entries.add(directory(0, "")));
  return entries;
}

TEST(Entries, AreReadAsTheyWereWritten) {
  EntryList entries = with_root();
  ASSERT_TRUE(entries.add(directory(0, "a")));
  ASSERT_TRUE(
      entries.add({.type = EntryType::CharacterDevice, .name = "c", .mode = 0600, .major = 1048575, .minor = 7}));
  ASSERT_TRUE(entries.add({.type = EntryType::Fifo, .name = "p", .mode = 0644}));
  ASSERT_TRUE(entries.add({.type = EntryType::SymbolicLink, .name = "s", .link_target = "/x"}));
  Entry one = file(1, "f\xff", 100);
  one.mode = 06711;
  one.uid = 4294967295U;
  one.mtime_seconds = -3;
  one.mtime_nanos = 999999999;
  one.stamp = 77;
  one.sparse = true;
  one.ranges = {{0, 10}, {50, 50}};
  one.attributes = {{"system.posix_acl_access", std::string("\x02\0\0", 3)}, {"user.a", ""}};
  ASSERT_TRUE(entries.add(one));
  ASSERT_TRUE(entries.add({.type = EntryType::HardLink, .parent = 1, .name = "h", .link_to = 5}));
  Bytes payload;
  for (std::uint32_t id = 0; id < entries.size(); ++id) append(payload, entries.entry_of(id));
  EntryList read;
  ASSERT_TRUE(decode_entries(payload, read));
  ASSERT_EQ(read.size(), entries.size());
  EXPECT_EQ(read.path_of(5), "a/f\xff");
  EXPECT_EQ(read[5].mode, 06711U);
  EXPECT_EQ(read[5].uid, 4294967295U);
  EXPECT_EQ(read[5].mtime_seconds, -3);
  EXPECT_EQ(read[5].mtime_nanos, 999999999U);
  EXPECT_EQ(read[5].stamp, 77U);
  EXPECT_EQ(read.ranges_of(5), (std::vector<Range>{{0, 10}, {50, 50}}));
  EXPECT_EQ(read.attributes_of(5), one.attributes);
  EXPECT_TRUE(read.attributes_of(1).empty());
  EXPECT_EQ(read.data_bytes(), 60U);
  EXPECT_EQ(read[2].major_number(), 1048575U);
  EXPECT_EQ(read[2].minor_number(), 7U);
  EXPECT_EQ(read[6].link_to(), 5U);
  EXPECT_EQ(read.link_target_of(4), "/x");
}

TEST(Entries, ThatCouldLeaveTheTreeAreRefused) {
  for (const char* name : {"", ".", "..", "a/b", "/etc", "../x"}) {
    EntryList entries = with_root();
    const auto added = entries.add(file(0, name));
    ASSERT_FALSE(added) << name;
    EXPECT_EQ(added.error().reason, "ProtocolError");
  }
  EntryList entries = with_root();
  EXPECT_FALSE(entries.add(file(0, std::string("a\0b", 3))));
  EXPECT_FALSE(entries.add(file(0, std::string(256, 'x'))));
  EXPECT_FALSE(entries.add(file(1, "orphan")));
  ASSERT_TRUE(entries.add(file(0, "f")));
  EXPECT_FALSE(entries.add(file(1, "below a file")));
  ASSERT_TRUE(entries.add({.type = EntryType::SymbolicLink, .parent = 0, .name = "s", .link_target = "/etc"}));
  EXPECT_FALSE(entries.add(file(2, "below a link")));
}

TEST(Entries, WithImpossibleValuesAreRefused) {
  EntryList entries = with_root();
  const auto refused = [&](Entry entry) { return !entries.add(std::move(entry)); };
  Entry entry = file(0, "f", 100);
  entry.sparse = true;
  for (const std::vector<Range>& ranges :
       std::vector<std::vector<Range>>{{{0, 101}}, {{50, 10}, {40, 5}}, {{101, 1}}, {{0, 0}}, {{1, ~0ULL}}}) {
    entry.ranges = ranges;
    EXPECT_TRUE(refused(entry));
  }
  entry = file(0, "f", ~0ULL);
  EXPECT_TRUE(refused(entry));
  entry = file(0, "f");
  entry.mode = 010000;
  EXPECT_TRUE(refused(entry));
  entry.mode = 0;
  entry.mtime_nanos = 1000000000;
  EXPECT_TRUE(refused(entry));
  EXPECT_TRUE(refused({.type = EntryType::HardLink, .parent = 0, .name = "h", .link_to = 0})) << "a directory";
  EXPECT_TRUE(refused({.type = EntryType::HardLink, .parent = 0, .name = "h", .link_to = 1})) << "not there";
  EXPECT_TRUE(refused({.type = EntryType::SymbolicLink, .parent = 0, .name = "s"}));
  EXPECT_TRUE(refused({.type = static_cast<EntryType>(9), .parent = 0, .name = "device"}));
  EXPECT_TRUE(refused(directory(0, "")));  // a second root
}

TEST(Entries, OfAnyKindButDirectoriesMayHaveMoreNames) {
  EntryList entries = with_root();
  ASSERT_TRUE(entries.add({.type = EntryType::SymbolicLink, .name = "a", .link_target = "/x"}));
  ASSERT_TRUE(entries.add({.type = EntryType::HardLink, .name = "b", .link_to = 1}));
  ASSERT_TRUE(entries.add({.type = EntryType::Fifo, .name = "c"}));
  ASSERT_TRUE(entries.add({.type = EntryType::HardLink, .name = "d", .link_to = 3}));
  EXPECT_FALSE(entries.add({.type = EntryType::HardLink, .name = "e", .link_to = 2})) << "a chain";
}

TEST(Entries, ThatTogetherAreLargerThanAnyDiskAreRefused) {
  EntryList entries = with_root();
  constexpr auto kHalf = std::uint64_t{1} << 51;
  ASSERT_TRUE(entries.add(file(0, "a", kHalf)));
  ASSERT_TRUE(entries.add(file(0, "b", kHalf - kExtent)));
  EXPECT_FALSE(entries.add(file(0, "c", 2)));
  EXPECT_EQ(entries.data_bytes(), 2 * kHalf - kExtent);
}

TEST(Entries, TooDeepIsRefused) {
  EntryList entries = with_root();
  std::uint32_t parent = 0;
  for (int i = 0; i < kMaxDepth; ++i) {
    ASSERT_TRUE(entries.add(directory(parent, "d")));
    parent = entries.size() - 1;
  }
  EXPECT_FALSE(entries.add(directory(parent, "d")));
}

TEST(Entries, OutOfOrderOrOfOneNameAreRefused) {
  EntryList entries = with_root();
  ASSERT_TRUE(entries.add(directory(0, "a")));
  ASSERT_TRUE(entries.add(directory(0, "b")));
  EXPECT_FALSE(entries.add(file(0, "b")));
  EXPECT_FALSE(entries.add(file(0, "aa")));
  ASSERT_TRUE(entries.add(file(2, "a")));
  EXPECT_FALSE(entries.add(file(1, "z")));
  EXPECT_FALSE(entries.add(file(0, "z")));
}

TEST(Entries, AreFoundInTheirDirectory) {
  EntryList entries = with_root();
  ASSERT_TRUE(entries.add(directory(0, "a")));
  ASSERT_TRUE(entries.add(directory(0, "b")));
  ASSERT_TRUE(entries.add(file(1, "x")));
  ASSERT_TRUE(entries.add(file(1, "y")));
  ASSERT_TRUE(entries.add(file(2, "z")));
  const auto of = [&](std::uint32_t id) {
    std::vector<std::uint32_t> ids;
    for (const std::uint32_t child : entries.children_of(id)) ids.push_back(child);
    return ids;
  };
  EXPECT_EQ(of(0), (std::vector<std::uint32_t>{1, 2}));
  EXPECT_EQ(of(1), (std::vector<std::uint32_t>{3, 4}));
  EXPECT_EQ(of(2), (std::vector<std::uint32_t>{5}));
  EXPECT_EQ(entries.find(1, "y"), 4U);
  EXPECT_EQ(entries.find(1, "z"), 0U);
}

TEST(Entries, ThatChangedAreStatedAgainInTheirPlace) {
  EntryList entries = with_root();
  ASSERT_TRUE(entries.add(file(0, "a", 3 * kExtent)));
  ASSERT_TRUE(entries.add(file(0, "b", 10)));
  ASSERT_TRUE(entries.restate(1, file(0, "other", 5)));
  EXPECT_EQ(entries[1].name(), "a");
  EXPECT_EQ(entries.data_bytes(), 15U);
  EXPECT_EQ(entries.extents_of(1), 1U);
  EXPECT_EQ(entries[1].first_extent, 4U) << "its place among the names of extents would be another file's";
  EXPECT_EQ(entries[2].first_extent, 3U);
  EXPECT_EQ(entries.extents(), 5U);
  EXPECT_FALSE(entries.restate(0, file(0, "x")));
}

TEST(Entries, AttributesThatAreEqualAreKeptOnce) {
  EntryList entries = with_root();
  Entry one = file(0, "f00");
  one.attributes = {{"user.big", std::string(200'000, 'x')}};
  for (int i = 0; i < 1000; ++i) {
    one.name = fmt::format("f{:03}", i);
    ASSERT_TRUE(entries.add(one));
  }
  one.attributes[0].value += std::string(100'000, 'y');
  one.name = "g";
  EXPECT_FALSE(entries.add(one));
}

TEST(Frames, BeyondTheirLimitsAreRefusedBeforeAnythingIsAllocated) {
  const auto header = [](int type, std::uint32_t length, int reserved = 0) {
    std::array<std::byte, kFrameHeader> raw{};
    put_header(raw, {static_cast<FrameType>(type), length});
    raw[1] = static_cast<std::byte>(reserved);
    return read_header(raw);
  };
  EXPECT_TRUE(header(static_cast<int>(FrameType::Extents), kMaxExtent));
  for (int type = 1; type <= 15; ++type) {
    EXPECT_TRUE(header(type, static_cast<std::uint32_t>(payload_limit(static_cast<FrameType>(type)))));
    EXPECT_FALSE(header(type, static_cast<std::uint32_t>(payload_limit(static_cast<FrameType>(type)) + 1)));
    EXPECT_FALSE(header(type, 0xffffffffU));
  }
  EXPECT_FALSE(header(0, 0));
  EXPECT_FALSE(header(16, 0));
  EXPECT_FALSE(header(255, 0));
  EXPECT_FALSE(header(10, 0, 1));
}

TEST(Frames, CutShortOrWithSomethingLeftOverAreRefused) {
  const Bytes hello = encode(Hello{.connections = 3, .index = 2});
  ASSERT_TRUE(decode_hello(hello));
  const Bytes end = encode(EntriesEnd{1, 2, {3, {"a", "b"}}, {1, {"c"}}, true, "{}"});
  ASSERT_TRUE(decode_entries_end(end));
  const Bytes failure = encode(Failure{"NoSpace", "m", "n"});
  ASSERT_TRUE(decode_failure(failure));
  Bytes want;
  append(want, Want{1, 2, 3, Digest{}, true, PieceSet{}, false});
  ASSERT_TRUE(decode_wants(want));
  Bytes entry;
  append(entry, directory(0, ""));
  const auto cut = [](const Bytes& bytes, std::size_t to) { return std::span(bytes).first(to); };
  for (std::size_t i = 0; i < hello.size(); ++i) EXPECT_FALSE(decode_hello(cut(hello, i)));
  for (std::size_t i = 0; i < end.size(); ++i) EXPECT_FALSE(decode_entries_end(cut(end, i)));
  for (std::size_t i = 0; i < failure.size(); ++i) EXPECT_FALSE(decode_failure(cut(failure, i)));
  for (std::size_t i = 1; i < want.size(); ++i) EXPECT_FALSE(decode_wants(cut(want, i)));
  for (std::size_t i = 1; i < entry.size(); ++i) {
    EntryList entries;
    EXPECT_FALSE(decode_entries(cut(entry, i), entries));
  }
  Bytes longer = hello;
  longer.push_back(std::byte{0});
  EXPECT_FALSE(decode_hello(longer));
}

TEST(Frames, AGreetingOfAnotherVersionSaysSo) {
  const auto hello = decode_hello(encode(Hello{.version = 1}));
  ASSERT_FALSE(hello);
  EXPECT_EQ(hello.error().reason, "VersionMismatch");
  EXPECT_FALSE(decode_hello(encode(Hello{.connections = 33})));
  EXPECT_FALSE(decode_hello(encode(Hello{.connections = 2, .index = 2})));
}

TEST(Frames, AnAnswerIsTakenFromTheFront) {
  Bytes payload(kAnswerHeader);
  AnswerHeader answer{AnswerKind::Data, kPlain, 7, 1 << 20, 3, 3, {}};
  put_answer(std::span<std::byte, kAnswerHeader>(payload.data(), kAnswerHeader), answer);
  payload.insert(payload.end(), {std::byte{1}, std::byte{2}, std::byte{3}});
  std::span<const std::byte> rest(payload);
  const auto taken = take_answer(rest);
  ASSERT_TRUE(taken);
  EXPECT_EQ(taken->file, 7U);
  EXPECT_EQ(taken->offset, 1U << 20);
  EXPECT_EQ(rest.size(), 3U);
  rest = std::span<const std::byte>(payload).first(payload.size() - 1);
  EXPECT_FALSE(take_answer(rest));  // promises more than is there
  payload[1] = std::byte{2};        // a codec this version does not have
  rest = payload;
  EXPECT_FALSE(take_answer(rest));
}

TEST(Pieces, AreCutAtMultiplesOfTheExtentWhateverTheRange) {
  EntryList entries = with_root();
  ASSERT_TRUE(entries.add(file(0, "dense", kExtent * 2 + 5)));
  Entry sparse = file(0, "sparse", 4 * kExtent);
  sparse.sparse = true;
  sparse.ranges = std::vector<Range>{{kExtent - 4, 8}, {3 * kExtent, 1}};
  ASSERT_TRUE(entries.add(sparse));
  ASSERT_TRUE(entries.add(file(0, "void", 0)));
  PieceQueue queue(entries);
  std::vector<Range> dense, holes;
  for (int i = 0; i < 3; ++i) {
    const auto piece = queue.take();
    ASSERT_TRUE(piece);
    dense.push_back({piece->spot.offset, piece->spot.length});
    EXPECT_EQ(piece->file->finished_one(), i == 2);
  }
  EXPECT_EQ(dense, (std::vector<Range>{{0, kExtent}, {kExtent, kExtent}, {2 * kExtent, 5}}));
  for (int i = 0; i < 3; ++i) {
    const auto piece = queue.take();
    ASSERT_TRUE(piece);
    holes.push_back({piece->spot.offset, piece->spot.length});
    EXPECT_EQ(piece->file->finished_one(), i == 2);
  }
  EXPECT_EQ(holes, (std::vector<Range>{{kExtent - 4, 4}, {kExtent, 4}, {3 * kExtent, 1}}));
  const auto empty = queue.take();
  ASSERT_TRUE(empty);
  EXPECT_EQ(empty->spot.length, 0U);
  EXPECT_TRUE(empty->file->finished_one());
  EXPECT_FALSE(queue.take());
}

TEST(Pieces, OfAHugeFileCostNoMemoryBeforeTheyAreTaken) {
  EntryList entries = with_root();
  ASSERT_TRUE(entries.add(file(0, "huge", std::uint64_t{1} << 50)));
  PieceQueue queue(entries);
  EXPECT_EQ(queue.take()->spot.offset, 0U);
  EXPECT_EQ(queue.take()->spot.offset, kExtent);
}

TEST(Filter, PatternsMatchNamesOrWholePaths) {
  const Filter filter(Source{"/s", {"*.tmp", "/postmaster.pid", "log/*"}, std::nullopt});
  EXPECT_FALSE(filter.takes("a/b/c.tmp", false));
  EXPECT_FALSE(filter.takes("postmaster.pid", false));
  EXPECT_TRUE(filter.takes("sub/postmaster.pid", false));
  EXPECT_TRUE(filter.takes("log", true));
  EXPECT_FALSE(filter.takes("log/x", false));
  EXPECT_TRUE(filter.takes("log2/x", false));
}

TEST(Filter, ShipsOnlyTheWalThatIsNeeded) {
  const Filter filter(Source{"/s", {}, KeepWal{"pg_wal", "000000010000000A000000FE", "000000010000000B00000002"}});
  for (const char* kept :
       {"pg_wal", "pg_wal/000000010000000A000000FE", "pg_wal/000000020000000B00000000", "pg_wal/00000002.history",
        "pg_walx/000000010000000A00000001", "base/000000010000000A00000001"})
    EXPECT_TRUE(filter.takes(kept, false)) << kept;
  for (const char* left :
       {"pg_wal/000000010000000A000000FD", "pg_wal/000000010000000B00000003", "pg_wal/000000010000000A000000FE.partial",
        "pg_wal/archive_status/000000010000000A000000FE.done", "pg_wal/xlogtemp.12"})
    EXPECT_FALSE(filter.takes(left, false)) << left;
  EXPECT_TRUE(filter.takes("pg_wal/archive_status", true));
}

TEST(ManagedBlock, StandsAtTheEndOnceHoweverOftenItIsWritten) {
  const std::string once = with_managed_block("shared_buffers = 1\n", "a = 1\n");
  EXPECT_EQ(once, "shared_buffers = 1\n# roadstead begin\na = 1\n# roadstead end\n");
  EXPECT_EQ(with_managed_block(once, "a = 1\n"), once);
  EXPECT_EQ(with_managed_block(once + "later = 2", "b = 2"),
            "shared_buffers = 1\nlater = 2\n# roadstead begin\nb = 2\n# roadstead end\n");
  EXPECT_EQ(with_managed_block("", ""), "# roadstead begin\n# roadstead end\n");
}

TEST(Rate, ComesFromTheLastSecondsAndTellsTheRest) {
  RateMeter rate;
  const RateMeter::Clock::time_point start{};
  rate.add(start, 0);
  EXPECT_FALSE(rate.bytes_per_second());
  rate.add(start + 500ms, 50);
  EXPECT_FALSE(rate.bytes_per_second());
  for (int i = 2; i <= 20; ++i) rate.add(start + 500ms * i, static_cast<std::uint64_t>(50 * i));
  EXPECT_EQ(rate.bytes_per_second(), 100U);
  EXPECT_EQ(rate.seconds_for(250), 3U);
  for (int i = 21; i <= 60; ++i) rate.add(start + 500ms * i, 1000);
  EXPECT_EQ(rate.bytes_per_second(), 0U);
  EXPECT_FALSE(rate.seconds_for(1));
}

TEST(Meter, NeverGoesBackwardsAndKnowsItsTotalOnce) {
  Meter meter;
  EXPECT_FALSE(meter.read().bytes_total);
  meter.set_totals(100, 2);
  meter.set_totals(500, 9);
  meter.raise(60, 1);
  meter.raise(40, 0);
  EXPECT_EQ(meter.read().bytes_done, 60U);
  EXPECT_EQ(meter.read().files_done, 1U);
  EXPECT_EQ(meter.read().bytes_total, 100U);
  meter.add(90, 1);
  EXPECT_EQ(meter.read().bytes_done, 100U);
}

}  // namespace
}  // namespace roadstead::mover
