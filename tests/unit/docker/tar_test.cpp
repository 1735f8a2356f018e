#include "operator/adapters/docker/tar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/docker/fake_stream.h"

namespace roadstead::docker {
namespace {

using test::bytes_of;
using test::kind_of;
using test::message_of;

ByteSource source_of(const std::string& text, std::size_t piece) {
  return [&text, piece, at = std::size_t{0}]() mutable -> Result<std::span<const std::byte>> {
    const auto part = std::string_view(text).substr(at, piece);
    at += part.size();
    return bytes_of(part);
  };
}

TEST(Tar, GivesBackWhatWentInThroughPiecesOfAnySize) {
  const std::vector<ArchiveFile> files{{"etc", {}, 0755, 0, 0, true},
                                       {"etc/secret", "hidden\n", 0600, 999, 998},
                                       {"etc/" + std::string(150, 'n') + "/long", "long name", 0640, 4'000'000, 1},
                                       {"grün/name", "beyond ASCII", 0644},
                                       {"empty", "", 0400},
                                       {"big", std::string(100'000, 'b'), 0600}};
  const auto tar = make_tar(files);
  ASSERT_TRUE(tar) << message_of(tar);
  for (const std::size_t piece : {1UL, 511UL, 512UL, 513UL, 100'000UL, 1'000'000UL}) {
    const auto read = read_tar(source_of(*tar, piece), 1'000'000);
    ASSERT_TRUE(read) << message_of(read);
    ASSERT_EQ(read->size(), 5U);
    for (std::size_t i = 0; i < read->size(); ++i) {
      EXPECT_EQ((*read)[i].path, files[i + 1].path);
      EXPECT_EQ((*read)[i].content, files[i + 1].content);
      EXPECT_EQ((*read)[i].mode, files[i + 1].mode);
      EXPECT_EQ((*read)[i].uid, files[i + 1].uid);
      EXPECT_EQ((*read)[i].gid, files[i + 1].gid);
    }
  }
}

TEST(Tar, RefusesPathsThatLeaveTheirDirectory) {
  const std::vector<std::string> paths{"", "/etc/passwd", "../x", "a/../../x", "a/..", std::string("a\0b", 3)};
  for (const auto& path : paths) {
    const std::vector<ArchiveFile> files{{path, "x"}};
    EXPECT_EQ(kind_of(make_tar(files)), ErrorKind::Invalid) << path;
  }
  const std::vector<ArchiveFile> fine{{"..a/b..", "x"}};
  EXPECT_TRUE(make_tar(fine));
}

TEST(Tar, StopsAtItsLimitBeforeItTakesMore) {
  const std::vector<ArchiveFile> files{{"a", std::string(1000, 'a')}, {"b", std::string(1000, 'b')}};
  const auto tar = *make_tar(files);
  EXPECT_TRUE(read_tar(source_of(tar, 100), 2000));
  EXPECT_EQ(kind_of(read_tar(source_of(tar, 100), 1999)), ErrorKind::Invalid);
}

TEST(Tar, TellsWhatIsCutOrNoArchive) {
  const std::vector<ArchiveFile> files{{"a", std::string(10'000, 'a')}};
  const auto tar = *make_tar(files);
  EXPECT_FALSE(read_tar(source_of(tar.substr(0, 5000), 512), 1'000'000));
  const std::string noise(5000, 'x');
  EXPECT_EQ(kind_of(read_tar(source_of(noise, 512), 1'000'000)), ErrorKind::Invalid);
  const auto broken = read_tar(
      []() -> Result<std::span<const std::byte>> { return fail(ErrorKind::Unavailable, "connection lost"); }, 10);
  EXPECT_EQ(kind_of(broken), ErrorKind::Unavailable);
  EXPECT_EQ(message_of(broken), "connection lost");
}

}  // namespace
}  // namespace roadstead::docker
