// Backups and restores between two movers in this process, over real connections: snapshots as sinks and sources, live
// sources, what travels and what does not.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <future>
#include <thread>

#include "mover/copy.h"
#include "mover/repository/manifest.h"
#include "scratch.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;
using testing::make_tree;
using testing::noise;
using testing::read_file;
using testing::Scratch;
using testing::set_time;
using testing::snapshot;
using testing::write_file;
namespace fs = std::filesystem;

constexpr std::size_t kMiB = std::size_t{1} << 20;

Key some_key() {
  Key key{};
  key.fill(9);
  return key;
}

struct Ends {
  CopyEnd sent, received;
};

/// Told of a transfer while it goes on, from a thread of its own; false: no more.
using Meanwhile = std::function<void(const Meter& sender)>;

class Snapshots : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(source_);
    fs::create_directories(scratch_ / "repository");
    fs::create_directories(scratch_ / "volume/_data");
  }

  /// Both ends of a transfer, `connections` of them; `meanwhile` runs beside it.
  Ends transfer(Copy send, Copy receive, const Meanwhile& meanwhile = {}, int connections = 3) {
    Link link;
    link.address = "127.0.0.1";
    link.connections = connections;
    link.transfer = "test";
    link.wait_seconds = 5;
    auto listener = Listener::open(link);
    link.port = listener->port();
    send.role = Role::Send;
    receive.role = Role::Receive;
    Meter sender, receiver;
    auto received = std::async(std::launch::async, [&]() -> CopyEnd {
      Session session({}, 20s);
      auto linked = std::move(*listener).accept(link, some_key(), Purpose::Copy, Side::Receive, session);
      if (!linked) return {{}, linked.error()};
      return receive_tree(receive, *linked, session, receiver);
    });
    auto sent = std::async(std::launch::async, [&]() -> CopyEnd {
      Session session({}, 20s);
      auto linked = call(link, some_key(), Purpose::Copy, Side::Send, session);
      if (!linked) return {{}, linked.error()};
      return send_tree(send, *linked, session, sender);
    });
    if (meanwhile) meanwhile(sender);
    CopyEnd one = sent.get();
    return {std::move(one), received.get()};
  }

  Ends back_up(const std::string& id, Copy send = {}, const Meanwhile& meanwhile = {}) {
    send.source = Source{.path = source_.string(), .live = true, .settle_seconds = settle_seconds_};
    return transfer(std::move(send), into("repository", id), meanwhile);
  }

  [[nodiscard]] Copy into(const std::string& repository, const std::string& id) const {
    return {.snapshot = mover::Snapshot{(scratch_ / repository).string(), id, R"({"policy":"p"})"}};
  }

  [[nodiscard]] Copy out_of(const std::string& repository, const std::string& id) const {
    return {.source = Source{.path = (scratch_ / repository).string(), .snapshot = id}};
  }

  /// The snapshot as a tree again.
  std::map<std::string, std::string> restored(const std::string& id, const std::string& repository = "repository") {
    fs::remove_all(scratch_ / "volume/.roadstead");
    const Copy target{.target = Target{(scratch_ / "volume").string(), "r"}};
    const Ends ends = transfer(out_of(repository, id), target);
    EXPECT_FALSE(ends.received.failure) << ends.received.failure->message;
    EXPECT_FALSE(ends.sent.failure);
    return snapshot(tree_);
  }

  /// A restore on the repository's own host, by one mover.
  CopyEnd restore_here(const std::string& id) {
    Copy here = out_of("repository", id);
    here.role = Role::Both;
    here.target = Target{(scratch_ / "volume").string(), "r"};
    Meter meter;
    return copy_here(here, {}, meter);
  }

  /// The repository's, made writable.
  [[nodiscard]] std::vector<fs::path> packs() const {
    std::vector<fs::path> all;
    for (const auto& pack : fs::directory_iterator(scratch_ / "repository/packs")) {
      fs::permissions(pack, fs::perms::owner_all);
      all.push_back(pack.path());
    }
    return all;
  }

  static void expect_well(const Ends& ends) {
    ASSERT_FALSE(ends.received.failure) << ends.received.failure->message;
    ASSERT_FALSE(ends.sent.failure) << ends.sent.failure->message;
    ASSERT_TRUE(ends.received.data.snapshot);
  }

  int settle_seconds_ = 0;  ///< What was just written counts as old.
  Scratch scratch_;
  fs::path source_ = scratch_ / "source";
  fs::path tree_ = scratch_ / "volume/.roadstead/r/tree";
};

TEST_F(Snapshots, AreRestoredEqualInEverything) {
  make_tree(source_);
  const Ends ends = back_up("one");
  expect_well(ends);
  const SnapshotSeen& seen = *ends.received.data.snapshot;
  EXPECT_EQ(seen.data_bytes, ends.sent.data.bytes_total);
  EXPECT_EQ(seen.files, ends.sent.data.files_total);
  EXPECT_FALSE(seen.crash_consistent);
  EXPECT_EQ(restored("one"), snapshot(source_));
}

TEST_F(Snapshots, WhatIsThereAlreadyIsTheResultAndNothingIsRead) {
  make_tree(source_);
  expect_well(back_up("one"));
  write_file(source_ / "later", "not in it");
  const Ends again = back_up("one");
  expect_well(again);
  EXPECT_EQ(again.received.data.files_total, 0U);
  EXPECT_EQ(again.received.data.snapshot->id, "one");
  EXPECT_FALSE(again.received.data.previous);
}

TEST_F(Snapshots, OfAnUnchangedSourceCostNothing) {
  make_tree(source_);
  expect_well(back_up("one"));
  const Ends again = back_up("two");
  expect_well(again);
  EXPECT_EQ(again.received.data.bytes_sent, 0U);
  EXPECT_EQ(again.received.data.bytes_same, 0U) << "not even read";
  EXPECT_EQ(again.received.data.bytes_verified, again.received.data.bytes_total);
  EXPECT_EQ(again.received.data.snapshot->stored_bytes, 0U);
  EXPECT_EQ(again.received.data.previous->id, "one");
  EXPECT_EQ(restored("two"), snapshot(source_));
  EXPECT_EQ(restored("one"), snapshot(source_)) << "the older one stays";
}

TEST_F(Snapshots, OfAFileOnlyTouchedSendNoData) {
  make_tree(source_);
  expect_well(back_up("one"));
  set_time(source_ / "base/16384/1259", 1000000099, 5);
  const Ends again = back_up("two");
  EXPECT_EQ(again.received.data.bytes_sent, 0U);
  EXPECT_EQ(again.received.data.bytes_same, 3 * kMiB + 12345);
  EXPECT_EQ(restored("two"), snapshot(source_));
}

/// Changes a byte of a file, and nothing else of it.
void change(const fs::path& path, std::size_t at) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(at));
  const char other = static_cast<char>(file.get() ^ 1);
  file.seekp(static_cast<std::streamoff>(at));
  file.put(other);
  ASSERT_TRUE(file.flush()) << path << " has no byte " << at;
}

TEST_F(Snapshots, OfAChangedPageSendThatPage) {
  write_file(source_ / "database", noise(8 * kMiB, 1));
  expect_well(back_up("one"));
  change(source_ / "database", 5 * kMiB + 3 * 8192 + 17);
  const Ends again = back_up("two");
  expect_well(again);
  EXPECT_EQ(again.received.data.bytes_sent, kPiece);
  EXPECT_EQ(again.sent.data.bytes_sent, kPiece);
  EXPECT_EQ(restored("two"), snapshot(source_));
}

TEST_F(Snapshots, OfPagesThatChangeOneAfterAnotherSendEachOnce) {
  write_file(source_ / "database", noise(3 * kMiB, 1));
  expect_well(back_up("0"));
  for (const std::size_t page : {9U, 4U, 9U, 127U}) {
    change(source_ / "database", kMiB + page * kPiece + page);
    const std::string id = fmt::format("{}", page);
    fs::remove(scratch_ / "repository/snapshots" / id);
    const Ends again = back_up(id);
    expect_well(again);
    EXPECT_EQ(again.received.data.bytes_sent, kPiece);
    EXPECT_EQ(restored(id), snapshot(source_));
  }
}

TEST_F(Snapshots, OfAChangedPageReadNothingOfWhatIsStored) {
  write_file(source_ / "database", noise(kMiB, 1));
  expect_well(back_up("one"));
  for (const fs::path& pack : packs()) change(pack, kMiB / 2);
  change(source_ / "database", 8192);
  const Ends again = back_up("two");
  expect_well(again);
  EXPECT_EQ(again.received.data.bytes_sent, kPiece) << "or it has found the damage, which is what verifications do";
}

TEST_F(Snapshots, WhereAPieceHashHasRottenThePieceOrTheExtentIsBroughtAgain) {
  const std::string text = noise(kMiB, 1);
  write_file(source_ / "database", text);
  expect_well(back_up("one"));
  const Digest hash = piece_hash(60, std::as_bytes(std::span(text)).subspan(60 * kPiece, kPiece));
  const std::string_view there(reinterpret_cast<const char*>(hash.data()), hash.size());
  const fs::path pack = packs().front();  // later ones may come before it
  const auto at = read_file(pack).find(there);
  change(pack, at);  // in what is compared with the source's
  change(source_ / "database", 8192);
  Ends again = back_up("two");
  expect_well(again);
  EXPECT_EQ(again.received.data.bytes_sent, 2 * kPiece);
  EXPECT_EQ(restored("two"), snapshot(source_));

  fs::remove(scratch_ / "repository/snapshots/two");
  change(pack, at);
  change(pack, at + 20);  // in the rest, of which the name is made
  change(source_ / "database", 16384);
  again = back_up("three");
  expect_well(again);
  EXPECT_EQ(again.received.data.bytes_sent, 2 * kPiece + kMiB);
  EXPECT_EQ(restored("three"), snapshot(source_));
}

TEST_F(Snapshots, OfAFileThatBecameLongerOrShorterAreRight) {
  write_file(source_ / "grows", noise(2 * kMiB + 100, 1));
  write_file(source_ / "shrinks", noise(3 * kMiB + 100, 2));
  expect_well(back_up("one"));
  write_file(source_ / "grows", noise(2 * kMiB + 100, 1) + noise(2 * kMiB, 3));
  fs::resize_file(source_ / "shrinks", kMiB + 50);
  const Ends again = back_up("two");
  expect_well(again);
  EXPECT_EQ(again.received.data.bytes_same, 2 * kMiB + kMiB) << "whole extents that stayed";
  EXPECT_EQ(restored("two"), snapshot(source_));
}

TEST_F(Snapshots, OfARenamedFileSendNothing) {
  make_tree(source_);
  expect_well(back_up("one"));
  fs::create_directories(source_ / "elsewhere");
  fs::rename(source_ / "base/16384/1259", source_ / "elsewhere/renamed");
  const Ends again = back_up("two");
  expect_well(again);
  EXPECT_EQ(again.received.data.bytes_sent, 0U);
  EXPECT_EQ(restored("two"), snapshot(source_));
}

TEST_F(Snapshots, WithZstdTravelAndLieSmaller) {
  write_file(source_ / "text", std::string(4 * kMiB, 'a') + noise(kMiB, 1));
  const Ends ends = back_up("one", {.compression = Compression::Zstd});
  expect_well(ends);
  EXPECT_LT(ends.received.data.wire_bytes, kMiB + kMiB / 4);
  EXPECT_LT(ends.received.data.snapshot->stored_bytes, kMiB + kMiB / 4);
  EXPECT_EQ(ends.received.data.bytes_sent, 5 * kMiB);
  EXPECT_EQ(restored("one"), snapshot(source_));
}

TEST_F(Snapshots, KeepToTheBandwidth) {
  write_file(source_ / "file", noise(2 * kMiB, 1));
  const auto begin = std::chrono::steady_clock::now();
  expect_well(back_up("one", {.bandwidth_limit = 4 * kMiB}));
  EXPECT_GT(std::chrono::steady_clock::now() - begin, 300ms) << "half a second of line, less what may go at once";
}

TEST_F(Snapshots, AreCopiedToAnotherRepositoryWithTheirHistory) {
  make_tree(source_);
  expect_well(back_up("one"));
  write_file(source_ / "small/7", noise(5000, 77));
  expect_well(back_up("two"));
  fs::create_directories(scratch_ / "far");
  const Ends first = transfer(out_of("repository", "one"), into("far", "one"));
  expect_well(first);
  const Ends second = transfer(out_of("repository", "two"), into("far", "two"));
  expect_well(second);
  EXPECT_EQ(second.received.data.bytes_sent, 5000U) << "only the extent that is missing";
  const auto here = RepositoryDirectory::open((scratch_ / "repository").string(), Use::Read);
  const auto original = read_header(*here, "one");
  ASSERT_TRUE(original);
  EXPECT_EQ(first.received.data.snapshot->data_as_of, original->data_as_of) << "it stays what it was";
  EXPECT_EQ(restored("two", "far"), snapshot(source_));
}

TEST_F(Snapshots, ADamagedExtentIsBroughtAgainWhereTheSourceStillHasIt) {
  write_file(source_ / "file", noise(3 * kMiB, 1));
  expect_well(back_up("one"));
  {
    const auto directory = RepositoryDirectory::open((scratch_ / "repository").string(), Use::Verify);
    ASSERT_TRUE(directory);
    const auto manifest = read_manifest(*directory, "one");
    ASSERT_TRUE(directory->write_damaged({{manifest->digests[1], directory->pack_ids()->front()}}));
  }
  const Ends again = back_up("two");
  expect_well(again);
  EXPECT_EQ(again.received.data.bytes_sent, kMiB) << "the one that is damaged";
  EXPECT_EQ(restored("one"), snapshot(source_));
}

TEST_F(Snapshots, WhatHasRottenInTheRepositoryIsNeverRestored) {
  write_file(source_ / "file", noise(3 * kMiB, 1));
  expect_well(back_up("one"));
  for (const auto& pack : fs::directory_iterator(scratch_ / "repository/packs")) {
    fs::permissions(pack, fs::perms::owner_all);
    std::fstream file(pack.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(kMiB + kMiB / 2);
    file << "rot";
  }
  const CopyEnd alone = restore_here("one");
  ASSERT_TRUE(alone.failure);
  EXPECT_EQ(alone.failure->reason, "DamagedExtent");
  fs::create_directories(scratch_ / "far");
  const Copy target{.target = Target{(scratch_ / "volume").string(), "q"}};
  for (const Copy& receive : {into("far", "one"), target}) {
    const Ends ends = transfer(out_of("repository", "one"), receive);
    for (const CopyEnd& end : {ends.received, ends.sent}) {
      ASSERT_TRUE(end.failure);
      EXPECT_EQ(end.failure->reason, "DamagedExtent");
    }
    EXPECT_NE(ends.received.failure->message.find("an extent of file "), std::string::npos);
  }
}

TEST_F(Snapshots, APackedExtentThatDoesNotUnpackAnyMoreIsToldAsDamageOfItsFile) {
  write_file(source_ / "text", std::string(kMiB, 'x') + noise(100, 1));
  expect_well(back_up("one", {.compression = Compression::Zstd}));
  for (const auto& pack : fs::directory_iterator(scratch_ / "repository/packs")) {
    std::string bytes = read_file(pack);
    const auto frame = bytes.find("\x28\xb5\x2f\xfd");
    ASSERT_NE(frame, std::string::npos);
    bytes[frame] ^= 1;
    fs::permissions(pack, fs::perms::owner_all);
    write_file(pack, bytes);
  }
  const Copy target{.target = Target{(scratch_ / "volume").string(), "q"}};
  const Ends far = transfer(out_of("repository", "one"), target);
  ASSERT_TRUE(far.received.failure);
  EXPECT_EQ(far.received.failure->reason, "DamagedExtent");
  EXPECT_NE(far.received.failure->message.find("text"), std::string::npos);
  const CopyEnd alone = restore_here("one");
  ASSERT_TRUE(alone.failure);
  EXPECT_EQ(alone.failure->reason, "DamagedExtent");
}

// ---- live sources ---------------------------------------------------------------------------------------------------

/// A source whose first file takes seconds on the limited line: what is behind it can be changed after it was listed
/// and before it is read. Returns once something of it has been sent.
class Live : public Snapshots {
 protected:
  void SetUp() override {
    Snapshots::SetUp();
    write_file(source_ / "a first", noise(24 * kMiB, 1));
    for (const char* name : {"appended", "gone", "replaced", "shrunk", "written"})
      write_file(source_ / name, noise(2 * kMiB, 5));
    write_file(source_ / "lost directory/file", "x");
  }

  Ends back_up_while(const std::function<void()>& change) {
    Copy send{.bandwidth_limit = 16 * kMiB};
    return back_up("live", std::move(send), [&](const Meter& sender) {
      const auto deadline = std::chrono::steady_clock::now() + 10s;
      while (!sender.read().bytes_total && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
      EXPECT_TRUE(sender.read().bytes_total);
      change();
    });
  }

  static std::string all(const Told& told) {
    std::string text;
    for (const std::string& name : told.names) text += name + "\n";
    return text;
  }
};

TEST_F(Live, WhatChangesWhileItIsReadIsBroughtAsItIsNowAndTold) {
  const Ends ends = back_up_while([&] {
    std::ofstream(source_ / "appended", std::ios::app | std::ios::binary) << noise(1000, 6);
    fs::remove(source_ / "gone");
    write_file(source_ / "new one", noise(kMiB / 2, 7));
    fs::rename(source_ / "new one", source_ / "replaced");
    fs::resize_file(source_ / "shrunk", 100);
    fs::remove_all(source_ / "lost directory");
    std::fstream(source_ / "written", std::ios::in | std::ios::out | std::ios::binary) << "other bytes";
  });
  expect_well(ends);
  const SnapshotSeen& seen = *ends.received.data.snapshot;
  EXPECT_TRUE(seen.crash_consistent);
  EXPECT_EQ(seen.unreadable.count, 0U) << all(seen.unreadable);
  EXPECT_EQ(
      all(seen.changed),
      "appended\ngone (vanished)\nreplaced\nshrunk\nwritten\nlost directory/file (vanished)\n./\nlost directory/\n");
  EXPECT_EQ(ends.sent.data.changed, seen.changed) << "both ends tell the same";
  auto now = snapshot(source_);
  auto then = restored("live");
  then.erase("lost directory");  // it was still there when it was listed
  for (auto* tree : {&now, &then}) tree->erase(".");
  EXPECT_EQ(then, now);
}

/// Of this program, since the last call of forget_peak().
std::size_t peak_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6));
  return 0;
}

void forget_peak() { std::ofstream("/proc/self/clear_refs") << "5"; }

TEST_F(Live, ThousandsOfFilesThatChangeMeanwhileCostLittleMemory) {
  constexpr int kFiles = 4000;
  for (int i = 0; i < kFiles; ++i) write_file(source_ / fmt::format("many/{}", i), "x");
  forget_peak();
  const std::size_t before = peak_kib();
  const Ends ends = back_up_while([&] {
    for (int i = 0; i < kFiles; ++i) write_file(source_ / fmt::format("many/{}", i), "longer");
  });
  expect_well(ends);
  EXPECT_GE(ends.received.data.changed.count, kFiles);
  EXPECT_LT(peak_kib() - before, 250'000U)
      << "both sides, of which a sanitizer makes more; 128 KiB a file were 500 MiB";
  EXPECT_EQ(restored("live"), snapshot(source_));
}

TEST_F(Live, AFileThatLosesItsFirstNameIsReadByAnother) {
  for (const char* name : {"replaced", "gone"})
    fs::create_hard_link(source_ / name, source_ / (std::string("z other name of ") + name));
  const std::string listed = read_file(source_ / "replaced");
  expect_well(back_up_while([&] {
    fs::remove(source_ / "gone");
    write_file(source_ / "new one", noise(kMiB / 2, 7));
    fs::rename(source_ / "new one", source_ / "replaced");
  }));
  restored("live");
  EXPECT_EQ(read_file(tree_ / "z other name of replaced"), listed);
  EXPECT_EQ(read_file(tree_ / "z other name of gone"), listed);
}

TEST_F(Live, AFileThatChangedInABackupIsComparedByTheNextAndTakenForUnchangedByTheOneAfter) {
  expect_well(back_up_while([&] { write_file(source_ / "written", noise(2 * kMiB, 8)); }));
  const Ends next = back_up("next");
  expect_well(next);
  EXPECT_EQ(next.received.data.bytes_sent, 0U);
  EXPECT_EQ(next.received.data.bytes_same, 2 * kMiB);
  EXPECT_FALSE(next.received.data.snapshot->crash_consistent);
  const Ends after = back_up("after");
  EXPECT_EQ(after.received.data.bytes_verified, after.received.data.bytes_total);
}

// It could have been moved from what was listed later to what was listed before, and be in neither list.
TEST_F(Live, ADirectoryInWhichNamesComeOrGoIsTold) {
  const Ends ends = back_up_while([&] { write_file(source_ / "lost directory/new", "x"); });
  expect_well(ends);
  EXPECT_EQ(all(ends.received.data.changed), "lost directory/\n");
  EXPECT_TRUE(ends.received.data.snapshot->crash_consistent);
}

TEST_F(Live, AFileThatChangesAfterItWasTakenForUnchangedIsBroughtAndTold) {
  expect_well(back_up("before"));
  write_file(source_ / "a first", noise(24 * kMiB, 2));
  const Ends ends = back_up_while([&] { write_file(source_ / "written", noise(2 * kMiB, 8)); });
  expect_well(ends);
  EXPECT_EQ(all(ends.received.data.changed), "written\n");
  EXPECT_TRUE(ends.received.data.snapshot->crash_consistent);
  EXPECT_EQ(restored("live"), snapshot(source_));
}

// The kernel moves a file's times when a page of a mapping becomes dirty, not when it is written to again.
TEST_F(Live, AStoreThatMovesNoTimeIsFoundByTheNextBackup) {
  settle_seconds_ = Source().settle_seconds;
  const Fd file(::open((source_ / "written").c_str(), O_RDWR | O_CLOEXEC));
  void* mapped = ::mmap(nullptr, kMiB, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  ASSERT_NE(mapped, MAP_FAILED);
  auto* bytes = static_cast<volatile char*>(mapped);
  bytes[0] = 'a';
  expect_well(back_up("one"));
  bytes[1] = 'b';
  const Ends again = back_up("two");
  ::munmap(mapped, kMiB);
  expect_well(again);
  EXPECT_EQ(restored("two"), snapshot(source_));
}

TEST_F(Live, ASourceThatMustBeAtRestEndsTheCopyInstead) {
  Copy send{.source = Source{.path = source_.string()}, .bandwidth_limit = 16 * kMiB};
  const Ends ends = transfer(std::move(send), into("repository", "strict"), [&](const Meter& sender) {
    while (!sender.read().bytes_total) std::this_thread::yield();
    fs::remove(source_ / "gone");
  });
  ASSERT_TRUE(ends.received.failure);
  EXPECT_EQ(ends.received.failure->reason, "SourceChanged");
  const auto directory = RepositoryDirectory::open((scratch_ / "repository").string(), Use::Read);
  EXPECT_TRUE(list_snapshots(*directory)->snapshots.empty());
}

TEST_F(Live, IsOnlyForRepositories) {
  Copy send{.source = Source{.path = source_.string(), .live = true}};
  const Copy target{.target = Target{(scratch_ / "volume").string(), "r"}};
  const Ends ends = transfer(std::move(send), target);
  ASSERT_TRUE(ends.received.failure);
  EXPECT_EQ(ends.received.failure->reason, "ProtocolError");
}

}  // namespace
}  // namespace roadstead::mover
