#include "operator/adapters/apiserver/pki.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "operator/base/rfc3339.h"

namespace roadstead::apiserver {
namespace {

using namespace std::chrono_literals;
using std::chrono::days;

class PkiTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "roadstead-pki-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    directory = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory); }
  Pki ensure(Time now, const std::vector<std::string>& names = {"localhost", "127.0.0.1"}) {
    auto made = ensure_pki(directory, names, now);
    EXPECT_TRUE(made) << (made ? "" : made.error().message);
    return made.value_or(Pki{});
  }
  std::string directory;
  const Time start = parse_rfc3339("2026-11-22T10:00:00Z").value();
};

// The second start finds everything and changes nothing.
TEST_F(PkiTest, IsMadeOnce) {
  const Pki first = ensure(start);
  EXPECT_TRUE(first.changed);
  const Pki second = ensure(start + 24h);
  EXPECT_FALSE(second.changed);
  EXPECT_EQ(second.server_certificate, first.server_certificate);
  EXPECT_EQ(second.admin_key, first.admin_key);
}

// Certificates of a year are renewed a month before their end; the authority that clients know stays.
TEST_F(PkiTest, RenewsBeforeTheEnd) {
  const Pki first = ensure(start);
  EXPECT_FALSE(ensure(start + days(330)).changed);
  const Pki renewed = ensure(start + days(340));
  EXPECT_TRUE(renewed.changed);
  EXPECT_NE(renewed.server_certificate, first.server_certificate);
  EXPECT_NE(renewed.admin_certificate, first.admin_certificate);
  EXPECT_EQ(renewed.ca_certificate, first.ca_certificate);
}

// Near its own end the authority is replaced, and with it all that it signed.
TEST_F(PkiTest, ReplacesAnOldAuthority) {
  const Pki first = ensure(start);
  const Pki later = ensure(start + days(3640));
  EXPECT_NE(later.ca_certificate, first.ca_certificate);
  EXPECT_NE(later.server_certificate, first.server_certificate);
}

// A new name of the server makes a new certificate, and only that.
TEST_F(PkiTest, FollowsTheServersNames) {
  const Pki first = ensure(start);
  const Pki more = ensure(start, {"localhost", "127.0.0.1", "10.0.0.7", "annex2.example.org"});
  EXPECT_NE(more.server_certificate, first.server_certificate);
  EXPECT_EQ(more.admin_certificate, first.admin_certificate);
  EXPECT_FALSE(ensure(start, {"10.0.0.7"}).changed) << "a certificate for more names is good for fewer";
}

// A lost or broken file is made again; half a write of a crash cannot keep the operator from starting.
TEST_F(PkiTest, MakesBrokenFilesAgain) {
  ensure(start);
  std::ofstream(directory + "/pki/server.crt") << "half a certi";
  EXPECT_TRUE(ensure(start).changed);
  std::filesystem::remove(directory + "/pki/admin.key");
  EXPECT_TRUE(ensure(start).changed);
  std::ofstream(directory + "/pki/server.key.new") << "left by a crash";
  std::filesystem::remove(directory + "/pki/server.key");
  EXPECT_TRUE(ensure(start).changed);
  EXPECT_FALSE(ensure(start).changed);
}

// A key that is not the certificate's is noticed.
TEST_F(PkiTest, NoticesAForeignKey) {
  ensure(start);
  std::filesystem::copy_file(directory + "/pki/admin.key", directory + "/pki/server.key",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(ensure(start).changed);
}

}  // namespace
}  // namespace roadstead::apiserver
