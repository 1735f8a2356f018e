#include <gtest/gtest.h>

#include <chrono>

#include "mover/repository/upkeep.h"
#include "repository_support.h"

namespace roadstead::mover {
namespace {

using namespace testing;
using namespace std::chrono_literals;

constexpr std::size_t kBig = std::size_t{9} << 20;  // more than a small pack

class Upkeep : public ::testing::Test {
 protected:
  Upkeep() { opened(path, Use::Write); }

  /// One backup, as a process of its own makes it.
  void back_up(const std::string& id, const Content& content, const Content& previous = {}) {
    Repository repository = opened(path, Use::Write);
    must(testing::back_up(repository, id, content, previous));
    contents[id] = content;
  }

  ForgetData forget(std::vector<std::string> ids, bool dry_run = false) {
    if (!dry_run)
      for (const std::string& id : ids) contents.erase(id);
    return must(mover::forget({path, std::move(ids), dry_run}, {}));
  }

  Outcome<VerifyData> try_verify(std::uint32_t part = 0, std::uint32_t parts = 1) {
    Meter meter;
    return mover::verify({path, part, parts}, {}, meter);
  }
  VerifyData verify(std::uint32_t part = 0, std::uint32_t parts = 1) { return must(try_verify(part, parts)); }

  /// Every snapshot that should be there is, whole, and no other.
  void expect_all_whole() {
    const Repository repository = opened(path, Use::Read);
    const auto list = must(list_snapshots(repository.directory()));
    EXPECT_EQ(list.snapshots.size(), contents.size());
    for (const auto& [id, content] : contents) EXPECT_EQ(must(restored(repository, id)), content) << id;
  }

  [[nodiscard]] std::vector<fs::path> packs() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(scratch / "packs")) files.push_back(entry.path());
    return files;
  }

  [[nodiscard]] std::uint64_t pack_bytes() const {
    std::uint64_t bytes = 0;
    for (const fs::path& pack : packs()) bytes += fs::file_size(pack);
    return bytes;
  }

  /// Changes a byte of the pack that has `text`.
  void spoil(std::string_view text) {
    for (const fs::path& pack : packs()) {
      std::string bytes = read_file(pack);
      const auto at = bytes.find(text);
      if (at == std::string::npos) continue;
      bytes[at + text.size() / 2] ^= 1;
      rewrite(pack, bytes);
    }
  }
  /// Keeps the file's times: a disk that forgets does not write.
  static void rewrite(const fs::path& file, const std::string& bytes) {
    const auto time = fs::last_write_time(file);
    fs::permissions(file, fs::perms::owner_all);
    write_file(file, bytes);
    fs::last_write_time(file, time);
  }

  Scratch scratch;
  std::string path = scratch.str();
  std::map<std::string, Content> contents;
};

TEST_F(Upkeep, ADirectoryWithoutARepositoryHoldsNothing) {
  const Scratch empty;
  const auto data = must(snapshots({empty.str()}));
  EXPECT_TRUE(data.snapshots.empty());
  EXPECT_GT(data.free_bytes, 0U);
  const auto nowhere = snapshots({empty.str() + "/no/such/place"});
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().reason, "NotFound");
}

TEST_F(Upkeep, SnapshotsAreListedWithTheirSizes) {
  back_up("ns.a", {{"f", noise(1000, 1)}});
  back_up("ns.b", {{"f", noise(2000, 2)}, {"g", ""}});
  write_file(scratch / "snapshots/ns.broken", "nonsense");
  const auto data = must(snapshots({path}));
  ASSERT_EQ(data.snapshots.size(), 2U);
  EXPECT_EQ(data.snapshots[1].id, "ns.b");
  EXPECT_EQ(data.snapshots[1].files, 2U);
  EXPECT_EQ(data.snapshots[1].data_bytes, 2000U);
  EXPECT_EQ(data.unreadable, std::vector<std::string>{"ns.broken"});
  EXPECT_EQ(data.packs, 2U);
  EXPECT_EQ(data.pack_bytes, pack_bytes());
}

TEST_F(Upkeep, WhatOnlyAForgottenSnapshotNeededGoes) {
  const std::string shared = noise(10'000, 1);
  back_up("a", {{"shared", shared}, {"only a", noise(5'000, 2)}});
  back_up("b", {{"shared", shared}, {"only b", noise(kBig, 3)}});
  const auto estimate = forget({"b", "never there"}, true);
  EXPECT_EQ(estimate.removed_packs, 1U);
  EXPECT_GT(estimate.freed_bytes, kBig);
  expect_all_whole();  // it was a dry run
  const auto data = forget({"b", "never there"});
  EXPECT_EQ(data, estimate);
  EXPECT_EQ(data.removed_snapshots, 2U);
  EXPECT_EQ(data.pack_bytes, pack_bytes());
  EXPECT_EQ(packs().size(), 1U);
  expect_all_whole();
}

TEST_F(Upkeep, AMostlyDeadPackIsWrittenAnewAndKeepsItsTime) {
  const std::string shared = noise(100'000, 1);
  back_up("a", {{"shared", shared}, {"large", noise(kBig, 2)}});
  const auto time = fs::last_write_time(packs()[0]);
  back_up("b", {{"shared", shared}});
  const auto data = forget({"a"});
  EXPECT_EQ(data.rewritten_packs, 1U);
  EXPECT_GT(data.freed_bytes, kBig - 1000);
  ASSERT_EQ(packs().size(), 1U);
  EXPECT_LT(pack_bytes(), 101'000U);
  EXPECT_EQ(fs::last_write_time(packs()[0]), time);
  expect_all_whole();
}

TEST_F(Upkeep, AMostlyLivePackStays) {
  const std::string shared = noise(kBig, 1);
  back_up("a", {{"shared", shared}, {"small", noise(10'000, 2)}});
  back_up("b", {{"shared", shared}});
  const auto before = packs();
  const auto data = forget({"a"});
  EXPECT_EQ(data.rewritten_packs + data.removed_packs, 0U);
  EXPECT_EQ(packs(), before);
}

TEST_F(Upkeep, ManySmallPacksBecomeOne) {
  Content content;
  for (unsigned i = 0; i < 40; ++i) {
    content[std::to_string(i)] = noise(1000, i);
    back_up(fmt::format("s{}", i), content);
  }
  EXPECT_EQ(packs().size(), 40U);
  forget({});
  EXPECT_EQ(packs().size(), 1U);
  expect_all_whole();
}

TEST_F(Upkeep, AManifestThatCannotBeReadStopsTheSweepBeforeAnythingIsRemoved) {
  back_up("a", {{"f", noise(1000, 1)}});
  back_up("b", {{"f", noise(1000, 2)}});
  std::string bytes = read_file(scratch / "snapshots/a");
  bytes[bytes.size() / 2] ^= 1;
  rewrite(scratch / "snapshots/a", bytes);
  const auto refused = mover::forget({path, {"b"}, false}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "DamagedSnapshot");
  EXPECT_NE(refused.error().message.find("/snapshots/a"), std::string::npos);
  EXPECT_EQ(packs().size(), 2U);
  EXPECT_TRUE(fs::exists(scratch / "snapshots/b"));
  contents.erase("a");
  forget({"a"});  // it may go by its name
  expect_all_whole();
  EXPECT_EQ(packs().size(), 1U);
}

TEST_F(Upkeep, WhatACutOffBackupBroughtStaysForItsNextAttempt) {
  back_up("a", {{"f", noise(1000, 1)}});
  const std::string brought = noise(kBig, 2);
  {
    Repository repository = opened(path, Use::Write);
    PackWriter writer(repository);
    must(add(writer, brought));
    must(writer.finish());
    must(repository.seal());
    must(add(writer, noise(300'000, 3)));  // left as .part
  }
  forget({});
  EXPECT_EQ(packs().size(), 3U);
  back_up("b", {{"f", brought}});
  EXPECT_LT(must(snapshots({path})).snapshots.back().stored_bytes, 100U);
  forget({});  // what the attempt did not use after all goes
  EXPECT_EQ(packs().size(), 2U);
  expect_all_whole();
}

TEST_F(Upkeep, TheLastSnapshotTakesEverythingWithIt) {
  back_up("a", {{"f", noise(1000, 1)}});
  {
    Repository repository = opened(path, Use::Write);
    PackWriter writer(repository);
    must(add(writer, noise(300'000, 3)));
  }
  EXPECT_EQ(packs().size(), 2U);
  const auto data = forget({"a"});
  EXPECT_EQ(data.pack_bytes, 0U);
  EXPECT_TRUE(packs().empty());
}

TEST_F(Upkeep, AFirstBackupThatIsNotThroughIsNotSwept) {
  {
    Repository repository = opened(path, Use::Write);
    PackWriter writer(repository);
    must(add(writer, noise(300'000, 3)));
    must(writer.finish());
    must(repository.seal());
  }
  forget({});
  EXPECT_EQ(packs().size(), 1U);
}

TEST_F(Upkeep, AKeptSnapshotIsNotForgottenAndNothingBesideItEither) {
  back_up("a", {{"f", noise(1000, 1)}});
  back_up("b", {{"f", noise(1000, 2)}});
  const std::string manifest = read_file(scratch / "snapshots/a");
  must(keep({path, {"a", "never there"}, {}}));
  must(keep({path, {"a"}, {"b"}}));  // twice is once
  EXPECT_EQ(read_file(scratch / "snapshots/a"), manifest) << "a manifest never changes";
  EXPECT_FALSE(fs::exists(scratch / "kept/never there"));
  const auto seen = must(snapshots({path})).snapshots;
  EXPECT_EQ(std::pair(seen[0].id, seen[0].kept), std::pair(std::string("a"), true));
  EXPECT_FALSE(seen[1].kept);
  for (const bool dry_run : {true, false}) {
    const auto refused = mover::forget({path, {"b", "a"}, dry_run}, {});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().reason, "Kept");
    EXPECT_NE(refused.error().message.find("snapshot a in"), std::string::npos);
    EXPECT_NE(refused.error().next.find("spec.keep"), std::string::npos);
  }
  expect_all_whole();
  forget({"b"});
  must(keep({path, {}, {"a"}}));
  EXPECT_FALSE(must(snapshots({path})).snapshots[0].kept);
  forget({"a"});
  EXPECT_TRUE(must(snapshots({path})).snapshots.empty());
}

TEST_F(Upkeep, AKeptSnapshotGoesWhereWhoeverHadItKeptSaysSoAndItsMarkWithIt) {
  back_up("a", {{"f", noise(1000, 1)}});
  must(keep({path, {"a"}, {}}));
  contents.clear();
  must(mover::forget({path, {"a"}, false, true}, {}));
  EXPECT_FALSE(fs::exists(scratch / "kept/a"));
  expect_all_whole();
}

TEST_F(Upkeep, TheMarkOfASnapshotThatIsGoneIsTidied) {
  back_up("a", {{"f", noise(1000, 1)}});
  back_up("b", {{"f", noise(1000, 2)}});
  must(keep({path, {"a", "b"}, {}}));
  fs::remove(scratch / "snapshots/a");  // by hand, as the format allows
  contents.erase("a");
  forget({"a"});  // what is not there counts as removed
  EXPECT_FALSE(fs::exists(scratch / "kept/a"));
  EXPECT_TRUE(fs::exists(scratch / "kept/b"));
  fs::remove(scratch / "snapshots/b");
  contents.erase("b");
  must(keep({path, {}, {}}));
  EXPECT_FALSE(fs::exists(scratch / "kept/b"));
  expect_all_whole();
}

TEST_F(Upkeep, MarkingGoesOnBesideABackupAndAReaderButNotBesideASweep) {
  back_up("a", {{"f", noise(1000, 1)}});
  {
    const Repository writer = opened(path, Use::Write), reader = opened(path, Use::Read);
    must(keep({path, {"a"}, {}}));
  }
  const auto sweeper = must(RepositoryDirectory::open(path, Use::Sweep));
  const auto refused = keep({path, {}, {"a"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "Busy");
  EXPECT_TRUE(fs::exists(scratch / "kept/a"));
}

TEST_F(Upkeep, IsBusyWhileOthersAreThere) {
  const Repository reader = opened(path, Use::Read);
  const auto refused = mover::forget({path, {}, false}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().reason, "Busy");
  EXPECT_TRUE(mover::forget({path, {}, true}, {}));  // a dry run disturbs nobody
}

TEST_F(Upkeep, AVerificationOfWhatIsWholeFindsNothing) {
  back_up("a", {{"f", noise(1000, 1)}, {"packed", std::string(50'000, 'x')}});
  const auto data = verify();
  EXPECT_EQ(data.packs, 1U);
  EXPECT_EQ(data.bytes, pack_bytes());
  EXPECT_EQ(data.damaged + data.missing, 0U);
  EXPECT_TRUE(data.damage.empty());
  EXPECT_FALSE(fs::exists(scratch / "damaged"));
}

TEST_F(Upkeep, DamageIsNamedCountsAsMissingAndIsBroughtAgain) {
  const std::string bad = noise(20'000, 2);
  back_up("a", {{"good", noise(1000, 1)}, {"bad", bad}});
  back_up("b", {{"other", noise(1000, 3)}});
  spoil(bad);
  auto data = verify();
  EXPECT_EQ(data.damaged, 1U);
  EXPECT_EQ(data.missing, 0U);
  EXPECT_EQ(data.damage, (std::vector<DamageSeen>{{"a", {1, {"bad"}}}}));
  EXPECT_EQ(must(snapshots({path})).damaged, 1U);
  EXPECT_FALSE(opened(path, Use::Read).has(digest_of(bad)));
  forget({});  // does not lose the only copy, damaged as it is
  EXPECT_EQ(verify().damaged, 1U);

  back_up("c", {{"bad", bad}});
  EXPECT_EQ(must(snapshots({path})).damaged, 0U);
  data = verify();
  EXPECT_EQ(data.damaged, 0U);
  EXPECT_TRUE(data.damage.empty());
  expect_all_whole();
}

TEST_F(Upkeep, AByteThatIsReadRightAgainIsNoDamage) {
  const std::string text = noise(20'000, 2);
  back_up("a", {{"f", text}});
  const std::string right = read_file(packs()[0]);
  spoil(text);
  EXPECT_EQ(verify().damaged, 1U);
  rewrite(packs()[0], right);
  EXPECT_EQ(verify().damaged, 0U);
  expect_all_whole();
}

TEST_F(Upkeep, APackIsAlwaysOfTheSamePart) {
  for (unsigned i = 0; i < 20; ++i) back_up(fmt::format("s{}", i), {{"f", noise(1000, i)}});
  std::uint64_t read = 0;
  for (std::uint32_t part = 0; part < 7; ++part) read += verify(part, 7).packs;
  EXPECT_EQ(read, 20U);
  spoil(noise(1000, 5));
  std::uint64_t finders = 0;
  for (std::uint32_t part = 0; part < 7; ++part) finders += verify(part, 7).damaged != 0;
  EXPECT_GE(finders, 1U);  // and those after it, which remember
  EXPECT_EQ(verify(6, 7).damaged, 1U);
}

TEST_F(Upkeep, WhatIsMissingIsToldWithItsFiles) {
  back_up("a", {{"kept", noise(1000, 1)}});
  const auto first = packs();
  back_up("b", {{"kept", noise(1000, 1)}, {"lost", noise(1000, 2)}});
  for (const fs::path& pack : packs())
    if (pack != first[0]) fs::remove(pack);
  const auto data = verify();
  EXPECT_EQ(data.missing, 1U);
  EXPECT_EQ(data.damage, (std::vector<DamageSeen>{{"b", {1, {"lost"}}}}));
}

TEST_F(Upkeep, ADamagedManifestAndADamagedListAreFoundOut) {
  const std::string text = noise(20'000, 2);
  back_up("a", {{"f", text}});
  spoil(text);
  EXPECT_EQ(verify().damaged, 1U);
  rewrite(scratch / "damaged", "nonsense");
  EXPECT_EQ(verify().damaged, 1U);
  std::string bytes = read_file(scratch / "snapshots/a");
  bytes.back() ^= 1;
  rewrite(scratch / "snapshots/a", bytes);
  ASSERT_EQ(verify().damage.size(), 1U);
}

TEST_F(Upkeep, APackWithADamagedEndIsWrittenAnew) {
  back_up("a", {{"f", noise(20'000, 2)}});
  std::string bytes = read_file(packs()[0]);
  bytes.back() ^= 1;
  rewrite(packs()[0], bytes);
  EXPECT_EQ(verify().damaged, 0U);  // nothing is lost
  EXPECT_EQ(forget({}).rewritten_packs, 1U);
  expect_all_whole();
}

TEST_F(Upkeep, ASweepThatMeetsDamageKeepsThePack) {
  const std::string shared = noise(100'000, 1), good = noise(1000, 4);
  back_up("a", {{"good", good}, {"shared", shared}, {"large", noise(kBig, 2)}});
  back_up("b", {{"good", good}, {"shared", shared}});
  spoil(shared);
  const auto data = forget({"a"});
  EXPECT_EQ(data.rewritten_packs, 0U);
  EXPECT_GT(pack_bytes(), kBig);
  EXPECT_EQ(must(snapshots({path})).damaged, 1U);
  const auto size = pack_bytes();
  forget({});
  EXPECT_LE(pack_bytes(), size);  // "good" is in two packs now, and in one of them dead
  EXPECT_GT(pack_bytes(), kBig);
  EXPECT_EQ(verify().damage, (std::vector<DamageSeen>{{"b", {1, {"shared"}}}}));
}

std::string changed(std::string text, std::size_t piece) {
  text[piece * kPiece + 77] ^= 1;
  return text;
}

/// What a whole extent takes, with the hashes of its pieces and its part of the pack's end.
constexpr std::uint64_t kWhole = kExtent + kMaxPieces * sizeof(Digest) + 1000;

TEST_F(Upkeep, APatchIsSmallAndItsBaseStaysAsLongAsItIsNeeded) {
  const std::string first = noise(kExtent, 1), second = changed(first, 5), third = changed(second, 6);
  back_up("a", {{"f", first}});
  back_up("b", {{"f", second}}, {{"f", first}});
  back_up("c", {{"f", third}}, {{"f", second}});
  EXPECT_LT(pack_bytes(), kWhole + 3 * kPiece);
  expect_all_whole();
  forget({"a"});
  EXPECT_GT(pack_bytes(), kExtent);
  expect_all_whole();
  EXPECT_EQ(verify().missing, 0U);
  forget({"b"});
  EXPECT_LT(pack_bytes(), kWhole + 2 * kPiece);
  expect_all_whole();
  back_up("d", {{"f", "something else"}});
  forget({"c"});
  EXPECT_LT(pack_bytes(), 1000U);
  expect_all_whole();
}

TEST_F(Upkeep, WhatHasChangedMuchSinceItsBaseIsStoredWhole) {
  std::string text = noise(kExtent, 1);
  back_up("s0", {{"f", text}});
  for (std::size_t i = 1; i <= 40; ++i) {
    const std::string before = text;
    text = changed(text, i);
    back_up(fmt::format("s{}", i), {{"f", text}}, {{"f", before}});
  }
  expect_all_whole();
  std::vector<std::string> old;
  for (std::size_t i = 0; i < 40; ++i) old.push_back(fmt::format("s{}", i));
  forget(std::move(old));
  expect_all_whole();
  EXPECT_LT(pack_bytes(), kExtent + 10 * kPiece) << "the newest stands on the base of s33, not on that of s0";
  EXPECT_GT(pack_bytes(), kExtent + 6 * kPiece);
}

TEST_F(Upkeep, ADamagedBaseTakesItsPatchesWithItUntilTheyAreBroughtAgain) {
  const std::string first = noise(kExtent, 1), second = changed(first, 5);
  back_up("a", {{"f", first}});
  back_up("b", {{"f", second}}, {{"f", first}});
  const std::string right = read_file(packs()[0]);
  spoil(first.substr(20 * kPiece, 100));
  auto data = verify();
  EXPECT_EQ(data.damaged, 2U);
  EXPECT_EQ(data.missing, 0U);
  EXPECT_EQ(data.damage, (std::vector<DamageSeen>{{"a", {1, {"f"}}}, {"b", {1, {"f"}}}}));
  EXPECT_FALSE(opened(path, Use::Read).has(digest_of(second)));
  contents.erase("a");
  forget({"a"});  // loses neither the patch nor what it stands on: the disk may be right again
  EXPECT_EQ(verify().damage, (std::vector<DamageSeen>{{"b", {1, {"f"}}}}));
  EXPECT_GT(pack_bytes(), kExtent + kPiece);

  back_up("c", {{"f", second}}, {{"f", second}});
  data = verify();
  EXPECT_TRUE(data.damage.empty());
  expect_all_whole();
  forget({});
  EXPECT_LT(pack_bytes(), kWhole);
  expect_all_whole();
}

TEST_F(Upkeep, AWrongPieceHashIsNoDamageAndMendedWhereItsPackIsRewritten) {
  const std::string first = noise(kExtent, 1);
  back_up("a", {{"f", first}, {"large", noise(3 * kExtent, 2)}});
  const Digest hash = piece_hash(7, bytes_of(first).subspan(7 * kPiece, kPiece));
  const std::string_view right(reinterpret_cast<const char*>(hash.data()), hash.size());
  const auto is_right = [&] { return read_file(packs()[0]).find(right) != std::string::npos; };
  spoil(right);
  ASSERT_FALSE(is_right());
  EXPECT_EQ(verify().damaged, 0U);
  expect_all_whole();
  back_up("b", {{"f", first}});
  forget({"a"});
  EXPECT_TRUE(is_right());
  expect_all_whole();
}

TEST_F(Upkeep, ADamagedPatchIsFoundAndItsBaseIsGood) {
  const std::string first = noise(kExtent, 1), second = changed(first, 5);
  back_up("a", {{"f", first}});
  back_up("b", {{"f", second}}, {{"f", first}});
  spoil(second.substr(5 * kPiece, kPiece));
  const auto data = verify();
  EXPECT_EQ(data.damaged, 1U);
  EXPECT_EQ(data.damage, (std::vector<DamageSeen>{{"b", {1, {"f"}}}}));
}

TEST_F(Upkeep, APatchOfAPatchOrOfAnotherLengthIsNeverRead) {
  const std::string first = noise(kExtent, 1), second = changed(first, 5), third = changed(first, 6);
  back_up("a", {{"f", first}, {"short", first.substr(1)}});
  back_up("b", {{"f", second}}, {{"f", first}});
  PatchMaker patches;
  {
    Repository repository = opened(path, Use::Write);
    PackWriter writer(repository);
    PieceSet pieces{};
    insert(pieces, 6);
    must(writer.add_patch(digest_of(third), kExtent,
                          *patch_of(patches, {.base = digest_of(second)}, pieces, third, false)));
    const std::string fourth = changed(first, 7);
    must(writer.add_patch(digest_of(fourth), kExtent,
                          *patch_of(patches, {.base = digest_of(first.substr(1))}, pieces, fourth, false)));
    must(writer.finish());
    must(repository.seal());
  }
  const Repository repository = opened(path, Use::Read);
  EXPECT_FALSE(repository.has(digest_of(third)));
  ExtentReader reader(repository);
  const auto read = reader.plain(digest_of(changed(first, 7)));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().reason, "DamagedExtent");
  EXPECT_NE(read.error().message.find("cannot be its base"), std::string::npos);
}

TEST_F(Upkeep, AStopIsHeard) {
  back_up("a", {{"f", noise(1000, 1)}});
  std::stop_source stop;
  stop.request_stop();
  Meter meter;
  EXPECT_EQ(mover::forget({path, {}, false}, stop.get_token()).error().reason, "Cancelled");
  EXPECT_EQ(mover::verify({path, 0, 1}, stop.get_token(), meter).error().reason, "Cancelled");
  expect_all_whole();
}

}  // namespace
}  // namespace roadstead::mover
