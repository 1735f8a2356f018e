#include "operator/cli/table_printer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

namespace roadstead::cli {
namespace {

using nlohmann::json;

constexpr std::size_t kNarrowest = 6;
constexpr std::size_t kBetween = 3;

/// In characters, not bytes.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string upper(std::string text) {
  for (char& c : text)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return text;
}

/// One line of text: a cell is cut at its first line break.
std::string cell_text(const json& cell) {
  if (cell.is_null()) return {};
  if (!cell.is_string()) return cell.dump();
  const std::string text = cell;
  const std::size_t end = text.find_first_of("\f\n\r");
  return end == std::string::npos ? text : text.substr(0, end) + "...";
}

}  // namespace

void ColumnWriter::write(std::ostream& out, const std::vector<std::vector<std::string>>& rows) {
  for (const auto& row : rows) {
    if (row.size() > widths_.size()) widths_.resize(row.size(), kNarrowest);
    for (std::size_t i = 0; i + 1 < row.size(); ++i) widths_[i] = std::max(widths_[i], width_of(row[i]) + kBetween);
  }
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths_[i] - width_of(row[i]), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out << line << "\n";
  }
  out.flush();
}

std::vector<std::string> TablePrinter::header() const {
  std::vector<std::string> names;
  if (with_namespace_) names.emplace_back("NAMESPACE");
  for (const Column& column : columns_)
    if (column.shown) names.push_back(upper(column.name));
  return names;
}

std::vector<std::string> TablePrinter::row_of(const json& row) const {
  std::vector<std::string> cells;
  if (with_namespace_) cells.push_back(cell_text(row.value(json::json_pointer("/object/metadata/namespace"), json())));
  const json& values = row.at("cells");
  for (std::size_t i = 0; i < columns_.size(); ++i)
    if (columns_[i].shown) cells.push_back(i < values.size() ? cell_text(values[i]) : std::string());
  return cells;
}

void TablePrinter::print(const json& table) {
  if (table.contains("columnDefinitions") && !table["columnDefinitions"].empty()) {
    columns_.clear();
    for (const json& column : table["columnDefinitions"])
      columns_.push_back({column.value("name", ""), wide_ || column.value("priority", 0) == 0});
  }
  std::vector<std::vector<std::string>> rows;
  for (const json& row : table.value("rows", json::array())) rows.push_back(row_of(row));
  if (rows.empty()) return;
  if (headers_) rows.insert(rows.begin(), header());
  headers_ = false;
  writer_.write(out_, rows);
}

}  // namespace roadstead::cli
