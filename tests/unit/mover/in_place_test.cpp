// A volume's own tree made like a source: whatever lay there, wherever it is cut off.

#include "mover/in_place.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <chrono>
#include <functional>

#include "mover/copy.h"
#include "mover/hash_file.h"
#include "mover/keystone.h"
#include "scratch.h"

namespace roadstead::mover {
namespace {

using namespace testing;

/// What this process has read and written so far, in bytes of calls.
std::uint64_t io_count(const std::string& which) {
  std::ifstream io("/proc/self/io");
  for (std::string name; io >> name;) {
    std::uint64_t value = 0;
    io >> value;
    if (name == which + ":") return value;
  }
  return 0;
}

class InPlaceCopy : public ::testing::Test {
 protected:
  void SetUp() override {
    make_tree(source_);
    add_specials(source_);
    fs::create_directories(data_);
  }
  CopyEnd run(const InPlace& job) {
    Meter meter;
    Copy copy_job;
    copy_job.source = Source{source_.string(), {}, std::nullopt};
    copy_job.in_place = job;
    return copy(copy_job, {}, {}, meter);
  }
  CopyEnd run() { return run(job_); }

  void expect_equal() { EXPECT_EQ(snapshot(data_), snapshot(source_)); }
  void run_and_expect_equal() {
    const CopyEnd end = run();
    ASSERT_FALSE(end.failure) << end.failure->reason << ": " << end.failure->message;
    expect_equal();
  }

  Scratch scratch_;
  fs::path source_ = scratch_ / "source";
  fs::path data_ = scratch_ / "volume/_data";
  fs::path own_ = scratch_ / "volume/.roadstead/default.uat.db";
  InPlace job_{{scratch_.str() + "/volume", "default.uat.db"}, false, "", {}};
  const std::string keystone_ = "base/16384/1259";
};

TEST_F(InPlaceCopy, AnEmptyVolumeBecomesEqualInEverything) { run_and_expect_equal(); }

TEST_F(InPlaceCopy, WhatIsRightIsNotWritten) {
  run_and_expect_equal();
  const std::uint64_t inode = inode_of(data_ / "base/16384/1259");
  fs::remove(own_ / "in-place-journal");
  {
    std::fstream file(data_ / "base/16384/1259", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1500000);
    file << "changed";
  }
  const std::uint64_t before = io_count("wchar");
  const CopyEnd end = run();
  const std::uint64_t written = io_count("wchar") - before;
  ASSERT_FALSE(end.failure) << end.failure->message;
  EXPECT_EQ(end.data.bytes_sent, kPiece);
  EXPECT_LT(written, 3 * kPiece) << "a piece and a journal";
  EXPECT_EQ(inode_of(data_ / "base/16384/1259"), inode) << "overwritten where it lies";
  expect_equal();
}

TEST_F(InPlaceCopy, RunAgainReadsNothingThatWasCompleted) {
  run_and_expect_equal();
  const CopyEnd again = run();
  ASSERT_FALSE(again.failure);
  EXPECT_EQ(again.data.bytes_sent, 0U);
  EXPECT_GT(again.data.bytes_verified, again.data.bytes_same);
  expect_equal();
}

TEST_F(InPlaceCopy, WhatDoesNotFitIsRemovedOrMadeAnew) {
  write_file(data_ / "extra/deep/file", "x");
  write_file(data_ / "base", "a file where a directory belongs");
  fs::create_directories(data_ / "program/in it");
  fs::create_directories(data_ / "absolute link/in it");
  fs::create_symlink("elsewhere", data_ / "sparse");
  fs::create_directories(data_ / "special");
  ASSERT_EQ(::mkfifo((data_ / "special/null").c_str(), 0600), 0);
  ASSERT_EQ(::mknod((data_ / "special/disk").c_str(), S_IFBLK | 0600, makedev(7, 301)), 0);
  ASSERT_EQ(::mknod((data_ / "special/file").c_str(), S_IFCHR | 0600, makedev(1, 5)), 0);
  write_file(data_ / "special/fifo", "");
  ASSERT_EQ(::mknod((data_ / "socket").c_str(), S_IFSOCK | 0600, 0), 0);
  write_file(data_ / "all hole", std::string(4 << 20, 'd'));  // longer, and data where holes belong
  run_and_expect_equal();
}

TEST_F(InPlaceCopy, AttributesThatTheSourceDoesNotHaveGoOthersStay) {
  run_and_expect_equal();
  set_attribute(data_ / "program", "user.extra", "x");
  set_attribute(data_ / "small", "system.posix_acl_default", acl_for_user_1000(7));
  set_attribute(data_ / "special/file", "user.bytes", "other");
  set_attribute(data_, "trusted.other", "not ours");
  set_attribute(data_, "security.selinux", "a label");
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure) << end.failure->message;
  char value[16] = {};
  EXPECT_EQ(::lgetxattr(data_.c_str(), "trusted.other", value, sizeof value), 8);
  EXPECT_EQ(::lgetxattr(data_.c_str(), "security.selinux", value, sizeof value), 7);
  ASSERT_EQ(::lremovexattr(data_.c_str(), "trusted.other"), 0);
  expect_equal();
}

TEST_F(InPlaceCopy, NamesThatDoNotBelongTogetherAreTakenApart) {
  write_file(source_ / "links/a", noise(10000, 7));
  write_file(source_ / "links/b", noise(10000, 8));
  fs::create_hard_link(source_ / "links/b", source_ / "links/c");
  write_file(source_ / "links/d", noise(10000, 9));
  fs::create_hard_link(source_ / "links/d", source_ / "links/e");
  // a and b are one file here, c another; d and e are right but for their bytes; f is one name too many.
  write_file(data_ / "links/a", "old a");
  fs::create_hard_link(data_ / "links/a", data_ / "links/b");
  write_file(data_ / "links/c", "old c");
  write_file(data_ / "links/d", "old d");
  fs::create_hard_link(data_ / "links/d", data_ / "links/e");
  fs::create_hard_link(data_ / "links/d", data_ / "links/f");
  const std::uint64_t kept = inode_of(data_ / "links/d");
  run_and_expect_equal();
  EXPECT_EQ(inode_of(data_ / "links/e"), kept);
}

TEST_F(InPlaceCopy, AFileWithANameOutsideIsNotWrittenThrough) {
  write_file(scratch_ / "outside", "somebody else's");
  ASSERT_EQ(::chmod((scratch_ / "outside").c_str(), 0640), 0);
  fs::create_hard_link(scratch_ / "outside", data_ / "program");
  fs::create_directories(data_ / "base/16384");
  fs::create_hard_link(scratch_ / "outside", data_ / "base/16384/exact");  // a file of several names in the source
  fs::create_directories(data_ / "special");
  ASSERT_EQ(::mkfifo((scratch_ / "pipe").c_str(), 0600), 0);
  fs::create_hard_link(scratch_ / "pipe", data_ / "special/fifo");
  run_and_expect_equal();
  struct stat status {};
  ASSERT_EQ(::stat((scratch_ / "outside").c_str(), &status), 0);
  EXPECT_EQ(read_file(scratch_ / "outside"), "somebody else's");
  EXPECT_EQ(status.st_mode & 07777U, 0640U);
  EXPECT_EQ(attributes_in(scratch_ / "pipe"), "");
}

TEST_F(InPlaceCopy, AProgramThatRunsIsReplacedNotOverwritten) {
  write_file(source_ / "runs", "another program");
  fs::copy_file("/bin/sleep", data_ / "runs");
  ASSERT_EQ(::chmod((data_ / "runs").c_str(), 0755), 0);
  std::array<int, 2> started{};
  ASSERT_EQ(::pipe2(started.data(), O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl((data_ / "runs").c_str(), "runs", "600", nullptr);
    ::_exit(127);
  }
  ::close(started[1]);
  char none = 0;
  EXPECT_EQ(::read(started[0], &none, 1), 0) << "ends when the program has begun";
  ::close(started[0]);
  const CopyEnd end = run();
  EXPECT_EQ(::waitpid(child, nullptr, WNOHANG), 0) << "it still runs";
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ASSERT_FALSE(end.failure) << end.failure->message;
  expect_equal();
}

// ---- the keystone ---------------------------------------------------------------------------------------------------

TEST_F(InPlaceCopy, TheKeystoneIsAsideBeforeAnythingChangesAndThereLast) {
  write_file(data_ / keystone_, "the old keystone");
  write_file(data_ / "extra", "x");
  job_.keystone = keystone_;
  auto sink = open_in_place_sink(job_);
  ASSERT_TRUE(sink) << sink.error().message;
  EntryList entries;
  ASSERT_TRUE(entries.add({.type = EntryType::Directory, .mode = 0755}));
  ASSERT_TRUE(entries.add({.type = EntryType::Directory, .name = "base", .mode = 0755}));
  ASSERT_TRUE(entries.add({.type = EntryType::Directory, .parent = 1, .name = "16384", .mode = 0755}));
  ASSERT_TRUE(entries.add({.parent = 2, .name = "1259", .mode = 0600, .size = 3}));
  const auto tick = [&]() -> Outcome<void> { return {}; };
  ASSERT_TRUE((*sink)->prepare(entries, {}, tick));
  EXPECT_FALSE(fs::exists(data_ / keystone_));
  EXPECT_EQ(read_file(own_ / "keystone"), "the old keystone");
  const auto thread = (*sink)->thread();
  auto state = thread->open(3);
  ASSERT_TRUE(state && *state);
  const std::string bytes = "new";
  Extent extent;
  extent.plain = std::as_bytes(std::span(bytes));
  ASSERT_TRUE(thread->put({3, 0, 0, 3}, **state, extent));
  ASSERT_TRUE(thread->complete(3, **state));
  EXPECT_FALSE(fs::exists(data_ / keystone_)) << "not before all else is durable";
  ASSERT_TRUE((*sink)->finish({}, {}, tick));
  EXPECT_EQ(read_file(data_ / keystone_), "new");
  EXPECT_FALSE(fs::exists(own_ / "keystone"));
  EXPECT_FALSE(fs::exists(own_ / "keystone.new"));
}

TEST_F(InPlaceCopy, WhereverItIsKilledAKeystoneMeansAWholeTree) {
  job_.keystone = keystone_;
  run_and_expect_equal();
  const auto old_tree = snapshot(data_);
  {
    std::fstream file(source_ / "base/16384/exact", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(5);
    file << "a new page";
  }
  write_file(source_ / keystone_, noise(2 * kExtent + 5, 77));
  fs::remove_all(source_ / "empty");
  const auto new_tree = snapshot(source_);
  unsigned whole = 0, halves = 0;
  for (suseconds_t micros = 300; whole < 3 && micros < 900000; micros += micros / 4) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::signal(SIGALRM, SIG_DFL);
      const itimerval timer{{0, 0}, {0, micros}};
      ::setitimer(ITIMER_REAL, &timer, nullptr);
      const bool failed = run().failure.has_value();
      ::_exit(failed ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    whole += WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 1 : 0;
    const auto now = snapshot(data_);
    if (fs::exists(data_ / keystone_))
      EXPECT_TRUE(now == old_tree || now == new_tree) << "killed after " << micros << " microseconds";
    else
      ++halves;
  }
  EXPECT_GT(whole, 0U);
  EXPECT_GT(halves, 0U) << "no kill was early enough to show anything";
  run_and_expect_equal();
}

TEST_F(InPlaceCopy, ASourceWithoutTheKeystoneIsRefusedAndNothingTouched) {
  write_file(data_ / "global/pg_control", "old");
  const auto before = snapshot(data_);
  job_.keystone = "global/pg_control";
  const CopyEnd end = run();
  ASSERT_TRUE(end.failure);
  EXPECT_EQ(end.failure->reason, "Refused");
  EXPECT_EQ(snapshot(data_), before);
}

TEST_F(InPlaceCopy, FilesOfItsOwnAreWrittenEachTime) {
  job_.files = {{"small/recovery.signal", WriteMode::Replace, "", 0600},
                {"program", WriteMode::ManagedBlock, "a = 1", 0600}};
  for (int i = 0; i < 2; ++i) {
    const CopyEnd end = run();
    ASSERT_FALSE(end.failure) << end.failure->message;
    EXPECT_EQ(read_file(data_ / "program"), "#!/bin/sh\n# roadstead begin\na = 1\n# roadstead end\n");
    struct stat status {};
    ASSERT_EQ(::stat((data_ / "small/recovery.signal").c_str(), &status), 0);
    EXPECT_EQ(status.st_uid, 70U) << "the owner of the source's root";
  }
}

// ---- the comparison before ------------------------------------------------------------------------------------------

TEST_F(InPlaceCopy, OnlyWhatChangedSinceTheComparisonIsHashedAgain) {
  run_and_expect_equal();
  fs::remove(own_ / "in-place-journal");
  const auto before = snapshot(data_);
  InPlace look = job_;
  look.compare_only = true;
  // Files changed a moment ago are not remembered: they could change once more within the same tick of the clock.
  // So comparisons go on until one began when the last change was long enough ago: that one has noted all that is left.
  time_t newest = 0;
  for (const auto& entry : fs::recursive_directory_iterator(data_)) {
    struct stat status {};
    ASSERT_EQ(::lstat(entry.path().c_str(), &status), 0);
    newest = std::max(newest, status.st_ctim.tv_sec);
  }
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (bool all_settled = false; !all_settled;) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the clock stands still";
    all_settled = ::time(nullptr) > newest + 3;
    const CopyEnd end = run(look);
    ASSERT_FALSE(end.failure) << end.failure->message;
    EXPECT_EQ(end.data.bytes_sent, 0U);
    EXPECT_EQ(end.data.bytes_done, end.data.bytes_total);
  }
  EXPECT_EQ(snapshot(data_), before) << "it only looks";
  const auto reads_of_run = [&] {
    std::fstream(data_ / "base/16384/exact", std::ios::in | std::ios::out | std::ios::binary) << "changed since";
    const std::uint64_t start = io_count("rchar");
    const CopyEnd end = run();
    const std::uint64_t reads = io_count("rchar") - start;
    EXPECT_FALSE(end.failure);
    expect_equal();
    return reads;
  };
  const std::uint64_t believed = reads_of_run();
  EXPECT_FALSE(fs::exists(own_ / "hashes")) << "they are of no use any more";
  fs::remove(own_ / "in-place-journal");
  const std::uint64_t unbelieved = reads_of_run();
  EXPECT_GT(unbelieved, believed + 4 * kExtent);
}

// ---- other places ---------------------------------------------------------------------------------------------------

class MountedVolume : public InPlaceCopy {
 protected:
  bool mount(const char* type, const char* options) {
    mounted_ = ::mount(type, data_.c_str(), type, 0, options) == 0;
    return mounted_;
  }
  void TearDown() override {
    if (mounted_) ::umount2(data_.c_str(), MNT_DETACH);
  }
  bool mounted_ = false;
};

TEST_F(MountedVolume, AMountPointIsChangedLikeAnyOtherAndItsKeystoneCrossesOver) {
  if (!mount("tmpfs", "size=64m")) GTEST_SKIP() << "may not mount here";
  write_file(data_ / keystone_, "old");
  job_.keystone = keystone_;
  fs::remove(source_ / "special/disk");
  run_and_expect_equal();
}

TEST_F(MountedVolume, WhatIsMountedInsideTheTreeIsNotTouched) {
  write_file(scratch_ / "outside/file", "somebody else's");
  for (const char* name : {"extra/inside", "empty/deep"}) {
    fs::create_directories(data_ / name);
    write_file(data_ / "old", "old");
    if (::mount((scratch_ / "outside").c_str(), (data_ / name).c_str(), nullptr, MS_BIND, nullptr) != 0)
      GTEST_SKIP() << "may not mount here";
    const CopyEnd end = run();
    EXPECT_EQ(::umount2((data_ / name).c_str(), MNT_DETACH), 0);
    ASSERT_TRUE(end.failure);
    EXPECT_EQ(end.failure->reason, "MountPoint") << end.failure->message;
    EXPECT_EQ(read_file(scratch_ / "outside/file"), "somebody else's");
    EXPECT_TRUE(fs::exists(data_ / "old")) << "refused before anything was changed";
  }
}

TEST_F(MountedVolume, ADiskThatIsTooSmallIsToldBeforeAnythingIsTouched) {
  if (!mount("tmpfs", "size=3m")) GTEST_SKIP() << "may not mount here";
  write_file(data_ / "old", "old");
  const CopyEnd end = run();
  ASSERT_TRUE(end.failure);
  EXPECT_EQ(end.failure->reason, "NoSpace");
  EXPECT_TRUE(fs::exists(data_ / "old"));
}

TEST_F(MountedVolume, RoomOfWhatIsRemovedCounts) {
  if (!mount("tmpfs", "size=12m")) GTEST_SKIP() << "may not mount here";
  write_file(data_ / "old/large", std::string(9 << 20, 'x'));
  fs::remove_all(source_ / "special");
  ASSERT_EQ(::lremovexattr(source_.c_str(), "user.root"), 0);
  run_and_expect_equal();
}

TEST_F(MountedVolume, AFileSystemWithoutAttributesIsTold) {
  if (!mount("ramfs", "")) GTEST_SKIP() << "may not mount here";
  const CopyEnd end = run();
  ASSERT_TRUE(end.failure);
  EXPECT_EQ(end.failure->reason, "Unsupported") << end.failure->message;
  // Without attributes in the source there is nothing that could be lost.
  fs::remove_all(source_ / "special");
  ASSERT_EQ(::lremovexattr(source_.c_str(), "user.root"), 0);
  ASSERT_EQ(::lremovexattr(source_.c_str(), "system.posix_acl_default"), 0);
  const CopyEnd again = run();
  EXPECT_FALSE(again.failure) << again.failure->message;
}

}  // namespace
}  // namespace roadstead::mover
