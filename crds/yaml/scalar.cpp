#include "crds/yaml/scalar.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

namespace roadstead::crds {
namespace {

using Json = nlohmann::json;

constexpr std::array<std::string_view, 11> kTrue{"y",    "Y",    "yes", "Yes", "YES", "true",
                                                 "True", "TRUE", "on",  "On",  "ON"};
constexpr std::array<std::string_view, 11> kFalse{"n",     "N",     "no",  "No",  "NO", "false",
                                                  "False", "FALSE", "off", "Off", "OFF"};
constexpr std::array<std::string_view, 5> kNull{"", "~", "null", "Null", "NULL"};
constexpr std::array<std::string_view, 15> kNotJson{".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                                    "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                                    ".NaN",  ".NAN",  "+.nan", "+.NaN", "+.NAN"};

template <std::size_t N>
bool among(const std::array<std::string_view, N>& words, std::string_view text) {
  return std::ranges::find(words, text) != words.end();
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Takes a prefix such as 0x in either case.
bool take_prefix(std::string_view& digits, char letter) {
  if (digits.size() < 2 || digits[0] != '0' || (digits[1] != letter && digits[1] != letter - ('a' - 'A'))) return false;
  digits.remove_prefix(2);
  return true;
}

/// A whole number with sign and base prefix, where it fits 64 bits.
std::optional<Json> whole_number(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  if (take_prefix(text, 'x')) {
    base = 16;
  } else if (take_prefix(text, 'o')) {
    base = 8;
  } else if (take_prefix(text, 'b')) {
    base = 2;
  } else if (text.size() > 1 && text[0] == '0') {
    base = 8;
    text.remove_prefix(1);
  }
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  constexpr auto kMax = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (!negative) return value <= kMax ? Json(static_cast<std::int64_t>(value)) : Json(value);
  if (value > kMax + 1) return std::nullopt;
  return Json(static_cast<std::int64_t>(~value + 1));
}

/// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool looks_like_float(std::string_view text) {
  std::size_t at = 0;
  const auto digits = [&] {
    const std::size_t begin = at;
    while (at < text.size() && is_digit(text[at])) ++at;
    return at - begin;
  };
  if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
  const std::size_t before = digits();
  if (at < text.size() && text[at] == '.') {
    ++at;
    if (digits() == 0 && before == 0) return false;
  } else if (before == 0) {
    return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '-' || text[at] == '+')) ++at;
    if (digits() == 0) return false;
  }
  return at == text.size();
}

}  // namespace

tl::expected<Json, std::string> plain_scalar(std::string_view text) {
  if (among(kNull, text)) return Json(nullptr);
  if (among(kTrue, text)) return Json(true);
  if (among(kFalse, text)) return Json(false);
  if (among(kNotJson, text)) return tl::unexpected(fmt::format("{} is a number that JSON does not have", text));
  const char first = text[0];
  if (!is_digit(first) && first != '-' && first != '+' && first != '.') return Json(text);
  std::string digits(text);
  std::erase(digits, '_');
  if (auto number = whole_number(digits)) return *number;
  if (!looks_like_float(digits)) return Json(text);
  std::string_view number = digits;
  if (number.starts_with('+')) number.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  if (error != std::errc{} || end != number.data() + number.size() || !std::isfinite(value))
    return tl::unexpected(fmt::format("{} is too large or too small a number", text));
  return Json(value);
}

}  // namespace roadstead::crds
