// Schedules: what is understood, what is refused and how, and when they are due, around clock changes above all.
#include "crds/cron.h"

#include <date/tz.h>

#include <optional>

#include "support.h"

namespace roadstead::crds {
namespace {

using testing::at;

std::string next(const char* cron, const char* after, const char* zone = "UTC") {
  const auto parsed = Cron::parse(cron);
  if (!parsed) return parsed.error().message;
  const auto due = parsed->next_after(at(after), **find_zone(zone));
  return due ? format_rfc3339(*due) : "never";
}

TEST(Cron, KnowsListsRangesStepsAndNames) {
  EXPECT_EQ(next("*/20 * * * *", "2026-11-22T09:41:07Z"), "2026-11-22T10:00:00Z");
  EXPECT_EQ(next("5,50-52 * * * *", "2026-11-22T09:50:00Z"), "2026-11-22T09:51:00Z");
  EXPECT_EQ(next("0 8-18/5 * * *", "2026-11-22T09:00:00Z"), "2026-11-22T13:00:00Z");
  EXPECT_EQ(next("0 0 1 JAN-mar *", "2026-11-22T09:00:00Z"), "2027-01-01T00:00:00Z");
  EXPECT_EQ(next("0 0 * * sun", "2026-11-22T09:00:00Z"), "2026-11-29T00:00:00Z");
  EXPECT_EQ(next("0 0 * * 7", "2026-11-22T09:00:00Z"), "2026-11-29T00:00:00Z");
  EXPECT_EQ(next("@monthly", "2026-11-22T09:00:00Z"), "2026-12-01T00:00:00Z");
  EXPECT_EQ(next("@Hourly", "2026-11-22T09:00:00Z"), "2026-11-22T10:00:00Z");
  EXPECT_EQ(next("\t0  0 1 1 *  ", "2026-11-22T09:00:00Z"), "2027-01-01T00:00:00Z");
}

TEST(Cron, TakesEitherDayFieldWhenNeitherIsAStar) {
  EXPECT_EQ(next("0 0 13 * fri", "2026-11-22T09:00:00Z"), "2026-11-27T00:00:00Z");  // a Friday
  EXPECT_EQ(next("0 0 13 * fri", "2026-12-11T00:00:00Z"), "2026-12-13T00:00:00Z");  // the 13th, a Sunday
  EXPECT_EQ(next("0 0 */2 * sun", "2026-11-22T09:00:00Z"),
            "2026-11-29T00:00:00Z");  // both: an odd day that is a Sunday
}

TEST(Cron, IsLaterThanTheTimeGiven) {
  EXPECT_EQ(next("0 0 * * *", "2026-11-22T00:00:00Z"), "2026-11-23T00:00:00Z");
  EXPECT_EQ(next("0 0 * * *", "2026-11-21T23:59:59.999Z"), "2026-11-22T00:00:00Z");
}

TEST(Cron, EndsItsSearch) {
  EXPECT_EQ(next("0 0 31 2 *", "2026-11-22T00:00:00Z"), "never");
  EXPECT_EQ(next("0 0 29 2 *", "2026-11-22T00:00:00Z"), "2028-02-29T00:00:00Z");
  EXPECT_EQ(next("0 0 29 2 *", "2096-03-01T00:00:00Z"), "2104-02-29T00:00:00Z");
}

TEST(Cron, RefusesWithTheFieldAndWhatMayStandThere) {
  EXPECT_EQ(next("0 0 * *", "2026-11-22T00:00:00Z"),
            "\"0 0 * *\" has 4 fields, five are wanted: minute, hour, day of month, month, day of week");
  EXPECT_EQ(next("60 0 * * *", "2026-11-22T00:00:00Z"), "minute \"60\" is not between 0 and 59");
  EXPECT_EQ(next("0 0 0 * *", "2026-11-22T00:00:00Z"), "day of month \"0\" is not between 1 and 31");
  EXPECT_EQ(next("0 0 * dez *", "2026-11-22T00:00:00Z"), "month \"dez\" is not between 1 and 12");
  EXPECT_EQ(next("0 0 * * 8", "2026-11-22T00:00:00Z"), "day of week \"8\" is not between 0 and 7");
  EXPECT_EQ(next("5-1 0 * * *", "2026-11-22T00:00:00Z"), "minute \"5-1\" is a range that goes backwards");
  EXPECT_EQ(next("*/0 0 * * *", "2026-11-22T00:00:00Z"), "minute \"*/0\" has a step that is not between 1 and 59");
  EXPECT_EQ(next("5/15 0 * * *", "2026-11-22T00:00:00Z"), "minute \"5/15\" has a step without a range, write 5-59/15");
  EXPECT_EQ(next("1,,2 0 * * *", "2026-11-22T00:00:00Z"), "minute \"\" is not between 0 and 59");
  EXPECT_EQ(next("1,2, 0 * * *", "2026-11-22T00:00:00Z"), "minute \"\" is not between 0 and 59");
  EXPECT_EQ(next("-1 0 * * *", "2026-11-22T00:00:00Z"), "minute \"\" is not between 0 and 59");
  EXPECT_EQ(next("@reboot", "2026-11-22T00:00:00Z"),
            "\"@reboot\" is none of @hourly, @daily, @weekly, @monthly, @yearly");
  EXPECT_EQ(next("CRON_TZ=UTC 0 0 * * *", "2026-11-22T00:00:00Z"),
            "\"CRON_TZ=UTC\" does not belong into the schedule, set timeZone instead");
  EXPECT_FALSE(Cron::parse(""));
  EXPECT_FALSE(Cron::parse(std::string(100000, '*')));
}

TEST(Zones, AreFoundByName) {
  EXPECT_TRUE(find_zone("Europe/London"));
  EXPECT_TRUE(find_zone("UTC"));
  EXPECT_EQ(find_zone("Europe/Lundon").error().kind, ErrorKind::Invalid);
  EXPECT_FALSE(find_zone("../../etc/passwd"));
  EXPECT_FALSE(find_zone(""));
}

TEST(ClockChange, SkippedTimeRunsRightAfterTheGap) {
  // London, 2026-03-29: 01:00 GMT becomes 02:00 BST.
  EXPECT_EQ(next("30 1 * * *", "2026-03-29T00:00:00Z", "Europe/London"), "2026-03-29T01:00:00Z");
  EXPECT_EQ(next("30 1 * * *", "2026-03-29T01:00:00Z", "Europe/London"), "2026-03-30T00:30:00Z");
}

TEST(ClockChange, RepeatedTimeRunsOnceTheFirstTime) {
  // London, 2026-10-25: 02:00 BST becomes 01:00 GMT.
  EXPECT_EQ(next("30 1 * * *", "2026-10-25T00:00:00Z", "Europe/London"), "2026-10-25T00:30:00Z");
  EXPECT_EQ(next("30 1 * * *", "2026-10-25T00:30:00Z", "Europe/London"), "2026-10-26T01:30:00Z");
  EXPECT_EQ(next("30 1 * * *", "2026-10-25T01:10:00Z", "Europe/London"), "2026-10-26T01:30:00Z");
}

/// The schedule by its definition, minute by minute: slow and plain.
class Naive {
 public:
  Naive(const Cron& cron, const TimeZone& zone) : cron_(cron), zone_(zone) {}

  /// Whether the minute that begins at `utc` is due.
  bool due(date::sys_time<std::chrono::minutes> utc) const {
    const auto local = local_of(utc);
    const auto before = local_of(utc - std::chrono::minutes{1});
    if (matches(local) && !was_there_before(utc, local)) return true;
    for (auto skipped = before + std::chrono::minutes{1}; skipped < local; skipped += std::chrono::minutes{1})
      if (matches(skipped)) return true;
    return false;
  }

 private:
  using Local = date::local_time<std::chrono::minutes>;
  Local local_of(date::sys_time<std::chrono::minutes> utc) const {
    return date::floor<std::chrono::minutes>(zone_.to_local(utc));
  }
  bool was_there_before(date::sys_time<std::chrono::minutes> utc, Local local) const {
    // No clock here goes back by more than an hour.
    for (int back = 1; back <= 3 * 60; ++back)
      if (local_of(utc - std::chrono::minutes{back}) == local) return true;
    return false;
  }
  bool matches(Local local) const {
    const auto day = date::floor<date::days>(local);
    const date::year_month_day ymd{day};
    const date::hh_mm_ss time{local - day};
    return cron_.matches(static_cast<unsigned>(time.minutes().count()), static_cast<unsigned>(time.hours().count()),
                         static_cast<unsigned>(ymd.day()), static_cast<unsigned>(ymd.month()),
                         date::weekday{day}.c_encoding());
  }
  const Cron& cron_;
  const TimeZone& zone_;
};

struct Change {
  const char* name;
  const char* zone;
  const char* from;  // two days around a change of the clock
};
void PrintTo(const Change& c, std::ostream* out) { *out << c.name; }

class AroundAChange : public ::testing::TestWithParam<Change> {};

TEST_P(AroundAChange, NextAfterAgreesWithTheMinuteByMinuteModel) {
  const TimeZone& zone = **find_zone(GetParam().zone);
  for (const char* text :
       {"30 1 * * *", "*/7 * * * *", "0 * * * *", "15,45 0-3 * * *", "59 23 * * *", "0 0 * * *", "5 2 * * sun"}) {
    const Cron cron = Cron::parse(text).value();
    const Naive naive(cron, zone);
    const auto begin = date::floor<std::chrono::minutes>(at(GetParam().from));
    std::vector<Time> expected, found;
    for (auto t = begin; t < begin + std::chrono::hours{50}; t += std::chrono::minutes{1})
      if (naive.due(t)) expected.push_back(t);
    for (Time t = begin - Millis{1};;) {
      const auto due = cron.next_after(t, zone);
      if (!due || *due >= begin + std::chrono::hours{50}) break;
      found.push_back(t = *due);
    }
    EXPECT_EQ(found, expected) << text << " in " << GetParam().zone;
    // From within every minute as well, not only from one run to the next.
    for (std::size_t minute = 0; minute < 50 * 60; minute += 11) {
      const Time t = begin + std::chrono::minutes{minute} + std::chrono::seconds{17};
      const auto after = std::ranges::upper_bound(expected, t);
      if (after == expected.end()) break;
      EXPECT_EQ(cron.next_after(t, zone), *after) << text << " after " << format_rfc3339(t);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, AroundAChange,
                         ::testing::Values(Change{"LondonSpring", "Europe/London", "2026-03-28T12:00:00Z"},
                                           Change{"LondonAutumn", "Europe/London", "2026-10-24T12:00:00Z"},
                                           Change{"NewYorkSpring", "America/New_York", "2026-03-07T20:00:00Z"},
                                           Change{"NewYorkAutumn", "America/New_York", "2026-10-31T20:00:00Z"},
                                           Change{"HalfAnHourForward", "Australia/Lord_Howe", "2026-10-03T00:00:00Z"},
                                           Change{"HalfAnHourBack", "Australia/Lord_Howe", "2026-04-04T00:00:00Z"},
                                           Change{"MidnightSkipped", "America/Sao_Paulo", "2018-11-03T12:00:00Z"},
                                           Change{"MidnightRepeated", "America/Sao_Paulo", "2018-02-17T12:00:00Z"},
                                           Change{"ADaySkipped", "Pacific/Apia", "2011-12-29T12:00:00Z"},
                                           Change{"NoChange", "Asia/Kolkata", "2026-06-01T00:00:00Z"}),
                         [](const auto& tested) { return tested.param.name; });

}  // namespace
}  // namespace roadstead::crds
