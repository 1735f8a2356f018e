#include "operator/cli/yaml_output.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crds/yaml/reader.h"

namespace roadstead::cli {
namespace {

using nlohmann::json;

// What is written reads back as the same value, also where a YAML 1.1 reader would take a text for something else.
TEST(YamlOutput, ReadsBackAsTheSame) {
  const json value{
      {"words",
       {"yes",
        "no",
        "on",
        "null",
        "~",
        "",
        " ",
        "a b",
        " a",
        "a ",
        "1",
        "012",
        "0x1f",
        "1.5",
        "1e3",
        ".inf",
        "1:30",
        "2024-01-01",
        "2026-11-22T09:41:07Z",
        "true",
        "True",
        "-",
        "- a",
        "-a",
        "?",
        "a: b",
        "a:b",
        "a #b",
        "#a",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "'a'",
        "\"a\"",
        "{a}",
        "[a]",
        "a,b",
        "%a",
        "@a",
        "`a",
        "ä",
        "unix:///var/run/docker.sock",
        "ssh://u@h:22/x",
        "a\tb",
        "a\\b",
        "0 1 * * *",
        "<<",
        "=",
        "select max(t) > now() - interval '7 days'"}},
      {"texts",
       {"one\ntwo", "one\ntwo\n", "one\n\ntwo\n", " lead\nb", "trail \nb", "a\n\n\nb", "\n", "a\n\n", "a\r\nb"}},
      {"numbers", {0, -1, 1.5, 18446744073709551615u, true, false, nullptr}},
      {"empty", {{"list", json::array()}, {"map", json::object()}}},
      {"nested", {{{"name", "a"}, {"list", {{1, 2}, {3}}}}, {{"name", "b"}, {"map", {{"k", {{"k", "v"}}}}}}}},
      {"odd keys", {{"yes", 1}, {"a b", 2}, {"a: b", 3}, {"1", 4}, {"", 5}}}};
  const std::string text = to_yaml(value);
  const auto read = crds::read_manifests(text, "test");
  ASSERT_TRUE(read) << to_string(read.error()) << "\n" << text;
  EXPECT_EQ(read->front().value, value) << text;
}

// It looks as kubectl's output does: keys in order, lists not indented, quotes only where they are needed.
TEST(YamlOutput, LooksAsPeopleWriteIt) {
  const json value{{"kind", "Host"},
                   {"metadata", {{"name", "uat"}, {"labels", json::object()}}},
                   {"spec", {{"list", {{{"name", "a"}, {"on", "yes"}}, {{"name", "b"}}}}, {"words", {"x", "1"}}}}};
  EXPECT_EQ(to_yaml(value),
            "kind: Host\n"
            "metadata:\n"
            "  labels: {}\n"
            "  name: uat\n"
            "spec:\n"
            "  list:\n"
            "  - name: a\n"
            "    \"on\": \"yes\"\n"
            "  - name: b\n"
            "  words:\n"
            "  - x\n"
            "  - \"1\"\n");
}

}  // namespace
}  // namespace roadstead::cli
