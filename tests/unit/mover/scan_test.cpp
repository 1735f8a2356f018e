// What becomes of a source tree: how it is listed, and what a second look at one in use finds.

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <set>
#include <thread>

#include "mover/attributes.h"
#include "mover/live_source.h"
#include "mover/pool.h"
#include "scratch.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;
using namespace testing;

const Tick kOn = []() -> Outcome<void> { return {}; };

/// Meanwhile no thread can be started: none gets its stack.
class NoThreads {
 public:
  NoThreads() {
    ::pthread_getattr_default_np(&before_);
    pthread_attr_t huge;
    ::pthread_attr_init(&huge);
    ::pthread_attr_setstacksize(&huge, std::size_t{1} << 60);
    EXPECT_EQ(::pthread_setattr_default_np(&huge), 0);
    ::pthread_attr_destroy(&huge);
    EXPECT_THROW(std::thread([] {}), std::system_error);
  }
  ~NoThreads() {
    ::pthread_setattr_default_np(&before_);
    ::pthread_attr_destroy(&before_);
  }
  NoThreads(const NoThreads&) = delete;
  NoThreads& operator=(const NoThreads&) = delete;

 private:
  pthread_attr_t before_{};
};

class SourceTree : public ::testing::Test {
 protected:
  [[nodiscard]] Source live() const { return {.path = root_.string(), .live = true}; }

  /// Several directories, one of them of many chunks.
  void make_many() const {
    for (int i = 0; i < 1500; ++i) write_file(root_ / "many" / fmt::format("file {}", i), "x");
    for (int i = 0; i < 40; ++i)
      for (const char* name : {"one", "two/three"}) write_file(root_ / fmt::format("few {}", i) / name, "y");
  }

  static std::vector<std::string> paths_of(const EntryList& entries) {
    std::vector<std::string> paths;
    for (std::uint32_t id = 0; id < entries.size(); ++id) paths.push_back(entries.path_of(id));
    return paths;
  }

  static std::unique_ptr<TreeSource> opened(const Source& source) {
    auto opened = open_directory_source(source, {}, {});
    EXPECT_TRUE(opened) << opened.error().message;
    return std::move(*opened);
  }

  /// A round of restated files.
  static Outcome<std::vector<Restated>> restated_by(TreeSource& source, const std::vector<std::uint32_t>& troubled = {},
                                                    const Tick& tick = kOn) {
    std::vector<Restated> all;
    const auto tell = [&](const Restated& one) -> Outcome<void> {
      all.push_back(one);
      return {};
    };
    if (auto told = source.restate(troubled, tell, tick); !told) return failed(told.error());
    return all;
  }

  /// "name: what" of each.
  static std::vector<std::string> told(const TreeSource& source, const std::vector<Restated>& all) {
    std::vector<std::string> lines;
    for (const Restated& one : all)
      lines.push_back(fmt::format("{}: {}", source.entries().path_of(one.file),
                                  !one.unreadable.empty() ? one.unreadable
                                  : one.entry             ? fmt::format("{} bytes", one.entry->size)
                                                          : "vanished"));
    return lines;
  }

  Scratch scratch_;
  fs::path root_ = scratch_ / "source";
};

using Lines = std::vector<std::string>;

/// Until a change would have another time than one before this.
void await_next_tick() {
  const auto now = [] {
    timespec time{};
    ::clock_gettime(CLOCK_REALTIME_COARSE, &time);
    return std::pair(time.tv_sec, time.tv_nsec);
  };
  for (const auto before = now(); now() == before;) std::this_thread::yield();
}

TEST_F(SourceTree, IsListedByDirectoriesInOrderAndEachByName) {
  make_many();
  const auto scanned = scan(live(), {});
  ASSERT_TRUE(scanned) << scanned.error().message;
  const EntryList& entries = scanned->entries;
  EXPECT_EQ(entries.files(), 1500U + 80U);
  EXPECT_EQ(entries.size(), 1U + 41 + 40 + 1500 + 80);
  for (std::uint32_t id = 2; id < entries.size(); ++id) {
    const Node &before = entries[id - 1], &node = entries[id];
    EXPECT_TRUE(before.parent < node.parent || (before.parent == node.parent && before.name() < node.name()))
        << entries.path_of(id);
  }
}

TEST_F(SourceTree, IsListedAndLookedAtAgainByTheCallerAloneWhereNoThreadCanStart) {
  make_many();
  const auto expected = paths_of(opened(live())->entries());
  const NoThreads none;
  const auto source = opened(live());
  EXPECT_EQ(paths_of(source->entries()), expected);
  write_file(root_ / "many/file 700", "longer");
  const auto restated = restated_by(*source);
  ASSERT_TRUE(restated) << restated.error().message;
  EXPECT_EQ(told(*source, *restated), (Lines{"many/file 700: 6 bytes"}));
}

TEST_F(SourceTree, AListenersFailureEndsTheScan) {
  make_many();
  int calls = 0;
  const auto scanned = scan(live(), {}, [&](const Scan& so_far) -> Outcome<void> {
    if (++calls < 5) return {};
    EXPECT_LT(so_far.entries.size(), 1662U);
    return failed("Test", "enough", "");
  });
  ASSERT_FALSE(scanned);
  EXPECT_EQ(scanned.error().reason, "Test");
}

TEST_F(SourceTree, WhatIsMountedInItStaysEmptyAndHasNotChanged) {
  write_file(root_ / "file", "x");
  fs::create_directories(root_ / "mounted");
  ASSERT_EQ(::mount("tmpfs", (root_ / "mounted").c_str(), "tmpfs", 0, ""), 0) << "run the tests as root";
  write_file(root_ / "mounted/inside", "x");
  const auto source = opened(live());
  const auto restated = restated_by(*source);
  ::umount((root_ / "mounted").c_str());
  EXPECT_EQ(paths_of(source->entries()), (Lines{".", "file", "mounted"}));
  ASSERT_TRUE(restated);
  EXPECT_EQ(told(*source, *restated), Lines{});
}

TEST_F(SourceTree, AFileWhoseDirectoryBecameSomethingElseHasVanished) {
  for (const char* name : {"a/file", "b/file", "c/file"}) write_file(root_ / name, "x");
  const auto source = opened(live());
  await_next_tick();
  fs::rename(root_ / "a", scratch_ / "elsewhere");
  fs::create_symlink(scratch_ / "elsewhere", root_ / "a");
  fs::remove_all(root_ / "b");
  write_file(root_ / "b", "a file");
  const auto restated = restated_by(*source);
  ASSERT_TRUE(restated);
  EXPECT_EQ(told(*source, *restated),
            (Lines{"a/file: vanished", "b/file: vanished", ".: 0 bytes", "a: 0 bytes", "b: 0 bytes"}));
}

TEST_F(SourceTree, ATroubledFileIsRestatedAlthoughItLooksUnchangedAndInTheEndItIsToldWhy) {
  write_file(root_ / "a", "x");
  write_file(root_ / "b", "yy");
  const auto source = opened(live());
  const auto again = restated_by(*source, {2});
  ASSERT_TRUE(again);
  EXPECT_EQ(told(*source, *again), (Lines{"b: 2 bytes"}));
  EXPECT_FALSE(again->front().final);
  const auto last = restated_by(*source, {2});
  ASSERT_TRUE(last);
  EXPECT_EQ(told(*source, *last), (Lines{"b: it changes all the time"}));
  EXPECT_EQ(source->changes().unreadable.count, 1U);
}

TEST_F(SourceTree, ASparseFileThatChangedIsRestatedWithItsHoles) {
  write_file(root_ / "file", "x");
  const auto source = opened(live());
  await_next_tick();
  write_sparse(root_ / "file", 4 << 20, {1 << 20}, "data");
  const auto restated = restated_by(*source);
  ASSERT_TRUE(restated);
  ASSERT_EQ(restated->size(), 1U);
  EXPECT_TRUE(restated->front().entry->sparse);
  EXPECT_EQ(restated->front().entry->ranges.size(), 1U);
  EXPECT_LT(source->entries().data_bytes(), 1U << 20);
}

TEST_F(SourceTree, ASparseFileIsDescribedWithoutItsHolesWhereTheListHasNoRoomForTheirRanges) {
  EntryList entries;
  ASSERT_TRUE(entries.add({.type = EntryType::Directory}));
  Entry full{.name = "full", .size = 2 * kMaxRanges, .sparse = true};
  for (std::uint64_t i = 0; i < kMaxRanges; ++i) full.ranges.push_back({2 * i, 1});
  for (std::size_t i = 0; i < kMaxAllRanges / kMaxRanges; ++i) {
    full.name = fmt::format("full {:03}", i);
    ASSERT_TRUE(entries.add(full));
  }
  ASSERT_EQ(entries.ranges_left(), 0U);
  write_sparse(root_ / "file", 4 << 20, {1 << 20}, "data");
  const Fd file(::open((root_ / "file").c_str(), O_RDONLY | O_CLOEXEC));
  Entry entry{.name = "file"};
  ASSERT_TRUE(describe_again(entry, file.get(), entries));
  EXPECT_EQ(entry.size, 4U << 20);
  EXPECT_FALSE(entry.sparse);
  EXPECT_TRUE(entry.ranges.empty());
}

TEST_F(SourceTree, TheSecondLookEndsWhereItsTickFails) {
  make_many();
  const auto source = opened(live());
  const auto restated = restated_by(*source, {}, []() -> Outcome<void> { return failed("Test", "enough", ""); });
  ASSERT_FALSE(restated);
  EXPECT_EQ(restated.error().reason, "Test");
}

// ---- attributes -----------------------------------------------------------------------------------------------------

/// The names of the carried attributes of everything in a tree, a line each; what cannot be told says why.
Lines attributes_seen(const fs::path& root) {
  Lines lines;
  const NameAttributes attributes;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const Fd directory(::open(entry.path().parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const auto found = attributes.of(directory.get(), entry.path().filename().c_str(), nullptr);
    std::string line = entry.path().lexically_relative(root).string();
    if (!found) line += " " + found.error().message;
    for (std::size_t i = 0; found && i < found->size(); ++i) line += " " + (*found)[i].name;
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

/// The same by the plain calls for paths.
Lines attributes_there(const fs::path& root) {
  Lines lines;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    std::string names(65536, '\0');
    const ssize_t n = ::llistxattr(entry.path().c_str(), names.data(), names.size());
    std::set<std::string> sorted;
    for (ssize_t at = 0; at < n; at += static_cast<ssize_t>(std::strlen(names.data() + at)) + 1)
      if (is_carried_attribute(names.data() + at)) sorted.insert(names.data() + at);
    std::string line = entry.path().lexically_relative(root).string();
    for (const std::string& name : sorted) line += " " + name;
    lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

class AttributesTest : public SourceTree {
 protected:
  void SetUp() override {
    fs::create_directories(root_);
    add_specials(root_);
    fs::create_symlink("file", root_ / "special/link to attributes");
    write_file(root_ / "special/many names", "x");
    const std::string long_name(200, 'n');
    for (int i = 0; i < 8; ++i)
      set_attribute(root_ / "special/many names", fmt::format("user.{}{}", long_name, i).c_str(), "v");
  }

  /// From now on listxattrat() answers `error` to this process, as where an engine or a kernel does not know it; then
  /// compares, and ends the process.
  [[noreturn]] void see_without_the_call(int error) const {
    std::array<sock_filter, 4> program{{
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 465, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    }};
    const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
    bool same = ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0 &&
                ::syscall(465, -1, "", 0, nullptr, 0) == -1 && errno == error;
    same = same && attributes_seen(root_) == attributes_there(root_);
    fs::remove_all(scratch_.str());
    ::_exit(same ? 0 : 1);
  }
};

TEST_F(AttributesTest, OfNamesAreFoundWithoutFollowingLinksOrOpeningAnything) {
  const Lines seen = attributes_seen(root_);
  EXPECT_EQ(seen, attributes_there(root_));
  const auto has = [&](const char* line) { return std::find(seen.begin(), seen.end(), line) != seen.end(); };
  EXPECT_TRUE(has("special/file system.posix_acl_access user.bytes user.empty"));
  EXPECT_TRUE(has("special/fifo system.posix_acl_access"));
  EXPECT_TRUE(has("special/link to attributes")) << "not those of its target";
}

TEST_F(AttributesTest, OfNamesAreTheSameWhereTheCallForThemIsUnknownOrForbidden) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process that has not asked yet
  EXPECT_EXIT(see_without_the_call(ENOSYS), ::testing::ExitedWithCode(0), "");
  EXPECT_EXIT(see_without_the_call(EPERM), ::testing::ExitedWithCode(0), "");
}

TEST_F(AttributesTest, OfANameThatIsGoneAreNotFound) {
  const Fd directory(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const auto found = NameAttributes().of(directory.get(), "gone", nullptr);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().reason, "NotFound");
}

TEST_F(AttributesTest, OfADescriptorAreFoundAlsoWhereItStandsForANameOnly) {
  for (const int flags : {O_PATH | O_NOFOLLOW, O_RDONLY | O_NOFOLLOW}) {
    const Fd file(::open((root_ / "special/file").c_str(), flags | O_CLOEXEC));
    const auto found = attributes_of(file.get(), nullptr);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->size(), 3U);
  }
}

// ---- threads --------------------------------------------------------------------------------------------------------

TEST(PoolTest, TicksWhileAResultIsWaitedForAndEndsWithTheTicksFailure) {
  std::promise<void> release;
  Pool pool;
  auto work = [&]() -> Outcome<int> {
    release.get_future().wait();
    return 7;
  };
  auto coming = pool.add(work);
  int ticks = 0;
  const auto cut = pool.wait(coming, [&]() -> Outcome<void> {
    if (++ticks == 3) return failed("Test", "enough", "");
    return {};
  });
  release.set_value();
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().reason, "Test");
  const auto result = pool.wait(coming, kOn);
  ASSERT_TRUE(result);
  EXPECT_EQ(*result, 7);
}

TEST(PoolTest, WithoutThreadsResultsMayBeWaitedForInAnyOrder) {
  const NoThreads none;
  Pool pool;
  std::vector<std::future<Outcome<int>>> coming;
  for (int i = 0; i < 3; ++i) coming.push_back(pool.add([i]() -> Outcome<int> { return i; }));
  const auto begin = std::chrono::steady_clock::now();
  for (const int i : {2, 0, 1}) EXPECT_EQ(*pool.wait(coming[static_cast<std::size_t>(i)], kOn), i);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 1s);
}

}  // namespace
}  // namespace roadstead::mover
