// docs/repository-format.md is enough to read a repository: a program that knows only that page restores what the mover
// wrote.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "mover/run.h"
#include "scratch.h"

namespace roadstead::mover {
namespace {

using namespace testing;

class Reader : public ::testing::Test {
 protected:
  Reader() {
    fs::create_directories(repository);
    make_small_tree();
    back_up("ns.one", Compression::None);
  }

  void back_up(const std::string& id, Compression compression) {
    Copy copy;
    copy.source = Source{.path = tree.string(), .exclude = {}};
    copy.snapshot = Snapshot{repository.string(), id, R"({"volume":"v"})"};
    copy.compression = compression;
    Meter meter;
    const WorkerResult result = run(Job(copy), {}, {}, meter);
    EXPECT_TRUE(result.ok) << result.message;
  }

  /// Small, because the program's own hash is slow.
  void make_small_tree() {
    fs::create_directories(tree / "deep/er");
    add_specials(tree);
    write_file(tree / "packs well", std::string(20'000, 'x') + noise(100, 1));
    write_file(tree / "zeros", std::string(1'100'000, '\0'));
    write_file(tree / "chunks", noise(9000, 2));
    write_file(tree / "empty", "");
    write_file(tree / "deep/er/not utf-8 \xff\n", "bytes");
    write_sparse(tree / "sparse", 5 << 20, {0, (1 << 20) - 10, (3 << 20) + 5}, "data over the edge of an extent");
    write_sparse(tree / "all hole", 3 << 20, {}, "");
    fs::create_symlink("../no/such/thing", tree / "deep/dangling");
    fs::create_hard_link(tree / "chunks", tree / "deep/same chunks");
    ASSERT_EQ(::lchown((tree / "deep/dangling").c_str(), 5, 6), 0);
    ASSERT_EQ(::chmod((tree / "chunks").c_str(), 06751), 0);
    ASSERT_EQ(::chmod((tree / "deep").c_str(), 0500), 0);
    set_time(tree / "deep/dangling", 1000000001, 123456789);
    set_time(tree / "chunks", -5, 1);
    set_time(tree / "deep", 1000000004, 8);
    set_time(tree, 1000000005, 9);
  }

  /// Its output and exit code.
  std::pair<std::string, int> read(const std::string& arguments) const {
    const std::string output = (scratch / "output").string();
    const std::string command =
        "python3 " ROADSTEAD_SOURCE_DIR "/docs/read_repository.py " + arguments + " > " + output + " 2>&1";
    const int status = std::system(command.c_str());  // NOLINT(concurrency-mt-unsafe)
    return {read_file(output), WIFEXITED(status) ? WEXITSTATUS(status) : -1};
  }

  Scratch scratch;
  fs::path tree = scratch / "tree", repository = scratch / "repository";
};

TEST_F(Reader, ListsVerifiesAndRestoresWhatTheMoverWrote) {
  const auto [listed, list_code] = read("list " + repository.string());
  EXPECT_EQ(list_code, 0) << listed;
  EXPECT_NE(listed.find(" ns.one "), std::string::npos) << listed;
  const auto [verified, verify_code] = read("verify " + repository.string());
  EXPECT_EQ(verify_code, 0) << verified;
  const auto [restored, restore_code] =
      read("restore " + repository.string() + " ns.one " + (scratch / "back").string());
  EXPECT_EQ(restore_code, 0) << restored;
  EXPECT_EQ(snapshot(scratch / "back"), snapshot(tree));
}

TEST_F(Reader, PutsPatchesTogether) {
  std::string text = noise(70'000, 3) + std::string(70'000, 'y');
  write_file(tree / "pages", text);
  for (const auto& [id, at] : {std::pair("ns.two", 0), {"ns.three", 33'000}, {"ns.four", 100'000}}) {
    back_up(id, at < 100'000 ? Compression::None : Compression::Zstd);
    text.replace(static_cast<std::size_t>(at), 9, "something");
    write_file(tree / "pages", text);
    set_time(tree / "pages", 1'000'000'000 + at, 0);
  }
  back_up("ns.five", Compression::Zstd);
  const auto [verified, code] = read("verify " + repository.string());
  EXPECT_EQ(code, 0) << verified;
  const auto [restored, restore_code] =
      read("restore " + repository.string() + " ns.five " + (scratch / "back").string());
  EXPECT_EQ(restore_code, 0) << restored;
  EXPECT_EQ(snapshot(scratch / "back"), snapshot(tree));
  std::uintmax_t bytes = 0;
  for (const auto& pack : fs::directory_iterator(repository / "packs")) bytes += fs::file_size(pack);
  EXPECT_LT(bytes, 250'000U) << "patches are small";
}

TEST_F(Reader, FindsAChangedByteAndItsFile) {
  for (const auto& entry : fs::directory_iterator(repository / "packs")) {
    std::string bytes = read_file(entry.path());
    const auto at = bytes.find(noise(9000, 2));
    ASSERT_NE(at, std::string::npos);
    bytes[at + 77] ^= 1;
    fs::permissions(entry.path(), fs::perms::owner_all);
    write_file(entry.path(), bytes);
  }
  const auto [verified, code] = read("verify " + repository.string() + " ns.one");
  EXPECT_EQ(code, 1);
  EXPECT_NE(verified.find("'chunks'"), std::string::npos) << verified;
  EXPECT_EQ(verified.find("sparse"), std::string::npos) << verified;
}

}  // namespace
}  // namespace roadstead::mover
