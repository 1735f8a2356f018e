#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "crds/backup_policy.h"
#include "crds/cron.h"

namespace roadstead::reconcilers::backup_policy {

/// What retention knows of a snapshot. Times count by the data in it, not by when it was written.
struct Snapshot {
  std::string name;
  Time data_time{};
  std::int64_t logical_bytes = 0;
  std::int64_t files = 0;
  bool kept = false;        ///< Somebody said that it is never removed.
  bool in_use = false;      ///< A restore or a copy reads it.
  bool partial = false;     ///< Files that could not be read are not in it.
  bool accepted = false;    ///< Somebody looked at it: it is beyond suspicion.
  bool suspicious = false;  ///< See mark_suspicious().
};

struct Verdict {
  std::string name;
  bool keep = true;
  std::vector<std::string> reasons;  ///< Why it stays: "last 2", "daily 2026-11-20", "kept by hand".
};

struct Decision {
  std::vector<Verdict> verdicts;  ///< One for each snapshot, in the order given.
  std::string held_by;            ///< Why nothing at all is removed for now; empty: nothing hinders.
};

/// A snapshot is suspicious whose bytes or files are fewer by more than `shrink_percent` than those of the newest one
/// before it that is neither suspicious nor partial: what emptied the source may have emptied it by accident.
void mark_suspicious(std::vector<Snapshot>& snapshots, std::int64_t shrink_percent);

/// Which snapshots of one volume stay, by the rules that spec.retention sets: of each hour, day, week, month, year the
/// newest is kept, for so many of them that have one. One stays if any rule keeps it.
///
/// Never removed: the newest one that is neither partial nor suspicious, what is kept by hand or in use, and anything
/// at all while the newest snapshot is suspicious. Partial and suspicious snapshots push no good one out: the rules
/// are applied to the good ones alone, and to all; what either keeps stays. No rule set: everything stays.
Decision judge(const std::vector<Snapshot>& snapshots, const crds::Retention& retention, const crds::TimeZone& zone);

}  // namespace roadstead::reconcilers::backup_policy
