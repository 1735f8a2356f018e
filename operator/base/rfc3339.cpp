#include "operator/base/rfc3339.h"

#include <charconv>

namespace roadstead {
namespace {

struct Civil {
  std::chrono::year_month_day day;
  std::chrono::hh_mm_ss<Millis> time;
};

Civil civil(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  return {std::chrono::year_month_day{day}, std::chrono::hh_mm_ss<Millis>{time - day}};
}

std::string date_and_seconds(const Civil& c) {
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(c.day.year()),
                     static_cast<unsigned>(c.day.month()), static_cast<unsigned>(c.day.day()), c.time.hours().count(),
                     c.time.minutes().count(), c.time.seconds().count());
}

/// Reads exactly `digits` decimal digits from the front of `text`; -1 where they are not there.
int take_number(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return -1;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value);
  if (error != std::errc{} || end != text.data() + digits || text[0] == '-') return -1;
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || (text[0] != wanted && text[0] != wanted + ('a' - 'A'))) return false;
  text.remove_prefix(1);
  return true;
}

/// ".123456" → 123 ms; false where a dot has no digit behind it.
bool take_fraction(std::string_view& text, Millis& millis) {
  if (text.empty() || text[0] != '.') return true;
  text.remove_prefix(1);
  int scale = 100;
  std::size_t digits = 0;
  while (!text.empty() && text[0] >= '0' && text[0] <= '9') {
    millis += Millis{(text[0] - '0') * scale};
    scale /= 10;
    ++digits;
    text.remove_prefix(1);
  }
  return digits > 0;
}

bool take_offset(std::string_view& text, std::chrono::minutes& offset) {
  if (take(text, 'Z')) return true;
  if (text.empty() || (text[0] != '+' && text[0] != '-')) return false;
  const int sign = text[0] == '-' ? -1 : 1;
  text.remove_prefix(1);
  const int hours = take_number(text, 2);
  if (hours < 0 || hours > 23 || text.empty() || text[0] != ':') return false;
  text.remove_prefix(1);
  const int minutes = take_number(text, 2);
  if (minutes < 0 || minutes > 59) return false;
  offset = std::chrono::minutes{sign * (hours * 60 + minutes)};
  return true;
}

}  // namespace

std::string format_rfc3339(Time time) { return date_and_seconds(civil(time)) + "Z"; }

std::string format_rfc3339_millis(Time time) {
  const Civil c = civil(time);
  return fmt::format("{}.{:03}Z", date_and_seconds(c), c.time.subseconds().count());
}

Result<Time> parse_rfc3339(std::string_view text) {
  const std::string_view whole = text;
  const auto bad = [&] {
    return fail(ErrorKind::Invalid, "\"{}\" is no RFC 3339 time such as 2026-11-22T09:41:07Z", whole);
  };
  const auto skip = [&](char c) {
    if (text.empty() || text[0] != c) return false;
    text.remove_prefix(1);
    return true;
  };
  const int year = take_number(text, 4);
  if (year < 0 || !skip('-')) return bad();
  const int month = take_number(text, 2);
  if (month < 0 || !skip('-')) return bad();
  const int day = take_number(text, 2);
  if (day < 0 || !take(text, 'T')) return bad();
  const int hour = take_number(text, 2);
  if (hour < 0 || hour > 23 || !skip(':')) return bad();
  const int minute = take_number(text, 2);
  if (minute < 0 || minute > 59 || !skip(':')) return bad();
  const int second = take_number(text, 2);
  if (second < 0 || second > 60) return bad();
  Millis millis{0};
  std::chrono::minutes offset{0};
  if (!take_fraction(text, millis) || !take_offset(text, offset) || !text.empty()) return bad();
  const std::chrono::year_month_day date{std::chrono::year{year}, std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return bad();
  return Time{std::chrono::sys_days{date}} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
         std::chrono::seconds{second} + millis - offset;
}

}  // namespace roadstead
