// Files people write: every bad one gets one sentence with its place, and the examples are good.
#include "crds/yaml/manifest.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "crds/yaml/scalar.h"
#include "support.h"

namespace roadstead::crds {
namespace {

using testing::builtin;
using testing::minimal;
using Json = nlohmann::json;

/// All problems of `text`, a line each.
std::string problems(std::string_view text) {
  const ManifestFile read = validate_manifests(text, "bad.yaml", builtin());
  std::string out;
  for (const Diagnostic& problem : read.problems) out += (out.empty() ? "" : "\n") + to_string(problem);
  return out;
}

/// A policy whose spec is `spec`, which begins on line 5.
std::string policy(std::string_view spec) {
  return "apiVersion: roadstead.dev/v1alpha1\nkind: BackupPolicy\nmetadata: {name: nightly}\nspec:\n" +
         std::string(spec);
}

constexpr const char* kSource = "  source: {barman: {serverRef: {name: montagu}}}\n";

struct Bad {
  const char* name;
  std::string text;
  std::string said;
};
void PrintTo(const Bad& c, std::ostream* out) { *out << c.name; }

class BadManifest : public ::testing::TestWithParam<Bad> {};

TEST_P(BadManifest, GetsOneSentenceWithFileLineAndField) {
  EXPECT_EQ(problems(GetParam().text), GetParam().said);
  EXPECT_TRUE(validate_manifests(GetParam().text, "bad.yaml", builtin()).objects.empty());
}

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  for (; times > 0; --times) out += text;
  return out;
}

/// As messages name a place that is very deep.
std::string cut(std::string field) { return field.size() <= 200 ? field : field.substr(0, 200) + "…"; }

std::string alias_bomb() {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 9; ++i) {
    text += fmt::format("a{0}: &a{0} [", i);
    for (int j = 0; j < 10; ++j) text += fmt::format("{}*a{}", j == 0 ? "" : ", ", i - 1);
    text += "]\n";
  }
  return text;
}

std::string with_byte(char byte) { return policy(kSource) + "  # " + byte + "\n"; }

INSTANTIATE_TEST_SUITE_P(
    All, BadManifest,
    ::testing::Values(
        Bad{"UnknownField", policy(std::string(kSource) + "  schedule: {cron: '@daily'}\n  suspended: true\n"),
            R"(bad.yaml:7:3: spec.suspended: unknown field; did you mean "suspend"?)"},
        Bad{"WrongType",
            policy(std::string(kSource) + "  schedule: {cron: '@daily'}\n  startingDeadlineSeconds: soon\n"),
            R"(bad.yaml:7:3: spec.startingDeadlineSeconds: Invalid value: "string": spec.startingDeadlineSeconds in body must be of type integer: "string")"},
        Bad{"UnquotedWord", policy("  source: {barman: {serverRef: {name: yes}}}\n  schedule: {cron: '@daily'}\n"),
            R"(bad.yaml:5:33: spec.source.barman.serverRef.name: Invalid value: "boolean": spec.source.barman.serverRef.name in body must be of type string: "boolean"; quote it: "yes")"},
        Bad{"UnquotedNumber", policy("  source: {barman: {serverRef: {name: 1_0}}}\n  schedule: {cron: '@daily'}\n"),
            R"(bad.yaml:5:33: spec.source.barman.serverRef.name: Invalid value: "integer": spec.source.barman.serverRef.name in body must be of type string: "integer"; quote it: "1_0")"},
        Bad{"Missing", policy("  schedule: {cron: '@daily'}\n"), "bad.yaml:4:1: spec.source: Required value"},
        Bad{"Null", policy(std::string(kSource) + "  schedule:\n"),
            R"(bad.yaml:6:3: spec.schedule: Invalid value: "null": spec.schedule in body must be of type object: "null")"},
        Bad{"BadCron", policy(std::string(kSource) + "  schedule: {cron: 0 25 * * *}\n"),
            R"(bad.yaml:6:14: spec.schedule.cron: Invalid value: "0 25 * * *": hour "25" is not between 0 and 23)"},
        Bad{"UnknownZone",
            policy(std::string(kSource) + "  schedule:\n    cron: '@daily'\n    timeZone: Europe/Lundon\n"),
            R"(bad.yaml:8:5: spec.schedule.timeZone: Invalid value: "Europe/Lundon": "Europe/Lundon" is not the name of a time zone such as Europe/London or UTC)"},
        Bad{"DuplicateKey",
            policy(std::string(kSource) + "  schedule: {cron: '@daily'}\n  suspend: true\n  suspend: false\n"),
            R"(bad.yaml:8:3: spec.suspend: duplicate key "suspend", the first is on line 7)"},
        Bad{"Tab", policy(std::string(kSource) + "  schedule:\n\tcron: '@daily'\n"),
            "bad.yaml:7:1: the line is indented with a tab, use spaces"},
        Bad{"Binary",
            std::string("\x7f"
                        "ELF\x02\x01\x01\x00\x00",
                        9),
            "bad.yaml:1:1: this is no text file in UTF-8: it holds the byte 0x7f"},
        Bad{"ZeroByte", with_byte('\0'), "bad.yaml:6:5: this is no text file in UTF-8: it holds the byte 0x00"},
        Bad{"Latin1", with_byte('\xe4'), "bad.yaml:6:5: this is no text file in UTF-8: it holds the byte 0xe4"},
        Bad{"TenMebibytes", "# " + std::string(10 * 1024 * 1024, 'x'),
            "bad.yaml: the file has 10485762 bytes, more than the 3145728 that a manifest may have"},
        Bad{"LargeObject", policy("  x: " + std::string(1600 * 1024, 'y') + "\n"),
            "bad.yaml:1:1: the document has 1638507 bytes, more than the 1572864 that an object may have"},
        Bad{"AliasBomb", alias_bomb(), "bad.yaml:4:45: a3[7]: aliases stand for more than 10000 values"},
        Bad{"NestingBomb", "a: " + std::string(100'000, '[') + std::string(100'000, ']'),
            "bad.yaml:1:103: " + cut("a" + repeated("[0]", 99)) + ": lists and maps are nested deeper than 100 levels"},
        Bad{"UnclosedNestingBomb", "a: " + std::string(100'000, '['),
            "bad.yaml:1:5: a[0]: a list or a map cannot be a key, or a bracket is left open"},
        Bad{"NestingBombInJson", std::string(100'000, '['),
            "bad.yaml:1:101: " + cut(repeated("[0]", 100)) + ": lists and maps are nested deeper than 100 levels"},
        Bad{"NestingByIndent",
            [] {
              std::string text;
              for (std::size_t i = 0; i < 400; ++i) text += std::string(i, ' ') + "a:\n";
              return text;
            }(),
            "bad.yaml:101:101: " + cut("a" + repeated(".a", 99)) +
                ": lists and maps are nested deeper than 100 levels"},
        Bad{"ManyValues", "a: [" + repeated("1,", 200'000) + "]\n",
            "bad.yaml:1:399999: a[199997]: there are more than 200000 values"},
        Bad{"LongKey", "{\"" + std::string(2000, 'k') + "\": 1}", "bad.yaml:1:2: a key of 2000 bytes is too long"},
        Bad{"AnchorBomb",
            [] {
              std::string text = "a: ";
              for (int i = 0; i < 90; ++i) text += fmt::format("&n{} [", i);
              for (int i = 0; i < 10'000; ++i) text += "1,";
              return text + std::string(90, ']') + "\n";
            }(),
            "bad.yaml:1:414: " + cut("a" + repeated("[0]", 70)) + ": anchors name more than 200000 values"},
        Bad{"Cycle", "a: &x [1, *x]\n", "bad.yaml:1:11: a[1]: the alias stands inside of what it stands for"},
        Bad{"UnknownAnchor", "a: *x\n", "bad.yaml:1:4: this is not valid YAML: the referenced anchor is not defined"},
        Bad{"MergeKey", "base: &b {x: 1}\nspec:\n  <<: *b\n", "bad.yaml:3:3: spec: merge keys (<<) are not supported"},
        Bad{"Tag", "a: !!python/object:os.system x\n",
            R"(bad.yaml:1:4: a: the tag "tag:yaml.org,2002:python/object:os.system" is not supported)"},
        Bad{"Infinity", "a: .inf\n", "bad.yaml:1:4: a: .inf is a number that JSON does not have"},
        Bad{"ListAsKey", "? [a, b]\n: c\n", "bad.yaml:1:3: a list or a map cannot be a key, or a bracket is left open"},
        Bad{"Unclosed", "a: [1, 2\nb: 3\n", "bad.yaml:2:2: this is not valid YAML: end of sequence flow not found"},
        Bad{"NoObject", "- a\n- b\n", "bad.yaml:1:1: a manifest is a map with apiVersion, kind, metadata and spec"},
        Bad{"NoKind", "apiVersion: roadstead.dev/v1alpha1\nmetadata: {name: x}\n",
            "bad.yaml:1:1: kind: Required value"},
        Bad{"UnknownKind", "apiVersion: roadstead.dev/v1alpha1\nkind: Bakup\n",
            R"(bad.yaml:2:1: kind: "Bakup" is not a kind that is known here: Host, BarmanServer, BackupPolicy, Backup, RestoreRequest)"},
        Bad{"UnknownVersion", "apiVersion: roadstead.dev/v1\nkind: Backup\n",
            R"(bad.yaml:1:1: apiVersion: "roadstead.dev/v1" is not the version of Backup, write roadstead.dev/v1alpha1)"},
        Bad{"BrokenJson", "{\"apiVersion\": \"roadstead.dev/v1alpha1\",\n \"kind\" \"Host\"}",
            "bad.yaml:2:14: kind: this is not valid JSON: unexpected string literal; expected ':'"},
        Bad{"DuplicateKeyInJson", "{\"a\": 1,\n  \"b\\\"\": 2,\n  \"b\\\"\": 3}",
            R"(bad.yaml:3:3: [b\"]: duplicate key "b\"", the first is on line 2)"}),
    [](const auto& tested) { return tested.param.name; });

TEST(Manifests, TellEveryProblemOfEveryDocument) {
  const std::string text =
      policy(std::string(kSource) + "  schedule: {cron: '@daily'}\n  suspend: 1\n") + "---\n" + policy("  oops: 1\n");
  EXPECT_EQ(problems(text),
            "bad.yaml:7:3: spec.suspend: Invalid value: \"integer\": spec.suspend in body must be of type boolean: "
            "\"integer\"\n"
            "bad.yaml:12:1: spec.source: Required value\n"
            "bad.yaml:12:1: spec.schedule: Required value\n"
            "bad.yaml:13:3: spec.oops: unknown field");
}

TEST(Manifests, TellTheSameObjectTwice) {
  const std::string one = policy(std::string(kSource) + "  schedule: {cron: '@daily'}\n");
  EXPECT_EQ(problems(one + "---\n" + one),
            "bad.yaml:10:12: metadata.name: BackupPolicy default/nightly is in this file already, on line 1");
}

TEST(Manifests, AreReadFromJsonAsWell) {
  const std::string text = minimal("Host").dump(2) + "\n" + minimal("RestoreRequest").dump();
  const ManifestFile read = validate_manifests(text, "good.json", builtin());
  EXPECT_TRUE(read.problems.empty()) << to_string(read.problems.front());
  ASSERT_EQ(read.objects.size(), 2u);
  EXPECT_EQ(read.objects[0].object, minimal("Host"));
  EXPECT_EQ(read.objects[1].crd->kind, "RestoreRequest");
  EXPECT_EQ(
      problems("{\"apiVersion\":\"roadstead.dev/"
               "v1alpha1\",\"kind\":\"Host\",\"metadata\":{\"name\":\"x\"},\n\"spec\":{\n \"engine\":5}}"),
      "bad.yaml:3:2: spec.engine: Invalid value: \"integer\": spec.engine in body must be of type object: \"integer\"");
}

TEST(Manifests, MayBeEmptyOrBeginWithAByteOrderMark) {
  EXPECT_EQ(problems(""), "");
  EXPECT_EQ(problems("---\n# only a comment\n---\n"), "");
  EXPECT_EQ(problems("\xEF\xBB\xBF" + policy(std::string(kSource) + "  schedule: {cron: '@daily'}\n")), "");
}

TEST(Manifests, MayUseAliasesWithinReason) {
  const auto read = read_manifests("a: &x {k: [1, 2]}\nb: *x\nc: &s text\n*s : 1\n", "x.yaml");
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ((*read)[0].value, Json::parse(R"({"a":{"k":[1,2]},"b":{"k":[1,2]},"c":"text","text":1})"));
}

TEST(Manifests, MayHaveLinesThatEndAsOnWindows) {
  std::string text = policy(std::string(kSource) + "  schedule: {cron: '@daily'}\n  suspend: 1\n");
  for (std::size_t at = 0; (at = text.find('\n', at)) != text.npos; at += 2) text.insert(at, 1, '\r');
  EXPECT_EQ(problems(text),
            "bad.yaml:7:3: spec.suspend: Invalid value: \"integer\": spec.suspend in body must be of type boolean: "
            "\"integer\"");
}

TEST(Manifests, TellAtMostFiftyProblemsOfADocument) {
  std::string spec = std::string(kSource) + "  schedule: {cron: '@daily'}\n";
  for (int i = 0; i < 1000; ++i) spec += fmt::format("  x{}: 1\n", i);
  const auto read = validate_manifests(policy(spec), "bad.yaml", builtin());
  ASSERT_EQ(read.problems.size(), 51u);
  EXPECT_EQ(to_string(read.problems.back()), "bad.yaml:56:3: 950 more problems follow in this document");
}

TEST(Manifests, SurviveLongNamesHighUp) {
  std::string text = "{";
  for (int i = 0; i < 90; ++i) text += "\"" + std::string(1000, static_cast<char>('a' + i % 26)) + "\":{";
  for (int i = 0; i < 50'000; ++i) text += fmt::format("{}\"{}\":1", i == 0 ? "" : ",", i);
  text += std::string(91, '}');
  const auto read = read_manifests(text, "x.json");
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_LT((*read)[0].marks.size(), 10u) << "places are kept for what people write, not for this";
}

TEST(Manifests, SurviveRandomDamage) {
  const std::string good =
      policy(std::string(kSource) +
             "  schedule: {cron: '@daily', timeZone: Europe/London} # text\n  suspend: &a false\n  x: *a\n");
  std::uint32_t seed = 20261122;
  const auto random = [&](std::size_t below) {
    seed = seed * 1664525u + 1013904223u;
    return static_cast<std::size_t>(seed >> 8) % below;
  };
  constexpr std::string_view kBytes = "{}[]:,-?&*!|>'\"%@`# \t\n~<0\\\xc3";
  for (int round = 0; round < 1000; ++round) {
    std::string text = good;
    for (std::size_t changes = 1 + random(4); changes > 0; --changes) {
      const std::size_t at = random(text.size());
      if (random(3) == 0)
        text.erase(at, 1 + random(3));
      else
        text.insert(at, 1, kBytes[random(kBytes.size())]);
    }
    const ManifestFile read = validate_manifests(text, "bad.yaml", builtin());
    for (const Diagnostic& problem : read.problems) EXPECT_FALSE(problem.message.empty()) << text;
  }
}

TEST(Manifests, OfTheExamplesAreGood) {
  std::size_t objects = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(ROADSTEAD_SOURCE_DIR "/examples")) {
    if (entry.path().extension() != ".yaml") continue;
    std::ifstream stream(entry.path());
    std::stringstream text;
    text << stream.rdbuf();
    const ManifestFile read = validate_manifests(text.str(), entry.path().string(), builtin());
    for (const Diagnostic& problem : read.problems) ADD_FAILURE() << to_string(problem);
    objects += read.objects.size();
  }
  EXPECT_GE(objects, 6u);
}

struct Scalar {
  const char* written;
  const char* json;
};

TEST(Scalars, MeanWhatKubernetesTakesThemFor) {
  for (const Scalar& s : {Scalar{"y", "true"},
                          Scalar{"Yes", "true"},
                          Scalar{"on", "true"},
                          Scalar{"TRUE", "true"},
                          Scalar{"n", "false"},
                          Scalar{"Off", "false"},
                          Scalar{"~", "null"},
                          Scalar{"NULL", "null"},
                          Scalar{"nul", "\"nul\""},
                          Scalar{"tRue", "\"tRue\""},
                          Scalar{"12", "12"},
                          Scalar{"-12", "-12"},
                          Scalar{"+12", "12"},
                          Scalar{"012", "10"},
                          Scalar{"08", "8.0"},
                          Scalar{"0x1F", "31"},
                          Scalar{"0o17", "15"},
                          Scalar{"0b101", "5"},
                          Scalar{"-0b101", "-5"},
                          Scalar{"1_000", "1000"},
                          Scalar{"0", "0"},
                          Scalar{"1.5", "1.5"},
                          Scalar{".5", "0.5"},
                          Scalar{"1.", "1.0"},
                          Scalar{"1e3", "1000.0"},
                          Scalar{"1e", "\"1e\""},
                          Scalar{"1:30", "\"1:30\""},
                          Scalar{"2024-01-01", "\"2024-01-01\""},
                          Scalar{"-", "\"-\""},
                          Scalar{"...x", "\"...x\""},
                          Scalar{"1.2.3", "\"1.2.3\""},
                          Scalar{"9223372036854775807", "9223372036854775807"},
                          Scalar{"-9223372036854775808", "-9223372036854775808"},
                          Scalar{"18446744073709551615", "18446744073709551615"},
                          Scalar{"18446744073709551616", "1.8446744073709552e+19"},
                          Scalar{"0x", "\"0x\""},
                          Scalar{"_1", "\"_1\""}}) {
    const auto value = plain_scalar(s.written);
    ASSERT_TRUE(value) << s.written;
    EXPECT_EQ(value->dump(), s.json) << s.written;
  }
  EXPECT_FALSE(plain_scalar("-.Inf"));
  EXPECT_FALSE(plain_scalar("1e999"));
}

TEST(Scalars, StayStringsWhenTheyAreQuoted) {
  const auto read = read_manifests(
      "a: \"yes\"\nb: '12'\nc: !!str 12\nd: |\n  true\ne: >-\n  1\n1: x\ntrue: 'y'\n\"2\": z\n", "x.yaml");
  ASSERT_TRUE(read) << to_string(read.error());
  EXPECT_EQ((*read)[0].value,
            Json::parse(R"({"a":"yes","b":"12","c":"12","d":"true\n","e":"1","1":"x","true":"y","2":"z"})"));
}

}  // namespace
}  // namespace roadstead::crds
