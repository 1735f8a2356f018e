#include "mover/repository/repository.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>
#include <thread>

#include "repository_support.h"

namespace roadstead::mover {
namespace {

using namespace testing;
using namespace std::chrono_literals;

std::vector<fs::path> files_in(const fs::path& directory) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(directory)) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

/// Changes one byte in the middle of what `file` has of `text`.
void spoil(const fs::path& file, std::string_view text) {
  std::string bytes = read_file(file);
  const auto at = bytes.find(text);
  ASSERT_NE(at, std::string::npos);
  bytes[at + text.size() / 2] ^= 1;
  fs::permissions(file, fs::perms::owner_all);
  write_file(file, bytes);
}

TEST(Repository, GivesBackWhatWasPutIn) {
  const Scratch scratch;
  const Content content = {{"empty", ""},
                           {"large", noise(3 * kExtent + 5, 1)},
                           {"packed", std::string(100'000, 'x') + noise(10, 2)},
                           {"small", "a"},
                           {"zeros", std::string(kExtent + 9, '\0')}};
  {
    Repository repository = opened(scratch.str(), Use::Write);
    const auto seen = must(back_up(repository, "default.one", content));
    EXPECT_EQ(seen.files, 5U);
    EXPECT_EQ(seen.entries, 6U);
    EXPECT_GT(seen.stored_bytes, 3 * kExtent);
    EXPECT_LT(seen.stored_bytes, 3 * kExtent + 3 * kMaxPieces * sizeof(Digest) + 110'000);
  }
  const Repository repository = opened(scratch.str(), Use::Read);
  EXPECT_EQ(must(restored(repository, "default.one")), content);
  EXPECT_EQ(files_in(scratch / "packs").size(), 1U);
  EXPECT_EQ(fs::status(files_in(scratch / "packs")[0]).permissions(), fs::perms::owner_read);
}

TEST(Repository, WritesNothingTwice) {
  const Scratch scratch;
  const std::string bytes = noise(200'000, 1);
  Repository repository = opened(scratch.str(), Use::Write);
  must(back_up(repository, "a", {{"x", bytes}, {"y", bytes}}));
  const auto stored = repository.stored_bytes();
  must(back_up(repository, "b", {{"z", bytes}}));
  EXPECT_EQ(repository.stored_bytes(), stored);
  EXPECT_EQ(repository.extents(), 1U);
}

TEST(Repository, OneWriterManyReadersAndNobodyWhileItIsSwept) {
  const Scratch scratch;
  const auto reason = [&](Use use) {
    const auto repository = Repository::open(scratch.str(), use);
    return repository ? "" : repository.error().reason;
  };
  EXPECT_EQ(reason(Use::Read), "NotFound");
  {
    const Repository writer = opened(scratch.str(), Use::Write);
    EXPECT_EQ(reason(Use::Write), "Busy");
    EXPECT_EQ(reason(Use::Sweep), "Busy");
    EXPECT_EQ(reason(Use::Read), "");
    EXPECT_EQ(reason(Use::Verify), "");
  }
  const Repository sweeper = opened(scratch.str(), Use::Sweep);
  for (const Use use : {Use::Read, Use::Write, Use::Verify, Use::Sweep}) EXPECT_EQ(reason(use), "Busy");
}

TEST(Repository, OfAnotherFormatIsLeftAlone) {
  const Scratch scratch;
  write_file(scratch / "format", "roadstead-repository 1\n");
  for (const Use use : {Use::Read, Use::Write}) {
    const auto repository = Repository::open(scratch.str(), use);
    ASSERT_FALSE(repository);
    EXPECT_EQ(repository.error().reason, "VersionMismatch");
  }
}

TEST(Repository, ThatLostItsFormatIsNotTakenForANewOne) {
  const Scratch scratch;
  {
    Repository repository = opened(scratch.str(), Use::Write);
    must(back_up(repository, "a", {{"x", "y"}}));
  }
  fs::remove(scratch / "format");
  const auto repository = Repository::open(scratch.str(), Use::Write);
  ASSERT_FALSE(repository);
  EXPECT_EQ(repository.error().reason, "Refused");
}

TEST(Repository, WhatAWriterLeftUnfinishedIsKeptUpToTheFirstWrongByte) {
  const Scratch scratch;
  const std::string first = noise(400'000, 1), second = noise(400'000, 2), third = noise(400'000, 3);
  {
    Repository repository = opened(scratch.str(), Use::Write);
    PackWriter writer(repository);
    for (const std::string& bytes : {first, second, third}) must(add(writer, bytes));
  }
  const auto parts = files_in(scratch / "packs");
  ASSERT_EQ(parts.size(), 1U);
  ASSERT_EQ(parts[0].extension(), ".part");
  spoil(parts[0], second);
  const Repository repository = opened(scratch.str(), Use::Write);
  EXPECT_TRUE(repository.has(digest_of(first)));
  EXPECT_FALSE(repository.has(digest_of(second)));
  EXPECT_FALSE(repository.has(digest_of(third)));
  ASSERT_EQ(files_in(scratch / "packs").size(), 1U);
  EXPECT_EQ(files_in(scratch / "packs")[0].extension(), "");
  ExtentReader reader(repository);
  EXPECT_EQ(text_of(must(reader.plain(digest_of(first)))), first);
}

TEST(Repository, SmallExtentsOfAKilledWriterAreLostOnlyWhereTheyWereGathered) {
  const Scratch scratch;
  {
    Repository repository = opened(scratch.str(), Use::Write);
    PackWriter writer(repository);
    for (unsigned i = 0; i < 1000; ++i) must(add(writer, noise(1000, i)));
    fs::copy(scratch / "packs", scratch / "killed");  // as it is now
  }
  fs::remove_all(scratch / "packs");
  fs::rename(scratch / "killed", scratch / "packs");
  const Repository repository = opened(scratch.str(), Use::Write);
  EXPECT_GE(repository.extents(), 750U);
}

TEST(Repository, ADamagedExtentIsNeverGivenOut) {
  const Scratch scratch;
  const std::string good = noise(50'000, 1), bad = noise(50'000, 2);
  {
    Repository repository = opened(scratch.str(), Use::Write);
    must(back_up(repository, "a", {{"good", good}, {"bad", bad}}));
  }
  spoil(files_in(scratch / "packs")[0], bad);
  const Repository repository = opened(scratch.str(), Use::Read);
  ExtentReader reader(repository);
  EXPECT_EQ(text_of(must(reader.plain(digest_of(good)))), good);
  const auto damaged = reader.plain(digest_of(bad));
  ASSERT_FALSE(damaged);
  EXPECT_EQ(damaged.error().reason, "DamagedExtent");
  EXPECT_NE(damaged.error().message.find(files_in(scratch / "packs")[0].filename().string()), std::string::npos);
  EXPECT_EQ(reader.plain(digest_of("never seen")).error().reason, "DamagedExtent");
}

TEST(Repository, APackWithoutItsEndIsStillRead) {
  const Scratch scratch;
  const Content content = {{"a", noise(300'000, 1)}, {"b", noise(300'000, 2)}};
  {
    Repository repository = opened(scratch.str(), Use::Write);
    must(back_up(repository, "a", content));
  }
  const fs::path pack = files_in(scratch / "packs")[0];
  for (const int cut : {1, 60, 80}) {  // a byte of the trailer, all of it, most of the footer
    fs::permissions(pack, fs::perms::owner_all);
    fs::resize_file(pack, fs::file_size(pack) - static_cast<std::uintmax_t>(cut));
    const Repository repository = opened(scratch.str(), Use::Read);
    EXPECT_EQ(must(restored(repository, "a")), content);
  }
}

TEST(Repository, PacksAreClosedWhenTheyAreFullAndAllThreadsFillOne) {
  const Scratch scratch;
  Repository repository = opened(scratch.str(), Use::Write);
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t)
      threads.emplace_back([&repository, t] {
        PackWriter writer(repository);
        for (unsigned i = 0; i < 50; ++i) must(add(writer, noise(kExtent, t * 50 + i)));  // all of them different
        must(writer.finish());
      });
  }
  must(repository.seal());
  const auto packs = files_in(scratch / "packs");
  EXPECT_GE(packs.size(), 4U);  // 200 MiB
  EXPECT_LE(packs.size(), 7U);
  for (const fs::path& pack : packs) EXPECT_EQ(pack.extension(), "");
  const Repository again = opened(scratch.str(), Use::Read);
  EXPECT_EQ(again.extents(), 200U);
  ExtentReader reader(again);
  for (unsigned i = 0; i < 200; i += 7) {
    const std::string bytes = noise(kExtent, i);
    EXPECT_EQ(text_of(must(reader.plain(digest_of(bytes)))), bytes);
  }
}

TEST(Repository, NewestPacksAreToldFirst) {
  const Scratch scratch;
  for (unsigned i = 0; i < 3; ++i) {
    Repository repository = opened(scratch.str(), Use::Write);
    must(back_up(repository, fmt::format("s{}", i), {{"f", noise(100, i)}}));
  }
  const Repository repository = opened(scratch.str(), Use::Read);
  EXPECT_EQ(repository.prefixes(2),
            (std::vector<std::uint64_t>{prefix_of(digest_of(noise(100, 2))), prefix_of(digest_of(noise(100, 1)))}));
}

TEST(Index, KnowsEveryNameAndNoOther) {
  ExtentIndex index;
  std::mt19937_64 random(1);
  const auto name = [&] {
    Digest digest{};
    for (std::size_t i = 0; i < digest.size(); i += 8) {
      const std::uint64_t value = random();
      std::memcpy(&digest[i], &value, 8);
    }
    return digest;
  };
  std::vector<Digest> names(50'000);
  for (Digest& one : names) one = name();
  for (std::uint32_t i = 0; i < names.size(); ++i) EXPECT_TRUE(index.add(names[i], i));
  for (std::uint32_t i = 0; i < names.size(); ++i) EXPECT_EQ(index.find(names[i]), i);
  EXPECT_FALSE(index.add(names[7], 8));
  EXPECT_EQ(index.find(names[7]), 7U);
  for (int i = 0; i < 50'000; ++i) EXPECT_FALSE(index.find(name()));
  EXPECT_EQ(index.size(), names.size());
}

TEST(Manifest, KeepsEveryKindOfEntry) {
  const Scratch scratch;
  const std::string part = noise(1000, 1), late = noise(500, 2);
  Repository repository = opened(scratch.str(), Use::Write);
  {
    PackWriter writer(repository);
    must(add(writer, part));
    must(add(writer, late));
    must(writer.finish());
  }
  EntryList entries;
  must(entries.add({.type = EntryType::Directory, .mode = 01777, .uid = 70, .mtime_seconds = -5, .mtime_nanos = 9}));
  must(entries.add({.type = EntryType::Directory, .name = "d", .mode = 0700}));
  must(entries.add({.type = EntryType::Directory, .name = "e", .mode = 0700}));
  must(entries.add({.type = EntryType::Fifo, .name = "fifo", .mode = 0600}));
  must(entries.add({.type = EntryType::BlockDevice, .name = "sda", .mode = 0660, .gid = 6, .major = 8, .minor = 1}));
  Entry sparse = file_entry(1, "sparse \xff\n", 10 * kExtent);
  sparse.sparse = true;
  sparse.ranges = {{0, 1000}, {5 * kExtent - 500, 1000}};
  sparse.attributes = {{"user.note", "text"}, {"user.raw", std::string("\0\1", 2)}};
  must(entries.add(sparse));
  must(entries.add({.type = EntryType::HardLink, .parent = 2, .name = "again", .link_to = 5}));
  must(entries.add({.type = EntryType::SymbolicLink, .parent = 2, .name = "link", .link_target = "../d/sparse"}));
  const std::vector<Digest> digests = {digest_of(part), kZeroDigest, digest_of(late)};
  SnapshotSeen header;
  header.id = "ns.all";
  header.origin = R"({"volume":"v"})";
  header.data_as_of = Time(1234567890123ms);
  header.changed = {1, {"d/sparse"}};
  const SnapshotSeen made =
      must(commit(repository, header, entries, [&](std::uint32_t) { return std::span<const Digest>(digests); }));
  EXPECT_EQ(made.data_bytes, 2000U);
  EXPECT_EQ(made.logical_bytes, 10 * kExtent);
  const Manifest read = must(read_manifest(repository.directory(), "ns.all"));
  EXPECT_EQ(read.header, made);
  EXPECT_EQ(read.digests, digests);
  ASSERT_EQ(read.entries.size(), entries.size());
  Bytes before, after;
  for (std::uint32_t id = 0; id < entries.size(); ++id) {
    append(before, entries.entry_of(id));
    append(after, read.entries.entry_of(id));
  }
  EXPECT_EQ(before, after);

  const ManifestView view = must(ManifestView::open(repository.directory(), "ns.all"));
  ASSERT_EQ(view.size(), entries.size());
  for (std::uint32_t id = 0; id < view.size(); ++id) {
    std::span<const std::byte> encoded = view[id].encoded;
    const Entry entry = must(take_entry(encoded));
    EXPECT_EQ(view[id].name, entry.name);
    EXPECT_EQ(view[id].parent, entry.parent);
    EXPECT_EQ(view[id].mode, entry.mode);
    EXPECT_EQ(view[id].mtime_seconds, entry.mtime_seconds);
    EXPECT_EQ(view[id].mtime_nanos, entry.mtime_nanos);
    EXPECT_EQ(view[id].stamp, entry.stamp);
    EXPECT_EQ(view.find(entry.parent, entry.name), id);  // the root: 0, it is nobody's child
    EXPECT_EQ(view.path_of(id), entries.path_of(id));
  }
  EXPECT_EQ(view[5].digests.size(), 3U);
  EXPECT_EQ(view[5].digests[2], digest_of(late));
  EXPECT_TRUE(view[6].digests.empty());
  EXPECT_EQ(view.find(0, "again"), 0U);
  EXPECT_EQ(view.find(3, "x"), 0U);
  EXPECT_EQ(view.children_of(2).size(), 2U);
}

TEST(Manifest, WhatIsLeftOutTakesItsLinksWithIt) {
  const Scratch scratch;
  Repository repository = opened(scratch.str(), Use::Write);
  EntryList entries;
  must(entries.add({.type = EntryType::Directory, .mode = 0755}));
  must(entries.add({.type = EntryType::Directory, .name = "a", .mode = 0755}));
  must(entries.add(file_entry(0, "b", 0)));
  must(entries.add({.type = EntryType::Directory, .name = "c", .mode = 0755}));
  must(entries.add(file_entry(0, "d", 0)));
  must(entries.add({.type = EntryType::HardLink, .parent = 1, .name = "x", .link_to = 2}));
  must(entries.add({.type = EntryType::HardLink, .parent = 3, .name = "y", .link_to = 4}));
  std::vector<bool> leave_out(entries.size());
  leave_out[1] = leave_out[2] = true;
  SnapshotSeen header;
  header.id = "s";
  must(commit(
      repository, header, entries, [](std::uint32_t) { return std::span<const Digest>(); }, leave_out));
  const Manifest read = must(read_manifest(repository.directory(), "s"));
  std::vector<std::string> paths;
  for (std::uint32_t id = 0; id < read.entries.size(); ++id) paths.push_back(read.entries.path_of(id));
  EXPECT_EQ(paths, (std::vector<std::string>{".", "c", "d", "c/y"}));
  EXPECT_EQ(read.entries[3].link_to(), 2U);
  EXPECT_EQ(read.header.entries, 4U);
}

TEST(Manifest, IsNotMadeOfWhatIsNotThere) {
  const Scratch scratch;
  Repository repository = opened(scratch.str(), Use::Write);
  const EntryList entries = listed({{"f", "bytes"}});
  const Digest digest = digest_of("bytes");
  SnapshotSeen header;
  header.id = "s";
  const auto made = commit(repository, header, entries, [&](std::uint32_t) { return std::span(&digest, 1); });
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().reason, "Internal");
  EXPECT_TRUE(files_in(scratch / "snapshots").empty());
}

TEST(Manifest, ThatWasChangedIsRefusedWhereverTheByteIs) {
  const Scratch scratch;
  {
    Repository repository = opened(scratch.str(), Use::Write);
    must(back_up(repository, "s", {{"f", "bytes"}, {"g", noise(100, 1)}}));
  }
  const Repository repository = opened(scratch.str(), Use::Read);
  const std::string right = read_file(scratch / "snapshots/s");
  fs::permissions(scratch / "snapshots/s", fs::perms::owner_all);
  for (std::size_t at = 0; at < right.size(); ++at) {
    std::string wrong = right;
    wrong[at] ^= 0x40;
    write_file(scratch / "snapshots/s", wrong);
    EXPECT_FALSE(read_manifest(repository.directory(), "s")) << at;
  }
  for (std::size_t size = 0; size < right.size(); ++size) {
    write_file(scratch / "snapshots/s", right.substr(0, size));
    EXPECT_FALSE(read_manifest(repository.directory(), "s")) << size;
  }
  const auto list = must(list_snapshots(repository.directory()));
  EXPECT_EQ(list.snapshots.size() + list.unreadable.size(), 1U);
}

TEST(Manifest, ASecondOfOneNameIsRefused) {
  const Scratch scratch;
  Repository repository = opened(scratch.str(), Use::Write);
  must(back_up(repository, "s", {{"f", "1"}}));
  const auto second = back_up(repository, "s", {{"f", "2"}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().reason, "Exists");
  EXPECT_EQ(must(restored(opened(scratch.str(), Use::Read), "s")), (Content{{"f", "1"}}));
}

TEST(Manifest, SnapshotsAreListedByTheTimeOfTheirData) {
  const Scratch scratch;
  Repository repository = opened(scratch.str(), Use::Write);
  must(back_up(repository, "late", {}, {}, Time(2s)));
  must(back_up(repository, "early", {}, {}, Time(1s)));
  const auto list = must(list_snapshots(repository.directory()));
  ASSERT_EQ(list.snapshots.size(), 2U);
  EXPECT_EQ(list.snapshots[0].id, "early");
}

}  // namespace
}  // namespace roadstead::mover
