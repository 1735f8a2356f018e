// The verbs that work on a volume alone, each twice, on real directories.

#include "mover/volume.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include "mover/copy.h"
#include "mover/journal.h"
#include "mover/place.h"
#include "scratch.h"

namespace roadstead::mover {
namespace {

using namespace testing;

class Volume : public ::testing::Test {
 protected:
  void SetUp() override {
    write_file(scratch_ / "volume/_data/old", "old data");
    write_file(tree_ / "new", "new data");
  }
  void stage() { ASSERT_TRUE(make_place(target_)); }

  Scratch scratch_;
  Target target_{scratch_.str() + "/volume", "default.uat.db"};
  fs::path own_ = scratch_ / "volume/.roadstead/default.uat.db";
  fs::path tree_ = own_ / "tree";
  fs::path data_ = scratch_ / "volume/_data";
};

TEST_F(Volume, ExchangedTwiceDoesNotSwapBack) {
  const std::uint64_t fresh = inode_of(tree_), old = inode_of(data_);
  const auto first = exchange({target_, fresh});
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(*first, (ExchangeData{false, fresh, old}));
  EXPECT_EQ(read_file(data_ / "new"), "new data");
  EXPECT_EQ(read_file(tree_ / "old"), "old data");
  const auto second = exchange({target_, fresh});
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(*second, (ExchangeData{true, fresh, old}));
  EXPECT_EQ(read_file(data_ / "new"), "new data");
  // The way back is the same step with the other number.
  ASSERT_TRUE(exchange({target_, old}));
  EXPECT_EQ(read_file(data_ / "old"), "old data");
}

TEST_F(Volume, ExchangeTouchesNothingWhenNeitherTreeIsTheOneAskedFor) {
  const std::uint64_t old = inode_of(data_);
  const auto done = exchange({target_, 1});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, "InodeMismatch");
  EXPECT_EQ(inode_of(data_), old);
  EXPECT_EQ(exchange({{target_.parent, "default.other.db"}, 1}).error().reason, "NotFound");
}

TEST_F(Volume, ExchangeRefusesAMountPoint) {
  if (::mount(data_.c_str(), data_.c_str(), nullptr, MS_BIND, nullptr) != 0) GTEST_SKIP() << "may not mount here";
  const auto done = exchange({target_, inode_of(tree_)});
  const auto seen = inspect({target_.parent, false, std::nullopt}, {});
  ASSERT_EQ(::umount(data_.c_str()), 0);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().reason, "MountPoint");
  EXPECT_TRUE(seen->volume->mount_point);
  EXPECT_EQ(read_file(data_ / "old"), "old data");
}

TEST_F(Volume, ExchangeKeepsTheVolumesLabel) {
  const char label[] = "system_u:object_r:container_file_t:s0";
  if (::setxattr(data_.c_str(), "security.selinux", label, sizeof label, 0) != 0) GTEST_SKIP() << "no labels here";
  ASSERT_TRUE(exchange({target_, inode_of(tree_)}));
  char found[100] = {};
  EXPECT_EQ(::getxattr(data_.c_str(), "security.selinux", found, sizeof found), static_cast<ssize_t>(sizeof label));
  EXPECT_STREQ(found, label);
}

TEST_F(Volume, MarkIsWrittenAndReplacedWhole) {
  for (const char* text : {R"({"a":1})", R"({"a":1})", R"({"b":"longer than before"})"}) {
    ASSERT_TRUE(mark({target_, text}));
    EXPECT_EQ(read_file(own_ / "mark.json"), text);
  }
  EXPECT_FALSE(fs::exists(own_ / kPartName));
  const Target fresh{target_.parent, "default.other.db"};
  ASSERT_TRUE(mark({fresh, "{}"}));
  struct stat status {};
  ASSERT_EQ(::stat((scratch_ / "volume/.roadstead/default.other.db").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
}

TEST_F(Volume, InspectSeesTheVolumeItsRequestsAndItsSize) {
  ASSERT_TRUE(mark({target_, R"({"n":1})"}));
  ASSERT_TRUE(mark({{target_.parent, "default.other.db"}, R"({"n":2})"}));
  for (int twice = 0; twice < 2; ++twice) {
    const auto seen = inspect({target_.parent, true, std::nullopt}, {});
    ASSERT_TRUE(seen) << seen.error().message;
    const VolumeSeen& volume = *seen->volume;
    EXPECT_TRUE(volume.exists);
    EXPECT_TRUE(volume.same_device);
    EXPECT_FALSE(volume.mount_point);
    EXPECT_EQ(volume.inode, inode_of(data_));
    EXPECT_EQ(volume.logical_bytes, 8U);
    EXPECT_EQ(volume.files, 1U);
    EXPECT_GT(volume.free_bytes, 0U);
    EXPECT_GE(volume.total_bytes, volume.free_bytes);
    EXPECT_EQ(volume.requests, (std::vector<RequestSeen>{{"default.other.db", R"({"n":2})", std::nullopt},
                                                         {"default.uat.db", R"({"n":1})", inode_of(tree_)}}));
  }
  const auto bare = inspect({scratch_.str() + "/volume/_data", false, std::nullopt}, {});
  ASSERT_TRUE(bare);
  EXPECT_FALSE(bare->volume->exists);
  EXPECT_EQ(inspect({scratch_.str() + "/nowhere", false, std::nullopt}, {}).error().reason, "NotFound");
}

TEST_F(Volume, SurveyFindsEveryMarkThatIsNoReceipt) {
  const auto marked = [&](const std::string& volume, const std::string& request, const std::string& text) {
    write_file(scratch_ / volume / "_data/file", "data");
    ASSERT_TRUE(mark({{scratch_.str() + "/" + volume, request}, text}));
  };
  marked("a", "default.one.db", R"({"namespace":"default","name":"one","state":"Stopping"})");
  marked("a", "default.two.db", R"({"namespace":"default","name":"two","state":"Receipt"})");
  marked("b", "default.odd.db", "not json");
  // Of a volume of another driver: what stands beside others is in a volume of its own.
  const auto elsewhere = std::string(kMarksVolume) + "/_data/";
  write_file(scratch_ / (elsewhere + "default.nfs.x/mark.json"),
             R"({"namespace":"default","name":"nfs","volume":"media","state":"Overwriting"})");
  write_file(scratch_ / (elsewhere + "default.done.x/mark.json"),
             R"({"namespace":"default","name":"done","volume":"media","state":"Receipt"})");
  write_file(scratch_ / (elsewhere + "default.zapped.x/mark.json"), "");
  write_file(scratch_ / "metadata.db", "the engine's own");
  const auto seen = survey({scratch_.str()});
  ASSERT_TRUE(seen) << seen.error().message;
  EXPECT_GT(seen->total_bytes, seen->free_bytes);
  const std::vector<MarkSeen> wanted{{"a", "default", "one", "Stopping"},
                                     {"b", "", "", "Unreadable"},
                                     {"media", "default", "nfs", "Overwriting"},
                                     {"roadstead_marks", "", "", "Unreadable"}};
  EXPECT_EQ(seen->marks, wanted);
  EXPECT_EQ(parse_survey_data(to_json(*seen)).value(), *seen);
}

TEST_F(Volume, AMarkThatCannotBeReadIsNotTakenForNone) {
  fs::create_directories(scratch_ / "volume/.roadstead/default.one.db");
  fs::create_symlink("nowhere", scratch_ / "volume/.roadstead/default.one.db/mark.json");
  const auto seen = inspect({scratch_.str() + "/volume", false, std::nullopt}, {});
  ASSERT_FALSE(seen);
  EXPECT_NE(seen.error().message.find("default.one.db"), std::string::npos);
}

TEST_F(Volume, InspectMeasuresASourceThroughItsFilter) {
  write_file(scratch_ / "source/a", std::string(1000, 'a'));
  write_file(scratch_ / "source/b.tmp", std::string(5000, 'b'));
  write_sparse(scratch_ / "source/sparse", 1 << 20, {0}, "x");
  const auto seen = inspect({std::nullopt, false, Source{scratch_.str() + "/source", {"*.tmp"}, std::nullopt}}, {});
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->source->logical_bytes, 1000U + (1U << 20));
  EXPECT_LT(seen->source->allocated_bytes, 20000U);
  EXPECT_EQ(seen->source->files, 2U);
  EXPECT_EQ(seen->source->entries, 3U);
}

TEST_F(Volume, FinishWritesFilesOfTheTreesOwner) {
  ASSERT_EQ(::chown(tree_.c_str(), 999, 998), 0);
  write_file(tree_ / "postgresql.auto.conf", "x = 1\n");
  ASSERT_EQ(::chmod((tree_ / "postgresql.auto.conf").c_str(), 0640), 0);
  fs::create_directories(tree_ / "conf.d");
  const Finish job{target_,
                   {{"recovery.signal", WriteMode::Replace, "", 0600},
                    {"postgresql.auto.conf", WriteMode::ManagedBlock, "restore_command = 'false'\n", 0600},
                    {"conf.d/extra.conf", WriteMode::Replace, "y = 2\n", 0644}}};
  for (int twice = 0; twice < 2; ++twice) {
    const auto done = finish(job);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->inode, inode_of(tree_));
    EXPECT_EQ(read_file(tree_ / "postgresql.auto.conf"),
              "x = 1\n# roadstead begin\nrestore_command = 'false'\n# roadstead end\n");
    EXPECT_EQ(read_file(tree_ / "recovery.signal"), "");
    EXPECT_EQ(read_file(tree_ / "conf.d/extra.conf"), "y = 2\n");
  }
  for (const auto& [name, mode] :
       {std::pair("recovery.signal", 0600U), {"postgresql.auto.conf", 0640U}, {"conf.d/extra.conf", 0644U}}) {
    struct stat status {};
    ASSERT_EQ(::stat((tree_ / name).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, mode) << name;
    EXPECT_EQ(status.st_uid, 999U) << name;
    EXPECT_EQ(status.st_gid, 998U) << name;
  }
}

TEST_F(Volume, FinishDoesNotLeaveTheTree) {
  write_file(scratch_ / "outside/victim", "safe");
  fs::create_symlink(scratch_ / "outside", tree_ / "link");
  fs::create_symlink(scratch_ / "outside/victim", tree_ / "file link");
  for (const char* path : {"../mark.json", "/etc/x", "a/../../x", "", "link/victim", ".", "x/"}) {
    const auto done = finish({target_, {{path, WriteMode::Replace, "bad", 0600}}});
    EXPECT_FALSE(done) << path;
  }
  EXPECT_FALSE(finish({target_, {{"file link", WriteMode::ManagedBlock, "bad", 0600}}}));
  EXPECT_EQ(read_file(scratch_ / "outside/victim"), "safe");
  // Replacing the link itself is fine: what it pointed to stays.
  ASSERT_TRUE(finish({target_, {{"file link", WriteMode::Replace, "new", 0600}}}));
  EXPECT_EQ(read_file(scratch_ / "outside/victim"), "safe");
  EXPECT_EQ(read_file(tree_ / "file link"), "new");
}

TEST_F(Volume, DiscardRemovesOnlyTheTreeItIsTold) {
  write_file(scratch_ / "outside/victim", "safe");
  fs::create_symlink(scratch_ / "outside", tree_ / "link");
  ASSERT_TRUE(mark({target_, "{}"}));
  const auto wrong = discard({target_, 1}, {});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().reason, "InodeMismatch");
  EXPECT_TRUE(fs::exists(tree_ / "new"));
  const auto done = discard({target_, inode_of(tree_)}, {});
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(done->removed, 3U);
  EXPECT_FALSE(fs::exists(tree_));
  EXPECT_EQ(read_file(own_ / "mark.json"), "{}");
  EXPECT_EQ(read_file(scratch_ / "outside/victim"), "safe");
  EXPECT_EQ(read_file(data_ / "old"), "old data");
  EXPECT_EQ(discard({target_, 0}, {})->removed, 0U);
  EXPECT_EQ(discard({{target_.parent, "default.none.db"}, 0}, {})->removed, 0U);
}

TEST_F(Volume, DiscardGoesOnWhereAKilledOneStopped) {
  write_file(own_ / "discarded/rest/of", "it");
  const auto done = discard({target_, 0}, {});
  ASSERT_TRUE(done);
  EXPECT_FALSE(fs::exists(own_ / "discarded"));
  EXPECT_FALSE(fs::exists(tree_));
}

TEST_F(Volume, DiscardKeepsWhatMayBeTheOnlyCopy) {
  fs::remove_all(data_);
  EXPECT_EQ(discard({target_, 0}, {}).error().reason, "Refused");
  EXPECT_TRUE(fs::exists(tree_ / "new"));
}

TEST_F(Volume, EmptyRemovesEverythingButTheDirectoryAndWhatIsKept) {
  fs::create_symlink(data_, tree_ / "link");
  write_file(tree_ / "deep/er/file", "x");
  write_file(tree_ / "keep", "x");
  const std::uint64_t inode = inode_of(tree_);
  for (int twice = 0; twice < 2; ++twice) {
    const auto done = empty({tree_.string(), {"keep"}}, {});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->removed, twice == 0 ? 5U : 0U);
    EXPECT_EQ(inode_of(tree_), inode);
  }
  EXPECT_TRUE(fs::exists(tree_ / "keep"));
  EXPECT_EQ(read_file(data_ / "old"), "old data");
}

TEST_F(Volume, MakeDirectoryMakesParentsAndCorrectsWhatIsThere) {
  const MakeDirectory job{scratch_.str() + "/repository/production2/volume", 999, 998, 0750};
  for (int twice = 0; twice < 2; ++twice) {
    const auto made = make_directory(job);
    ASSERT_TRUE(made) << made.error().message;
    struct stat status {};
    ASSERT_EQ(::stat(job.path.c_str(), &status), 0);
    EXPECT_EQ(made->inode, status.st_ino);
    EXPECT_EQ(status.st_mode & 07777, 0750U);
    EXPECT_EQ(status.st_uid, 999U);
    EXPECT_EQ(status.st_gid, 998U);
    ASSERT_EQ(::chmod(job.path.c_str(), 0700), 0);
    ASSERT_EQ(::chown(job.path.c_str(), 0, 0), 0);
  }
  struct stat before {};
  ASSERT_EQ(::stat(scratch_.str().c_str(), &before), 0);
  EXPECT_EQ(before.st_uid, 0U) << "a parent that was there keeps its owner";
}

TEST_F(Volume, IsWorkedOnByOneMoverAtATime) {
  const auto place = make_place(target_);
  ASSERT_TRUE(place);
  for (const Failure& failure :
       {exchange({target_, 1}).error(), discard({target_, 0}, {}).error(), mark({target_, "{}"}).error()})
    EXPECT_EQ(failure.reason, "Busy");
}

// ---- copies within one process
// ---------------------------------------------------------------------------------------

class LocalCopy : public ::testing::Test {
 protected:
  void SetUp() override {
    make_tree(scratch_ / "source");
    fs::create_directories(scratch_ / "volume/_data");
  }
  CopyEnd run(const Source& source) {
    Meter meter;
    return copy({Role::Both, std::nullopt, source, target_}, {}, {}, meter);
  }
  CopyEnd run() { return run(source_); }

  Scratch scratch_;
  Source source_{scratch_.str() + "/source", {}, std::nullopt};
  Target target_{scratch_.str() + "/volume", "default.uat.db"};
  fs::path tree_ = scratch_ / "volume/.roadstead/default.uat.db/tree";
};

TEST_F(LocalCopy, IsEqualInEverything) {
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure) << end.failure->message;
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
  EXPECT_EQ(end.data.tree_inode, inode_of(tree_));
  EXPECT_EQ(end.data.bytes_done, end.data.bytes_total);
  EXPECT_EQ(end.data.files_done, end.data.files_total);
}

TEST_F(LocalCopy, RunAgainReadsNothingThatWasVerified) {
  ASSERT_FALSE(run().failure);
  const CopyEnd again = run();
  ASSERT_FALSE(again.failure) << again.failure->message;
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
  EXPECT_EQ(again.data.bytes_sent, 0U);
  // Files with several names are touched by making the names again, so they are verified by hash.
  EXPECT_EQ(again.data.bytes_verified + again.data.bytes_same + 1500000, again.data.bytes_total + 1500000);
  EXPECT_GT(again.data.bytes_verified, again.data.bytes_same);
}

TEST_F(LocalCopy, ChangedBehindItsBackIsNoticedByItsChangeTime) {
  ASSERT_FALSE(run().failure);
  struct stat before {};
  const fs::path other = tree_ / "base/16384/1259";
  ASSERT_EQ(::stat(other.c_str(), &before), 0);
  {
    std::fstream file(other, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1500000);
    file << "corrupt";
  }
  set_time(other, before.st_mtim.tv_sec, before.st_mtim.tv_nsec);
  const CopyEnd again = run();
  ASSERT_FALSE(again.failure);
  EXPECT_EQ(again.data.bytes_sent, kPiece) << "one piece of it";
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
}

TEST_F(LocalCopy, AfterAnotherBootEverythingIsVerifiedByHash) {
  ASSERT_FALSE(run().failure);
  {
    std::fstream journal(scratch_ / "volume/.roadstead/default.uat.db/journal",
                         std::ios::in | std::ios::out | std::ios::binary);
    journal.seekp(20);
    journal << "00000000-0000-0000-0000-000000000000";
  }
  const CopyEnd again = run();
  ASSERT_FALSE(again.failure);
  EXPECT_EQ(again.data.bytes_verified, 0U);
  EXPECT_EQ(again.data.bytes_sent, 0U);
  EXPECT_EQ(again.data.bytes_same, again.data.bytes_total);
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
}

TEST_F(LocalCopy, TakesTheOldTreesExtentsWhereTheyAreTheSame) {
  fs::remove_all(scratch_ / "volume/_data");
  fs::copy(scratch_ / "source", scratch_ / "volume/_data",
           fs::copy_options::recursive | fs::copy_options::copy_symlinks);
  {
    std::fstream file(scratch_ / "volume/_data/base/16384/1259", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1 << 20);
    file << "an old page";
  }
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure) << end.failure->message;
  EXPECT_EQ(end.data.bytes_sent, kPiece);
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
}

TEST_F(LocalCopy, RemovesWhatAnEarlierAttemptLeft) {
  write_file(tree_ / "stranger/deep/file", "x");
  write_file(tree_ / "small", "a file where a directory belongs");
  fs::create_directories(tree_ / "program/is/no/directory");
  fs::create_symlink("/etc", tree_ / "base");
  write_file(tree_ / "absolute link", "a file where a link belongs");
  write_file(tree_ / "all hole", noise(4 << 20, 5));
  write_file(tree_ / "sparse", noise(12 << 20, 6));
  write_file(tree_ / "empty/file", "had content");
  fs::create_hard_link(tree_ / "empty/file", tree_ / "exact third");
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure) << end.failure->message;
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
}

TEST_F(LocalCopy, CarriesDevicesFifosAttributesAndAcls) {
  add_specials(scratch_ / "source");
  const auto source = snapshot(scratch_ / "source");
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure) << end.failure->message;
  EXPECT_EQ(end.data.skipped_count, 0U);
  EXPECT_EQ(snapshot(tree_), source);
  // Run again on the same tree: nothing that a directory's default ACL gives to what is made in it stays.
  const CopyEnd again = run();
  ASSERT_FALSE(again.failure) << again.failure->message;
  EXPECT_EQ(snapshot(tree_), source);
}

TEST_F(LocalCopy, SkipsSocketsAndSaysSo) {
  for (int i = 0; i < 30; ++i)
    ASSERT_EQ(::mknod((scratch_ / ("source/socket" + std::to_string(i))).c_str(), S_IFSOCK | 0600, 0), 0);
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure);
  EXPECT_EQ(end.data.skipped_count, 30U);
  EXPECT_EQ(end.data.skipped.size(), 20U);
  EXPECT_FALSE(fs::exists(tree_ / "socket0"));
}

TEST_F(LocalCopy, LeavesOutWhatIsExcluded) {
  write_file(scratch_ / "source/pg_wal/000000010000000000000001", "dead");
  write_file(scratch_ / "source/pg_wal/000000010000000000000002", "needed");
  Source source = source_;
  source.exclude = {"small", "/program"};
  source.keep_wal = KeepWal{"pg_wal", "000000010000000000000002", "000000010000000000000009"};
  ASSERT_FALSE(run(source).failure);
  EXPECT_FALSE(fs::exists(tree_ / "small"));
  EXPECT_FALSE(fs::exists(tree_ / "program"));
  EXPECT_FALSE(fs::exists(tree_ / "pg_wal/000000010000000000000001"));
  EXPECT_EQ(read_file(tree_ / "pg_wal/000000010000000000000002"), "needed");
}

TEST_F(LocalCopy, IsRefusedAfterTheExchange) {
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure);
  ASSERT_TRUE(exchange({target_, end.data.tree_inode}));
  write_file(tree_ / "precious", "the previous data");
  const CopyEnd again = run();
  ASSERT_TRUE(again.failure);
  EXPECT_EQ(again.failure->reason, "AlreadyCurrent");
  EXPECT_EQ(read_file(tree_ / "precious"), "the previous data");
}

TEST_F(LocalCopy, SaysWhatIsMissingOnAFullDisk) {
  const fs::path small = scratch_ / "small";
  fs::create_directories(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=3m") != 0) GTEST_SKIP() << "may not mount here";
  fs::create_directories(small / "_data");
  target_.parent = small.string();
  const CopyEnd end = run();
  const bool staged = fs::exists(small / ".roadstead/default.uat.db/tree");
  ::umount(small.c_str());
  ASSERT_TRUE(end.failure);
  EXPECT_EQ(end.failure->reason, "NoSpace");
  EXPECT_GT(end.data.needed_bytes, end.data.free_bytes);
  EXPECT_TRUE(staged);
}

TEST_F(LocalCopy, EndsWhenToldTo) {
  std::stop_source stop;
  stop.request_stop();
  Meter meter;
  const CopyEnd end = copy({Role::Both, std::nullopt, source_, target_}, {}, stop.get_token(), meter);
  ASSERT_TRUE(end.failure);
  EXPECT_EQ(end.failure->reason, "Cancelled");
}

}  // namespace
}  // namespace roadstead::mover
