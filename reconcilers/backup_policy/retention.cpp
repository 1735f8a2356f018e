#include "reconcilers/backup_policy/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "operator/base/quantity.h"

namespace roadstead::reconcilers::backup_policy {
namespace {

using Order = std::vector<std::size_t>;  ///< Indices of snapshots, the newest first.

bool is_good(const Snapshot& snapshot) { return !snapshot.partial && !snapshot.suspicious; }

Order newest_first(const std::vector<Snapshot>& snapshots) {
  Order order(snapshots.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return std::tie(snapshots[a].data_time, snapshots[a].name) > std::tie(snapshots[b].data_time, snapshots[b].name);
  });
  return order;
}

bool shrank(std::int64_t from, std::int64_t to, std::int64_t percent) {
  // Sizes times 100 may not fit 64 bits.
  return static_cast<double>(to) * 100 < static_cast<double>(from) * static_cast<double>(100 - percent);
}

struct Period {
  std::string_view name;
  std::optional<std::int64_t> keep;
  std::string (*of)(const crds::CalendarTime&);  ///< Two snapshots of one period have the same.
};

std::vector<Period> periods_of(const crds::Retention& retention) {
  using Calendar = crds::CalendarTime;
  return {
      {"hourly", retention.keep_hourly,
       [](const Calendar& at) {
         return fmt::format("{}-{:02}-{:02} {:02}:00 UTC{:+}", at.year, at.month, at.day, at.hour,
                            at.utc_offset_minutes);
       }},
      {"daily", retention.keep_daily,
       [](const Calendar& at) { return fmt::format("{}-{:02}-{:02}", at.year, at.month, at.day); }},
      {"weekly", retention.keep_weekly,
       [](const Calendar& at) { return fmt::format("{}-W{:02}", at.week_year, at.week); }},
      {"monthly", retention.keep_monthly,
       [](const Calendar& at) { return fmt::format("{}-{:02}", at.year, at.month); }},
      {"yearly", retention.keep_yearly, [](const Calendar& at) { return fmt::format("{}", at.year); }},
  };
}

bool sets_nothing(const crds::Retention& retention) {
  const auto periods = periods_of(retention);
  return !retention.keep_last && !retention.keep_within_seconds &&
         std::none_of(periods.begin(), periods.end(), [](const Period& period) { return period.keep.has_value(); });
}

/// Tells `keep` which snapshots the rules keep, and why.
using Keep = std::function<void(std::size_t snapshot, std::string reason)>;

void apply_last(const Order& order, const crds::Retention& retention, const Keep& keep) {
  const auto last = static_cast<std::size_t>(retention.keep_last.value_or(0));
  for (std::size_t i = 0; i < std::min(last, order.size()); ++i) keep(order[i], fmt::format("last {}", i + 1));
}

void apply_within(const std::vector<Snapshot>& snapshots, const Order& order, const crds::Retention& retention,
                  const Keep& keep) {
  if (!retention.keep_within_seconds || order.empty()) return;
  const std::chrono::seconds within(*retention.keep_within_seconds);
  for (const std::size_t i : order)
    if (snapshots[order.front()].data_time - snapshots[i].data_time < within)
      keep(i, "within " + human_duration(within));
}

void apply_period(const Period& period, const Order& order, const std::vector<crds::CalendarTime>& calendar,
                  const Keep& keep) {
  std::int64_t left = period.keep.value_or(0);
  std::string last;
  for (const std::size_t i : order) {
    if (left == 0) return;
    std::string now = period.of(calendar[i]);
    if (now == last) continue;
    keep(i, fmt::format("{} {}", period.name, now));
    last = std::move(now);
    --left;
  }
}

class Judge {
 public:
  Judge(const std::vector<Snapshot>& snapshots, const crds::Retention& retention, const crds::TimeZone& zone)
      : snapshots_(snapshots), retention_(retention), order_(newest_first(snapshots)) {
    for (const Snapshot& snapshot : snapshots) {
      decision_.verdicts.push_back({snapshot.name, false, {}});
      calendar_.push_back(crds::calendar_time(snapshot.data_time, zone));
    }
  }

  Decision judge() {
    if (sets_nothing(retention_)) {
      for (std::size_t i = 0; i < snapshots_.size(); ++i) keep(i, "no rule is set");
      return std::move(decision_);
    }
    Order good;
    std::copy_if(order_.begin(), order_.end(), std::back_inserter(good),
                 [&](std::size_t i) { return is_good(snapshots_[i]); });
    apply(good);
    apply(order_);
    if (!good.empty()) keep(good.front(), "last good one");
    for (std::size_t i = 0; i < snapshots_.size(); ++i) {
      if (snapshots_[i].kept) keep(i, "kept by hand");
      if (snapshots_[i].in_use) keep(i, "in use");
    }
    hold();
    return std::move(decision_);
  }

 private:
  void keep(std::size_t snapshot, std::string reason) {
    Verdict& verdict = decision_.verdicts[snapshot];
    verdict.keep = true;
    if (std::find(verdict.reasons.begin(), verdict.reasons.end(), reason) == verdict.reasons.end())
      verdict.reasons.push_back(std::move(reason));
  }

  void apply(const Order& order) {
    const Keep kept = [&](std::size_t snapshot, std::string reason) { keep(snapshot, std::move(reason)); };
    apply_last(order, retention_, kept);
    for (const Period& period : periods_of(retention_)) apply_period(period, order, calendar_, kept);
    apply_within(snapshots_, order, retention_, kept);
  }

  void hold() {
    if (order_.empty() || !snapshots_[order_.front()].suspicious) return;
    decision_.held_by = fmt::format("snapshot {} is suspiciously small", snapshots_[order_.front()].name);
    for (std::size_t i = 0; i < snapshots_.size(); ++i) keep(i, "the newest snapshot is suspicious");
  }

  const std::vector<Snapshot>& snapshots_;
  const crds::Retention& retention_;
  const Order order_;
  std::vector<crds::CalendarTime> calendar_;
  Decision decision_;
};

}  // namespace

void mark_suspicious(std::vector<Snapshot>& snapshots, std::int64_t shrink_percent) {
  Order order = newest_first(snapshots);
  std::reverse(order.begin(), order.end());
  const Snapshot* base = nullptr;
  for (const std::size_t i : order) {
    Snapshot& snapshot = snapshots[i];
    snapshot.suspicious = base != nullptr && !snapshot.accepted &&
                          (shrank(base->logical_bytes, snapshot.logical_bytes, shrink_percent) ||
                           shrank(base->files, snapshot.files, shrink_percent));
    if (is_good(snapshot)) base = &snapshot;
  }
}

Decision judge(const std::vector<Snapshot>& snapshots, const crds::Retention& retention, const crds::TimeZone& zone) {
  return Judge(snapshots, retention, zone).judge();
}

}  // namespace roadstead::reconcilers::backup_policy
