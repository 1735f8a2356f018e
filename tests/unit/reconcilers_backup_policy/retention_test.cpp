// Which snapshots stay: by examples, and by brute force against the rules as they are worded, applied to each snapshot
// by itself.
#include "reconcilers/backup_policy/retention.h"

#include <date/tz.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "operator/base/rfc3339.h"

namespace roadstead::reconcilers::backup_policy {
namespace {

using namespace std::chrono_literals;

Time at(const std::string& text) { return parse_rfc3339(text).value(); }
const crds::TimeZone& zone(const char* name = "UTC") { return **crds::find_zone(name); }

Snapshot taken(const std::string& time, std::int64_t bytes = 1000, std::int64_t files = 10) {
  return {.name = time, .data_time = at(time), .logical_bytes = bytes, .files = files};
}

/// "name: reason, reason" of what stays, the removed ones as "-name".
std::vector<std::string> told(const Decision& decision) {
  std::vector<std::string> out;
  for (const Verdict& verdict : decision.verdicts) {
    std::string line = verdict.keep ? verdict.name + ":" : "-" + verdict.name;
    for (const std::string& reason : verdict.reasons) line += (line.back() == ':' ? " " : ", ") + reason;
    out.push_back(line);
  }
  return out;
}

using Lines = std::vector<std::string>;

TEST(Retention, KeepsTheNewestOfEachPeriodAndSaysWhich) {
  const std::vector<Snapshot> all{taken("2026-11-18T09:00:00Z"), taken("2026-11-19T09:00:00Z"),
                                  taken("2026-11-20T09:00:00Z"), taken("2026-11-20T21:00:00Z")};
  crds::Retention retention;
  retention.keep_daily = 2;
  EXPECT_EQ(told(judge(all, retention, zone())),
            (Lines{"-2026-11-18T09:00:00Z", "2026-11-19T09:00:00Z: daily 2026-11-19", "-2026-11-20T09:00:00Z",
                   "2026-11-20T21:00:00Z: daily 2026-11-20, last good one"}));
  retention = {};
  retention.keep_last = 1;
  retention.keep_weekly = 5;
  EXPECT_EQ(told(judge(all, retention, zone())).back(), "2026-11-20T21:00:00Z: last 1, weekly 2026-W47, last good one");
  retention = {};
  retention.keep_within_seconds = 86400;
  EXPECT_EQ(told(judge(all, retention, zone()))[1], "-2026-11-19T09:00:00Z");
  EXPECT_EQ(told(judge(all, retention, zone()))[2], "2026-11-20T09:00:00Z: within 24h");
}

TEST(Retention, CountsOnlyPeriodsThatHaveASnapshot) {
  crds::Retention retention;
  retention.keep_monthly = 2;
  const auto verdicts =
      judge({taken("2026-01-05T00:00:00Z"), taken("2026-06-05T00:00:00Z"), taken("2026-11-05T00:00:00Z")}, retention,
            zone())
          .verdicts;
  EXPECT_FALSE(verdicts[0].keep);
  EXPECT_TRUE(verdicts[1].keep) << "five empty months do not count";
}

TEST(Retention, LetsDaysBeginAtMidnightOfTheZone) {
  crds::Retention retention;
  retention.keep_daily = 1;
  const std::vector<Snapshot> all{taken("2026-07-01T22:30:00Z"), taken("2026-07-01T23:30:00Z")};
  EXPECT_FALSE(judge(all, retention, zone()).verdicts[0].keep);
  retention.keep_daily = 2;
  EXPECT_EQ(told(judge(all, retention, zone("Europe/London"))),
            (Lines{"2026-07-01T22:30:00Z: daily 2026-07-01", "2026-07-01T23:30:00Z: daily 2026-07-02, last good one"}));
  // London, 2026-10-25: the hour from 1 to 2 comes twice.
  retention = {};
  retention.keep_hourly = 2;
  EXPECT_TRUE(judge({taken("2026-10-25T00:30:00Z"), taken("2026-10-25T01:30:00Z")}, retention, zone("Europe/London"))
                  .verdicts[0]
                  .keep);
}

TEST(Retention, KeepsEverythingWithoutARule) {
  const auto decision = judge({taken("2026-01-05T00:00:00Z"), taken("2026-06-05T00:00:00Z")}, {}, zone());
  EXPECT_TRUE(decision.verdicts[0].keep);
  EXPECT_TRUE(decision.held_by.empty());
}

TEST(Retention, NeverTouchesWhatIsKeptInUseOrTheLastGoodOne) {
  std::vector<Snapshot> all{taken("2026-11-17T00:00:00Z"), taken("2026-11-18T00:00:00Z"), taken("2026-11-19T00:00:00Z"),
                            taken("2026-11-20T00:00:00Z"), taken("2026-11-21T00:00:00Z")};
  all[0].kept = true;
  all[1].in_use = true;
  all[3].partial = all[4].partial = true;
  crds::Retention retention;
  retention.keep_last = 1;
  EXPECT_EQ(
      told(judge(all, retention, zone())),
      (Lines{"2026-11-17T00:00:00Z: kept by hand", "2026-11-18T00:00:00Z: in use",
             "2026-11-19T00:00:00Z: last 1, last good one", "-2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z: last 1"}))
      << "a partial one pushes no good one out";
}

TEST(Suspicion, FallsOnWhatShrankAgainstTheNewestOneBeyondIt) {
  std::vector<Snapshot> all{taken("2026-11-17T00:00:00Z", 1000, 10), taken("2026-11-18T00:00:00Z", 500, 10),
                            taken("2026-11-19T00:00:00Z", 249, 10), taken("2026-11-20T00:00:00Z", 240, 10),
                            taken("2026-11-21T00:00:00Z", 600, 4)};
  const auto marked = [&](std::int64_t percent) {
    mark_suspicious(all, percent);
    std::string out;
    for (const Snapshot& snapshot : all) out += snapshot.suspicious ? '!' : '.';
    return out;
  };
  EXPECT_EQ(marked(50), "..!!!") << "half is not more than half; fewer files are suspicious as well";
  EXPECT_EQ(marked(100), ".....") << "100 turns it off";
  all[2].accepted = true;
  EXPECT_EQ(marked(50), "....!") << "what somebody looked at is what the next ones are measured by";
  all[4].files = 10;
  EXPECT_EQ(marked(50), ".....");
}

TEST(Suspicion, OfTheNewestHoldsRetentionBack) {
  std::vector<Snapshot> all{taken("2026-11-17T00:00:00Z"), taken("2026-11-18T00:00:00Z"), taken("2026-11-19T00:00:00Z"),
                            taken("2026-11-20T00:00:00Z", 3)};
  crds::Retention retention;
  retention.keep_last = 1;
  mark_suspicious(all, 50);
  const Decision held = judge(all, retention, zone());
  EXPECT_EQ(held.held_by, "snapshot 2026-11-20T00:00:00Z is suspiciously small");
  EXPECT_TRUE(std::all_of(held.verdicts.begin(), held.verdicts.end(), [](const auto& one) { return one.keep; }));
  all.push_back(taken("2026-11-21T00:00:00Z", 990));
  mark_suspicious(all, 50);
  EXPECT_EQ(told(judge(all, retention, zone())),
            (Lines{"-2026-11-17T00:00:00Z", "-2026-11-18T00:00:00Z", "-2026-11-19T00:00:00Z", "-2026-11-20T00:00:00Z",
                   "2026-11-21T00:00:00Z: last 1, last good one"}));
}

// ---- brute force --------------------------------------------------------------------------------------------------

/// The rules as they are worded, asked of one snapshot at a time.
class Naive {
 public:
  Naive(const std::vector<Snapshot>& all, const crds::Retention& retention, const crds::TimeZone& zone)
      : all_(all), retention_(retention), zone_(zone) {}

  bool suspicious(std::size_t which) const {
    const auto known = suspicious_.find(which);
    if (known != suspicious_.end()) return known->second;
    return suspicious_.emplace(which, asked_suspicious(which)).first->second;
  }
  bool good(std::size_t which) const { return !all_[which].partial && !suspicious(which); }

  bool keeps(std::size_t which) const {
    const auto everything = [](std::size_t) { return true; };
    const auto the_good = [&](std::size_t i) { return good(i); };
    if (no_rule() || all_[which].kept || all_[which].in_use) return true;
    if (newest(the_good) == which) return true;
    if (const auto last = newest(everything); last && suspicious(*last)) return true;
    return by_rules(which, everything) || (good(which) && by_rules(which, the_good));
  }

 private:
  bool asked_suspicious(std::size_t which) const {
    if (all_[which].accepted) return false;
    const auto base = newest([&](std::size_t i) { return older(i, which) && good(i); });
    if (!base) return false;
    const double left = 1 - static_cast<double>(retention_.suspicious_shrink_percent) / 100;
    const auto fell = [&](std::int64_t from, std::int64_t to) {
      return static_cast<double>(to) < static_cast<double>(from) * left - 1e-9;
    };
    return fell(all_[*base].logical_bytes, all_[which].logical_bytes) || fell(all_[*base].files, all_[which].files);
  }
  bool no_rule() const {
    const auto& r = retention_;
    return !r.keep_last && !r.keep_hourly && !r.keep_daily && !r.keep_weekly && !r.keep_monthly && !r.keep_yearly &&
           !r.keep_within_seconds;
  }
  bool older(std::size_t a, std::size_t b) const {
    return all_[a].data_time < all_[b].data_time ||
           (all_[a].data_time == all_[b].data_time && all_[a].name < all_[b].name);
  }
  template <class Among>
  std::optional<std::size_t> newest(const Among& among) const {
    std::optional<std::size_t> found;
    for (std::size_t i = 0; i < all_.size(); ++i)
      if (among(i) && (!found || older(*found, i))) found = i;
    return found;
  }
  const std::string& shown(std::size_t which, const char* format) const {
    std::string& text = shown_[{which, format}];
    if (text.empty())
      text = date::format(format, date::zoned_time(&zone_, date::floor<std::chrono::seconds>(all_[which].data_time)));
    return text;
  }
  template <class Among>
  bool by_period(std::size_t which, const Among& among, std::optional<std::int64_t> keep, const char* format) const {
    if (!keep) return false;
    const std::string own = shown(which, format);
    std::set<std::string> newer_periods;
    for (std::size_t i = 0; i < all_.size(); ++i) {
      if (!among(i) || !older(which, i)) continue;
      if (shown(i, format) == own) return false;  // not the newest of its period
      newer_periods.insert(shown(i, format));
    }
    return static_cast<std::int64_t>(newer_periods.size()) < *keep;
  }
  template <class Among>
  bool by_rules(std::size_t which, const Among& among) const {
    std::int64_t newer = 0;
    for (std::size_t i = 0; i < all_.size(); ++i) newer += among(i) && older(which, i) ? 1 : 0;
    if (retention_.keep_last && newer < *retention_.keep_last) return true;
    if (retention_.keep_within_seconds &&
        all_[*newest(among)].data_time - all_[which].data_time < std::chrono::seconds(*retention_.keep_within_seconds))
      return true;
    return by_period(which, among, retention_.keep_hourly, "%F %H %z") ||
           by_period(which, among, retention_.keep_daily, "%F") ||
           by_period(which, among, retention_.keep_weekly, "%G %V") ||
           by_period(which, among, retention_.keep_monthly, "%Y %m") ||
           by_period(which, among, retention_.keep_yearly, "%Y");
  }

  const std::vector<Snapshot>& all_;
  const crds::Retention& retention_;
  const crds::TimeZone& zone_;
  // Remembered, because dates are slow to write and suspicion goes back to the first snapshot.
  mutable std::map<std::pair<std::size_t, std::string>, std::string> shown_;
  mutable std::map<std::size_t, bool> suspicious_;
};

class Histories {
 public:
  std::vector<Snapshot> snapshots() {
    // Minutes to a year between two, so that all periods are met; clock changes lie within.
    const std::int64_t longest = pick<std::int64_t>({3'600, 86'400, 10 * 86'400, 200 * 86'400});
    Time time = at("2024-01-01T00:00:00Z") + std::chrono::seconds(below(86'400 * 900));
    std::vector<Snapshot> all;
    for (std::int64_t i = below(14); i > 0; --i) {
      time += std::chrono::seconds(below(longest));
      Snapshot one{.name = std::to_string(below(1000)) + "-" + std::to_string(i), .data_time = time};
      one.logical_bytes = 600 + below(400);
      one.files = 60 + below(40);
      if (below(8) == 0) one.logical_bytes /= 4;
      if (below(12) == 0) one.files /= 4;
      one.kept = below(10) == 0;
      one.in_use = below(10) == 0;
      one.partial = below(6) == 0;
      one.accepted = below(10) == 0;
      all.push_back(one);
    }
    std::shuffle(all.begin(), all.end(), random_);
    return all;
  }
  crds::Retention rules() {
    crds::Retention rules;
    for (auto* rule : {&rules.keep_last, &rules.keep_hourly, &rules.keep_daily, &rules.keep_weekly, &rules.keep_monthly,
                       &rules.keep_yearly})
      if (below(4) == 0) *rule = 1 + below(4);
    if (below(5) == 0) rules.keep_within_seconds = 1 + below(20 * 86'400);
    rules.suspicious_shrink_percent = 1 + below(100);
    return rules;
  }
  const crds::TimeZone& any_zone() { return zone(pick<const char*>({"UTC", "Europe/London", "Asia/Kathmandu"})); }

 private:
  std::int64_t below(std::int64_t limit) { return std::uniform_int_distribution<std::int64_t>(0, limit - 1)(random_); }
  template <class T>
  T pick(std::vector<T> from) {
    return from[static_cast<std::size_t>(below(static_cast<std::int64_t>(from.size())))];
  }
  std::mt19937_64 random_{20261127};
};

TEST(Retention, AgreesWithTheRulesAsTheyAreWordedForThousandsOfHistories) {
  Histories histories;
  std::size_t removed = 0, held = 0, suspicious = 0;
  for (int round = 0; round < 6'000; ++round) {
    std::vector<Snapshot> all = histories.snapshots();
    const crds::Retention rules = histories.rules();
    const crds::TimeZone& zone = histories.any_zone();
    mark_suspicious(all, rules.suspicious_shrink_percent);
    const Naive naive(all, rules, zone);
    const Decision decision = judge(all, rules, zone);
    ASSERT_EQ(decision.verdicts.size(), all.size());
    held += decision.held_by.empty() ? 0 : 1;
    bool any_good = false, good_left = false;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Verdict& verdict = decision.verdicts[i];
      ASSERT_EQ(all[i].suspicious, naive.suspicious(i)) << "round " << round << ", " << all[i].name;
      ASSERT_EQ(verdict.keep, naive.keeps(i)) << "round " << round << ", " << all[i].name;
      ASSERT_EQ(verdict.keep, !verdict.reasons.empty()) << "what stays says why";
      const bool good = !all[i].partial && !all[i].suspicious;
      any_good = any_good || good;
      good_left = good_left || (good && verdict.keep);
      ASSERT_TRUE(verdict.keep || (!all[i].kept && !all[i].in_use));
      ASSERT_TRUE(verdict.keep || decision.held_by.empty());
      removed += verdict.keep ? 0 : 1;
      suspicious += all[i].suspicious ? 1 : 0;
    }
    ASSERT_EQ(good_left, any_good) << "round " << round << ": the last good one is never removed";
  }
  EXPECT_GT(removed, 6'000u) << "the histories prove something";
  EXPECT_GT(held, 100u);
  EXPECT_GT(suspicious, 500u);
}

TEST(Retention, RemovesNothingMoreWhenItIsAskedAgain) {
  Histories histories;
  for (int round = 0; round < 1000; ++round) {
    std::vector<Snapshot> all = histories.snapshots();
    const crds::Retention rules = histories.rules();
    const crds::TimeZone& zone = histories.any_zone();
    mark_suspicious(all, 100);
    const Decision first = judge(all, rules, zone);
    std::vector<Snapshot> left;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (first.verdicts[i].keep) left.push_back(all[i]);
    for (const Verdict& verdict : judge(left, rules, zone).verdicts) ASSERT_TRUE(verdict.keep) << "round " << round;
  }
}

}  // namespace
}  // namespace roadstead::reconcilers::backup_policy
