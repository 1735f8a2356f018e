#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "operator/base/file.h"
#include "operator/base/hash.h"
#include "operator/base/log.h"
#include "operator/base/names.h"
#include "operator/base/quantity.h"
#include "operator/base/rfc3339.h"
#include "operator/base/text.h"

namespace roadstead {
namespace {

using namespace std::chrono_literals;

TEST(Rfc3339, WritesWhatItReads) {
  for (const char* text : {"2026-11-22T09:41:07Z", "1969-12-31T23:59:59Z", "2024-02-29T00:00:00Z"})
    EXPECT_EQ(format_rfc3339(parse_rfc3339(text).value()), text);
}

TEST(Rfc3339, TakesOffsetsAndFractionsIntoAccount) {
  EXPECT_EQ(format_rfc3339_millis(parse_rfc3339("2026-11-22T10:41:07.1239+01:00").value()), "2026-11-22T09:41:07.123Z");
  EXPECT_EQ(format_rfc3339(parse_rfc3339("2026-11-22t09:41:07z").value()), "2026-11-22T09:41:07Z");
}

TEST(Rfc3339, RefusesWhatIsNoTime) {
  for (const char* text :
       {"", "2026-11-22", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-22T09:41:07", "2026-11-22T24:00:00Z",
        "2026-11-22T09:41:07.Z", "2026-11-22T09:41:07Zx", "2026-11-22T09:41:07+1:00"})
    EXPECT_FALSE(parse_rfc3339(text)) << text;
}

// RFC 5869, test case 3 (no salt, no info) has a zero-length info; case values by its appendix.
TEST(Hash, HkdfGivesTheRfcVector) {
  EXPECT_EQ(to_hex(hkdf_sha256(std::string(22, '\x0b'), "", 42)),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Hash, UuidsDifferAndCarryTheirVersion) {
  const std::string one = random_uuid();
  EXPECT_EQ(one.size(), 36U);
  EXPECT_EQ(one[14], '4');
  EXPECT_NE(one, random_uuid());
}

TEST(Names, AreShortenedWithoutColliding) {
  EXPECT_EQ(shortened("short", 20), "short");
  const std::string a = shortened("a-very-long-name-ending-in-1", 20),
                    b = shortened("a-very-long-name-ending-in-2", 20);
  EXPECT_EQ(a.size(), 20U);
  EXPECT_NE(a, b);
  EXPECT_EQ(to_string(ObjectKey{"Host", "", "uat"}), "Host uat");
}

TEST(Quantity, ReadsLikeKubectl) {
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(432013312), "412.0 MiB");
  EXPECT_EQ(human_duration(4s), "4s");
  EXPECT_EQ(human_duration(316s), "5m16s");
  EXPECT_EQ(human_duration(3h), "3h");
  EXPECT_EQ(human_duration(50h), "2d2h");
}

TEST(Log, QuotesWhatJsonCannotCarry) {
  EXPECT_EQ(json_quoted("a\"b\\\n\x01"), "\"a\\\"b\\\\\\n\\u0001\"");
  EXPECT_EQ(json_quoted("caf\xC3\xA9 \xff"), "\"caf\xC3\xA9 \xEF\xBF\xBD\"");
}

TEST(Text, IsLoweredComparedAndEncoded) {
  EXPECT_EQ(lower("BackupPolicy-Ä"), "backuppolicy-Ä");
  EXPECT_TRUE(equal_ignoring_case("False", "false"));
  EXPECT_FALSE(equal_ignoring_case("falsehood", "false"));
  EXPECT_FALSE(equal_ignoring_case("fals", "false"));
  EXPECT_EQ(url_encoded("a b/c-._~\xff"), "a%20b%2Fc-._~%FF");
  EXPECT_EQ(url_encoded("a/b:c", "/:"), "a/b:c");
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("\xff\xfe\xfd"), "//79");
}

TEST(Files, AreReadAndReplacedWhole) {
  std::string directory = (std::filesystem::temp_directory_path() / "roadstead-test-XXXXXX").string();
  ASSERT_NE(::mkdtemp(directory.data()), nullptr);
  const std::string path = directory + "/secret";
  EXPECT_EQ(read_file(path).error().kind, ErrorKind::NotFound);
  std::ofstream(path + ".new") << "left by a crash";
  ::chmod((path + ".new").c_str(), 0644);
  ASSERT_TRUE(write_file(path, "one", 0600));
  ASSERT_TRUE(write_file(path, "two", 0600));
  EXPECT_EQ(read_file(path).value(), "two");
  EXPECT_EQ(read_file(path, 3).value(), "two");
  EXPECT_EQ(read_file(path, 2).error().message, "file " + path + ": it is larger than 2 bytes");
  mode_t mode = 0;
  EXPECT_EQ(read_regular_file(path, 3, &mode).value(), "two");
  EXPECT_EQ(mode & 0777, 0600u);
  EXPECT_FALSE(std::filesystem::exists(path + ".new"));
  EXPECT_EQ(read_file(directory).error().kind, ErrorKind::Invalid);
  const std::string pipe = directory + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(read_regular_file(pipe, 3).error().kind, ErrorKind::Invalid) << "never waited for";
  EXPECT_EQ(write_file(directory + "/no/such", "x", 0600).error().kind, ErrorKind::NotFound);
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace roadstead
