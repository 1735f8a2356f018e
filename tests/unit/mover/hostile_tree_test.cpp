// Nothing that is announced, lies in a tree or is moved about in it while a sink works leads out of the tree.

#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/syscall.h>

#include <thread>

#include "mover/copy.h"
#include "mover/in_place.h"
#include "mover/staged_sink.h"
#include "scratch.h"

namespace roadstead::mover {
namespace {

using namespace testing;

enum class Kind { Staged, InPlaceTree };

std::string name_of(const ::testing::TestParamInfo<Kind>& info) {
  return info.param == Kind::Staged ? "Staged" : "InPlace";
}

class HostileTree : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    make_tree(source_);
    add_specials(source_);
    make_tree(outside_);
    fs::create_directories(data_);
    fs::create_directories(tree());
  }
  [[nodiscard]] fs::path tree() const {
    return GetParam() == Kind::Staged ? scratch_ / "volume/.roadstead/default.uat.db/tree" : data_;
  }
  CopyEnd run(const std::string& keystone = "") {
    Meter meter;
    Copy job;
    job.source = Source{source_.string(), {}, std::nullopt};
    if (GetParam() == Kind::Staged)
      job.target = target_;
    else
      job.in_place = InPlace{target_, false, keystone, {}};
    return copy(job, {}, {}, meter);
  }
  Outcome<std::unique_ptr<Sink>> open() {
    return GetParam() == Kind::Staged ? open_staged_sink(target_) : open_in_place_sink(InPlace{target_, false, "", {}});
  }

  Scratch scratch_;
  Target target_{scratch_.str() + "/volume", "default.uat.db"};
  fs::path source_ = scratch_ / "source";
  fs::path data_ = scratch_ / "volume/_data";
  fs::path outside_ = scratch_ / "outside";
};

INSTANTIATE_TEST_SUITE_P(Sinks, HostileTree, ::testing::Values(Kind::Staged, Kind::InPlaceTree), name_of);

TEST_P(HostileTree, LinksAtEveryLevelAreReplacedNotFollowed) {
  const auto before = snapshot(outside_);
  const auto wanted = snapshot(source_);
  // Once with a link in the place of each name of the source, to the same name of a tree that must stay as it is.
  for (const auto& [name, line] : wanted) {
    if (name == ".") continue;
    const fs::path victim = tree() / name;
    if (!fs::is_directory(fs::symlink_status(victim.parent_path()))) continue;
    fs::remove_all(victim);
    fs::create_symlink(outside_ / name, victim);
    if (name.starts_with("small/") && name != "small/7") continue;
    const CopyEnd end = run();
    ASSERT_FALSE(end.failure) << name << ": " << end.failure->message;
    ASSERT_EQ(snapshot(outside_), before) << name;
  }
  EXPECT_EQ(snapshot(tree()), wanted);
}

TEST_P(HostileTree, HardLinksToFilesOutsideAreNotWrittenThrough) {
  const auto wanted = snapshot(source_);
  std::vector<std::string> names;
  for (const auto& [name, line] : wanted)
    if (fs::is_regular_file(fs::symlink_status(source_ / name)) && fs::exists(outside_ / name)) names.push_back(name);
  for (const std::string& name : names) {
    write_file(outside_ / name, "somebody else's " + name);
    fs::create_directories((tree() / name).parent_path());
    fs::create_hard_link(outside_ / name, tree() / name);
  }
  ASSERT_GT(names.size(), 100U);
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure) << end.failure->message;
  for (const std::string& name : names) {
    if (name == "exact third" || name == "empty/deep/exact again" || name == "base/16384/exact") continue;  // one file
    EXPECT_EQ(read_file(outside_ / name), "somebody else's " + name);
  }
  EXPECT_EQ(snapshot(tree()), wanted);
}

TEST_P(HostileTree, ADirectoryThatBecomesALinkWhileItWorksLeadsNowhere) {
  // outside has the same names: whoever follows the link finds something to overwrite or to remove.
  const auto before = snapshot(outside_);
  const fs::path link = scratch_ / "link";
  fs::create_symlink(outside_ / "base", link);
  std::atomic<unsigned> swaps{0};
  std::jthread swapper([&](const std::stop_token& stop) {
    while (!stop.stop_requested())
      if (::syscall(SYS_renameat2, AT_FDCWD, (tree() / "base").c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE) == 0)
        ++swaps;
  });
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  for (int runs = 0; (runs < 40 || swaps < 200) && std::chrono::steady_clock::now() < deadline; ++runs) {
    run();  // may fail: the tree is not what it made
    ASSERT_EQ(snapshot(outside_), before) << "after " << runs << " runs";
  }
  EXPECT_GE(swaps, 200U);
  swapper.request_stop();
  swapper.join();
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure) << end.failure->message;
  const auto made = snapshot(tree()), wanted = snapshot(source_);
  for (const auto& [name, line] : wanted) EXPECT_EQ(made.contains(name) ? made.at(name) : "missing", line) << name;
  EXPECT_EQ(made.size(), wanted.size());
}

TEST_P(HostileTree, ADeviceOrFifoInAFilesPlaceIsNeverOpened) {
  // Opening the one would wait for ever, writing to the other would go nowhere and read zeros without end.
  ASSERT_EQ(::mkfifo((tree() / "program").c_str(), 0600), 0);
  ASSERT_EQ(::mknod((tree() / "sparse").c_str(), S_IFCHR | 0600, makedev(1, 5)), 0);
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure) << end.failure->message;
  EXPECT_EQ(snapshot(tree()), snapshot(source_));
}

TEST_P(HostileTree, AttributesThatNoCopyCarriesAreRefusedBeforeAnythingChanges) {
  for (const char* name : {"security.selinux", "security.ima", "trusted.overlay.opaque", "system.other"}) {
    write_file(tree() / "old", "old");
    auto sink = open();
    ASSERT_TRUE(sink) << sink.error().message;
    EntryList entries;
    ASSERT_TRUE(entries.add({.type = EntryType::Directory, .mode = 0755}));
    ASSERT_TRUE(entries.add({.name = "f", .mode = 0600, .attributes = {{name, "x"}}}));
    const auto prepared = (*sink)->prepare(entries, {}, []() -> Outcome<void> { return {}; });
    ASSERT_FALSE(prepared) << name;
    EXPECT_EQ(prepared.error().reason, "ProtocolError");
    EXPECT_TRUE(fs::exists(tree() / "old"));
  }
}

TEST_P(HostileTree, AKeystoneBehindALinkIsNotTouched) {
  if (GetParam() == Kind::Staged) GTEST_SKIP() << "staged trees have none";
  const auto before = snapshot(outside_);
  fs::create_symlink(outside_ / "base", data_ / "base");
  const CopyEnd end = run("base/16384/1259");
  ASSERT_FALSE(end.failure) << end.failure->message;
  EXPECT_EQ(snapshot(outside_), before);
  EXPECT_EQ(snapshot(data_), snapshot(source_));
}

TEST_P(HostileTree, DeepTreesNeedFewDescriptors) {
  fs::path at = source_;
  for (int i = 0; i < 150; ++i) at /= "d";
  // Component by component: the whole path is longer than one call takes in other places.
  fs::create_directories(at);
  write_file(at / "bottom", "reached");
  const CopyEnd end = run();
  ASSERT_FALSE(end.failure) << end.failure->message;
  EXPECT_EQ(snapshot(tree()), snapshot(source_));
}

}  // namespace
}  // namespace roadstead::mover
