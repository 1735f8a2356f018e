#include "operator/cli/table_printer.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

namespace roadstead::cli {
namespace {

using nlohmann::json;

json table(const json& rows) {
  json made{{"columnDefinitions",
             {{{"name", "Name"}, {"priority", 0}},
              {{"name", "Progress"}, {"priority", 0}},
              {{"name", "Note"}, {"priority", 1}},
              {{"name", "Age"}, {"priority", 0}}}},
            {"rows", json::array()}};
  for (const json& cells : rows)
    made["rows"].push_back({{"cells", cells}, {"object", {{"metadata", {{"namespace", "default"}}}}}});
  return made;
}

std::string printed(const json& what, bool wide, bool with_namespace) {
  std::ostringstream out;
  TablePrinter(out, wide, with_namespace, true).print(what);
  return out.str();
}

// Columns are padded as kubectl pads them; a null is blank; what is only for wide output is left out.
TEST(TablePrinterTest, PadsAsKubectlDoes) {
  const json rows{{"uat-november", "61%", "x", "4m"}, {"b", nullptr, nullptr, "2d"}};
  EXPECT_EQ(printed(table(rows), false, false),
            "NAME           PROGRESS   AGE\n"
            "uat-november   61%        4m\n"
            "b                         2d\n");
  EXPECT_EQ(printed(table(rows), true, true),
            "NAMESPACE   NAME           PROGRESS   NOTE   AGE\n"
            "default     uat-november   61%        x      4m\n"
            "default     b                                2d\n");
}

// Characters count, not bytes; a cell of several lines is cut at the first.
TEST(TablePrinterTest, CountsCharactersAndCutsLines) {
  EXPECT_EQ(printed(table({{"bäckup", "one\ntwo", nullptr, 5}, {"plain1", "x", nullptr, true}}), false, false),
            "NAME     PROGRESS   AGE\n"
            "bäckup   one...     5\n"
            "plain1   x          true\n");
}

// Rows that come later stand under the first, without the header again.
TEST(TablePrinterTest, RemembersWidthsAndColumns) {
  std::ostringstream out;
  TablePrinter printer(out, false, false, true);
  printer.print(table({{"uat-november", "1%", nullptr, "4m"}}));
  json later = table({{"b", "100%", nullptr, "5m"}});
  later.erase("columnDefinitions");
  printer.print(later);
  EXPECT_EQ(out.str(),
            "NAME           PROGRESS   AGE\n"
            "uat-november   1%         4m\n"
            "b              100%       5m\n");
}

}  // namespace
}  // namespace roadstead::cli
