#include "operator/adapters/files/file_applier.h"

#include <functional>
#include <thread>

#include "tests/unit/files/files_fixture.h"

namespace roadstead::files {
namespace {

using namespace std::chrono_literals;

[[nodiscard]] bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

class FileApplierTest : public FilesTest {
 protected:
  void SetUp() override {
    set_log_level(kSilent);
    FilesTest::SetUp();
    applier = std::make_unique<FileApplier>(manifests, *store, metrics, clock);
  }
  void TearDown() override {
    applier.reset();
    FilesTest::TearDown();
  }
  std::unique_ptr<FileApplier> applier;
};

// All well below the minute of the next rescan: it is the watch that notices.
TEST_F(FileApplierTest, NoticesNewChangedAndVanishedFilesAndDirectories) {
  write("hosts.yaml", host("uat"));
  ASSERT_TRUE(applier->start());
  ASSERT_TRUE(eventually([&] { return exists("uat"); }));
  write("hosts.yaml", host("uat", true));
  EXPECT_TRUE(eventually([&] { return get("uat").at("spec").at("protected") == true; }));
  write("site/new/more.yaml", host("annex2"));
  EXPECT_TRUE(eventually([&] { return exists("annex2"); }));
  write("site/new/third.yaml", host("science"));
  EXPECT_TRUE(eventually([&] { return exists("science"); }));
  std::filesystem::rename(manifests / "site/new/third.yaml", directory.path() / "away.yaml");
  EXPECT_TRUE(eventually([&] { return !annotation("science", "source-missing").empty(); }));
}

TEST_F(FileApplierTest, NoticesASwappedDataSymlink) {
  write("..1/hosts.yaml", host("uat"));
  std::filesystem::create_symlink("..1", manifests / "..data");
  std::filesystem::create_symlink("..data/hosts.yaml", manifests / "hosts.yaml");
  ASSERT_TRUE(applier->start());
  ASSERT_TRUE(eventually([&] { return exists("uat"); }));
  write("..2/hosts.yaml", host("uat", true));
  std::filesystem::create_symlink("..2", manifests / "..data_tmp");
  std::filesystem::rename(manifests / "..data_tmp", manifests / "..data");
  EXPECT_TRUE(eventually([&] { return get("uat").at("spec").at("protected") == true; }));
}

TEST_F(FileApplierTest, StopsAtOnce) {
  ASSERT_TRUE(applier->start());
  const auto began = std::chrono::steady_clock::now();
  applier->stop();
  EXPECT_LT(std::chrono::steady_clock::now() - began, 10s) << "it does not wait out its minute";
}

TEST_F(FileApplierTest, ADirectoryThatIsNotThereIsSaidAtTheStart) {
  FileApplier nowhere(directory.path() / "nowhere", *store, metrics, clock);
  const auto started = nowhere.start();
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().message, testing::HasSubstr("nowhere: No such file or directory"));
}

}  // namespace
}  // namespace roadstead::files
