#pragma once

#include <iosfwd>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace roadstead::cli {

/// Rows in columns as kubectl pads them: three blanks between, at least six wide, the last not padded. Widths only
/// grow, so that rows which come later stand under the first.
class ColumnWriter {
 public:
  void write(std::ostream& out, const std::vector<std::vector<std::string>>& rows);

 private:
  std::vector<std::size_t> widths_;
};

/// Prints the server's Tables.
class TablePrinter {
 public:
  /// `wide`: also columns of a priority above 0. `with_namespace`: a first column NAMESPACE.
  TablePrinter(std::ostream& out, bool wide, bool with_namespace, bool headers)
      : out_(out), wide_(wide), with_namespace_(with_namespace), headers_(headers) {}

  /// The header comes before the first row ever printed. Remembers the columns for tables that name none.
  void print(const nlohmann::json& table);

 private:
  std::vector<std::string> header() const;
  std::vector<std::string> row_of(const nlohmann::json& row) const;

  struct Column {
    std::string name;
    bool shown;
  };
  std::ostream& out_;
  const bool wide_;
  const bool with_namespace_;
  bool headers_;
  std::vector<Column> columns_;
  ColumnWriter writer_;
};

}  // namespace roadstead::cli
