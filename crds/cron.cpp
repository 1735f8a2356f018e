#include "crds/cron.h"

#include <date/iso_week.h>
#include <date/tz.h>

#include <array>
#include <charconv>
#include <exception>
#include <span>
#include <string>
#include <vector>

#include "operator/base/text.h"

namespace roadstead::crds {
namespace {

using Bits = std::bitset<64>;

struct Field {
  std::string_view name;
  unsigned low;
  unsigned high;
  std::span<const std::string_view> names;  ///< names[i] stands for low + i
};

constexpr std::array<std::string_view, 12> kMonths{"jan", "feb", "mar", "apr", "may", "jun",
                                                   "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays{"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
const std::array<Field, 5> kFields{{{"minute", 0, 59, {}},
                                    {"hour", 0, 23, {}},
                                    {"day of month", 1, 31, {}},
                                    {"month", 1, 12, kMonths},
                                    {"day of week", 0, 7, kWeekdays}}};  // 7 is Sunday as well

struct Shortcut {
  std::string_view name;
  std::string_view fields;
};
constexpr std::array<Shortcut, 7> kShortcuts{{{"@hourly", "0 * * * *"},
                                              {"@daily", "0 0 * * *"},
                                              {"@midnight", "0 0 * * *"},
                                              {"@weekly", "0 0 * * 0"},
                                              {"@monthly", "0 0 1 * *"},
                                              {"@yearly", "0 0 1 1 *"},
                                              {"@annually", "0 0 1 1 *"}}};

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> out;
  constexpr std::string_view kBlanks = " \t";
  for (std::size_t at = text.find_first_not_of(kBlanks); at != text.npos;) {
    const std::size_t end = std::min(text.find_first_of(kBlanks, at), text.size());
    out.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(kBlanks, end);
  }
  return out;
}

std::optional<unsigned> number_of(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<unsigned> value_of(std::string_view text, const Field& field) {
  const std::string word = lower(text);
  for (std::size_t i = 0; i < field.names.size(); ++i)
    if (field.names[i] == word) return field.low + static_cast<unsigned>(i);
  const auto number = number_of(text);
  if (!number || *number < field.low || *number > field.high)
    return fail(ErrorKind::Invalid, "{} \"{}\" is not between {} and {}", field.name, text, field.low, field.high);
  return *number;
}

/// One part between commas: `*`, `7`, `1-5`, each of * and the range with `/step`.
Result<void> add_part(std::string_view part, const Field& field, Bits& bits) {
  const std::size_t slash = part.find('/');
  const std::string_view range = part.substr(0, slash);
  const std::size_t dash = range.find('-');
  unsigned first = field.low, last = field.high;
  if (range != "*") {
    const auto from = value_of(range.substr(0, dash), field);
    if (!from) return tl::unexpected(from.error());
    const auto to = dash == range.npos ? from : value_of(range.substr(dash + 1), field);
    if (!to) return tl::unexpected(to.error());
    if (*to < *from) return fail(ErrorKind::Invalid, "{} \"{}\" is a range that goes backwards", field.name, part);
    first = *from;
    last = *to;
  }
  unsigned step = 1;
  if (slash != part.npos) {
    const auto number = number_of(part.substr(slash + 1));
    if (!number || *number == 0 || *number > field.high)
      return fail(ErrorKind::Invalid, "{} \"{}\" has a step that is not between 1 and {}", field.name, part,
                  field.high);
    if (range != "*" && dash == range.npos)
      return fail(ErrorKind::Invalid, "{} \"{}\" has a step without a range, write {}-{}/{}", field.name, part, range,
                  field.high, *number);
    step = *number;
  }
  for (unsigned value = first; value <= last; value += step) bits.set(value);
  return {};
}

Result<Bits> bits_of(std::string_view text, const Field& field) {
  Bits bits;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    if (auto added = add_part(text.substr(begin, end - begin), field, bits); !added)
      return tl::unexpected(added.error());
    begin = end + 1;
  }
  return bits;
}

template <std::size_t N>
void assign(std::bitset<N>& to, const Bits& from) {
  for (std::size_t i = 0; i < N; ++i) to[i] = from[i];
}

/// When the local minute `local` is due in UTC.
Time instant_of(date::local_time<std::chrono::minutes> local, const TimeZone& zone) {
  const date::local_info info = zone.get_info(date::local_seconds{local});
  // Skipped: the second of the two periods begins right after the gap. Repeated: the first of them is the earlier.
  if (info.result == date::local_info::nonexistent) return Time{info.second.begin};
  return Time{date::sys_seconds{local.time_since_epoch()} - info.first.offset};
}

}  // namespace

Result<const TimeZone*> find_zone(std::string_view name) {
  try {
    date::get_tzdb();
  } catch (const std::exception&) {
    return fail(ErrorKind::Unavailable, "time zone \"{}\": this machine has no time zone data, install tzdata", name);
  }
  try {
    return date::locate_zone(name);
  } catch (const std::exception&) {
    return fail(ErrorKind::Invalid, "\"{}\" is not the name of a time zone such as Europe/London or UTC", name);
  }
}

Result<Cron> Cron::parse(std::string_view text) {
  if (text.size() > 1024) return fail(ErrorKind::Invalid, "a schedule of {} bytes is too long", text.size());
  std::vector<std::string_view> words = words_of(text);
  if (words.size() == 1 && words[0].starts_with('@')) {
    const std::string name = lower(words[0]);
    for (const Shortcut& shortcut : kShortcuts)
      if (shortcut.name == name) return parse(shortcut.fields);
    return fail(ErrorKind::Invalid, "\"{}\" is none of @hourly, @daily, @weekly, @monthly, @yearly", words[0]);
  }
  if (!words.empty() && words[0].find('=') != std::string_view::npos)
    return fail(ErrorKind::Invalid, "\"{}\" does not belong into the schedule, set timeZone instead", words[0]);
  if (words.size() != kFields.size())
    return fail(ErrorKind::Invalid,
                "\"{}\" has {} fields, five are wanted: minute, hour, day of month, month, day of week", text,
                words.size());
  std::array<Bits, kFields.size()> bits;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    auto parsed = bits_of(words[i], kFields[i]);
    if (!parsed) return tl::unexpected(parsed.error());
    bits[i] = *parsed;
  }
  if (bits[4][7]) bits[4].set(0);
  Cron cron;
  assign(cron.minutes_, bits[0]);
  assign(cron.hours_, bits[1]);
  assign(cron.days_, bits[2]);
  assign(cron.months_, bits[3]);
  assign(cron.weekdays_, bits[4]);
  cron.any_day_ = words[2].starts_with('*');
  cron.any_weekday_ = words[4].starts_with('*');
  return cron;
}

bool Cron::matches_day(unsigned day, unsigned month, unsigned weekday) const {
  if (!months_[month]) return false;
  if (any_day_ || any_weekday_) return days_[day] && weekdays_[weekday];
  return days_[day] || weekdays_[weekday];
}

bool Cron::matches(unsigned minute, unsigned hour, unsigned day, unsigned month, unsigned weekday) const {
  return minutes_[minute] && hours_[hour] && matches_day(day, month, weekday);
}

CalendarTime calendar_time(Time at, const TimeZone& zone) {
  const auto second = date::floor<std::chrono::seconds>(at);
  const auto offset = zone.get_info(second).offset;
  // The zone's clock read as if it were UTC's, which is what a calendar is counted in.
  const auto shown = second + offset;
  const auto day = date::floor<date::days>(shown);
  const date::year_month_day ymd{day};
  const iso_week::year_weeknum_weekday week{day};
  return {static_cast<int>(ymd.year()),
          static_cast<unsigned>(ymd.month()),
          static_cast<unsigned>(ymd.day()),
          static_cast<unsigned>(date::floor<std::chrono::hours>(shown - day).count()),
          static_cast<int>(date::floor<std::chrono::minutes>(offset).count()),
          static_cast<int>(week.year()),
          static_cast<unsigned>(week.weeknum())};
}

std::optional<Time> Cron::next_after(Time after, const TimeZone& zone) const {
  constexpr date::days kHorizon{9 * 366};
  const auto start = date::floor<std::chrono::minutes>(zone.to_local(date::floor<std::chrono::seconds>(after)));
  // Due instants never go backwards as local time goes forward, so the first local minute that is due later than
  // `after` is the answer, and no minute before `start` can be.
  const date::local_days first_day = date::floor<date::days>(start);
  for (date::local_days day = first_day; day <= first_day + kHorizon; day += date::days{1}) {
    const date::year_month_day ymd{day};
    const unsigned weekday = date::weekday{day}.c_encoding();
    if (!matches_day(static_cast<unsigned>(ymd.day()), static_cast<unsigned>(ymd.month()), weekday)) continue;
    for (unsigned hour = 0; hour < hours_.size(); ++hour) {
      if (!hours_[hour]) continue;
      for (unsigned minute = 0; minute < minutes_.size(); ++minute) {
        if (!minutes_[minute]) continue;
        const auto local = day + std::chrono::hours{hour} + std::chrono::minutes{minute};
        if (local < start) continue;
        if (const Time due = instant_of(local, zone); due > after) return due;
      }
    }
  }
  return std::nullopt;
}

}  // namespace roadstead::crds
