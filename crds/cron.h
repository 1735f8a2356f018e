#pragma once

#include <bitset>
#include <optional>
#include <string_view>

#include "operator/base/clock.h"
#include "operator/base/result.h"

namespace date {
class time_zone;
}

namespace roadstead::crds {

using TimeZone = date::time_zone;

/// The zone of an IANA name such as "Europe/London"; it lives as long as the program.
/// Errors: Invalid (no such zone), Unavailable (the machine has no time zone data).
[[nodiscard]] Result<const TimeZone*> find_zone(std::string_view name);

/// An instant as the calendar and the clock of a zone show it.
struct CalendarTime {
  int year = 0;
  unsigned month = 0, day = 0, hour = 0;
  int utc_offset_minutes = 0;  ///< Tells the two hours apart that a clock change makes of one.
  int week_year = 0;           ///< ISO 8601: the year that most of the week is in; weeks begin on Monday.
  unsigned week = 0;
  auto operator<=>(const CalendarTime&) const = default;
};
[[nodiscard]] CalendarTime calendar_time(Time at, const TimeZone& zone);

/// Five fields (minute, hour, day of month, month, day of week) with lists, ranges, steps and English names, or
/// @hourly,
/// @daily, @midnight, @weekly, @monthly, @yearly, @annually. As in Vixie's cron, a day matches if either of the two day
/// fields does, once neither begins with `*`.
class Cron {
 public:
  /// Errors: Invalid, naming the field and what may stand there.
  [[nodiscard]] static Result<Cron> parse(std::string_view text);

  /// The first scheduled instant later than `after`. A local time that a clock change skips counts as the first instant
  /// after the gap; one that it repeats counts once, the first time. Nothing if none comes within nine years, which
  /// covers every 29 February.
  [[nodiscard]] std::optional<Time> next_after(Time after, const TimeZone& zone) const;

  /// Whether a local minute matches. `month` 1 to 12, `weekday` 0 (Sunday) to 6.
  [[nodiscard]] bool matches(unsigned minute, unsigned hour, unsigned day, unsigned month, unsigned weekday) const;

 private:
  [[nodiscard]] bool matches_day(unsigned day, unsigned month, unsigned weekday) const;

  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool any_day_ = false;      // the field begins with *
  bool any_weekday_ = false;  // likewise
};

}  // namespace roadstead::crds
