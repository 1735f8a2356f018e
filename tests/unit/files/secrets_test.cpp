#include "operator/adapters/files/secrets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>

#include "operator/base/log.h"
#include "tests/component/store/store_fixture.h"

namespace roadstead::files {
namespace {

using testing::HasSubstr;
using testing::Not;

class SecretsTest : public testing::Test {
 protected:
  std::string file(const std::string& text) {
    const std::string path = (directory.path() / "secret").string();
    std::ofstream(path) << text;
    ::chmod(path.c_str(), 0600);
    return path;
  }
  Error refusal(const SecretRef& ref) {
    const auto secret = secrets.resolve(ref);
    EXPECT_FALSE(secret);
    return secret ? Error{} : secret.error();
  }

  store::TemporaryDirectory directory;
  FileEnvSecrets secrets;
};

TEST_F(SecretsTest, OneTrailingNewlineOfAFileIsNotPartOfTheSecret) {
  EXPECT_EQ(secrets.resolve({.file = file("pass word\n\n"), .env = {}}), "pass word\n");
  EXPECT_EQ(secrets.resolve({.file = file("pass"), .env = {}}), "pass");
}

TEST_F(SecretsTest, AChangedFileCountsAtOnce) {
  EXPECT_EQ(secrets.resolve({.file = file("old"), .env = {}}), "old");
  EXPECT_EQ(secrets.resolve({.file = file("new"), .env = {}}), "new");
}

TEST_F(SecretsTest, TheEnvironmentIsRead) {
  ::setenv("ROADSTEAD_TEST_SECRET", "from outside", 1);
  EXPECT_EQ(secrets.resolve({.file = {}, .env = "ROADSTEAD_TEST_SECRET"}), "from outside");
  ::unsetenv("ROADSTEAD_TEST_SECRET");
  EXPECT_EQ(refusal({.file = {}, .env = "ROADSTEAD_TEST_SECRET"}).kind, ErrorKind::NotFound);
}

TEST_F(SecretsTest, RefusalsNameTheReferenceAndNeverTheValue) {
  EXPECT_EQ(refusal({.file = "/nowhere/secret", .env = {}}).kind, ErrorKind::NotFound);
  EXPECT_THAT(refusal({.file = "/nowhere/secret", .env = {}}).message, HasSubstr("/nowhere/secret"));
  EXPECT_EQ(refusal({.file = "relative", .env = {}}).kind, ErrorKind::Invalid);
  EXPECT_EQ(refusal({.file = directory.path().string(), .env = {}}).kind, ErrorKind::Invalid);
  EXPECT_EQ(refusal({.file = {}, .env = {}}).kind, ErrorKind::Invalid);
  EXPECT_EQ(refusal({.file = "/a", .env = "B"}).kind, ErrorKind::Invalid);
  EXPECT_EQ(refusal({.file = file(""), .env = {}}).kind, ErrorKind::Invalid);
  const Error large = refusal({.file = file(std::string(FileEnvSecrets::kMaxBytes + 1, 'z')), .env = {}});
  EXPECT_EQ(large.kind, ErrorKind::Invalid);
  EXPECT_THAT(large.message, Not(HasSubstr("zz")));
}

TEST_F(SecretsTest, APipeIsRefusedInsteadOfWaitedFor) {
  const std::string path = (directory.path() / "pipe").string();
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(refusal({.file = path, .env = {}}).kind, ErrorKind::Invalid);
}

}  // namespace
}  // namespace roadstead::files
