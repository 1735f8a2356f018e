#include "reconcilers/backup_policy/upkeep.h"

#include <algorithm>
#include <chrono>

#include "operator/base/quantity.h"
#include "operator/base/rfc3339.h"
#include "reconcilers/support/backup_names.h"
#include "reconcilers/support/commands.h"
#include "reconcilers/support/outcome.h"
#include "reconcilers/support/pace.h"
#include "reconcilers/support/repository.h"

namespace roadstead::reconcilers::backup_policy {
namespace {

using namespace std::chrono_literals;

/// Names of files that a status tells.
constexpr std::size_t kMostFiles = 20;

bool has_annotation(const crds::Backup& object, std::string_view name) {
  const auto found = object.metadata.annotations.find(std::string(name));
  return found != object.metadata.annotations.end() && found->second == "true";
}

template <class Says>
bool any_object_says(const OwnSnapshot& snapshot, const Place& place, const std::vector<crds::Backup>& objects,
                     const Says& says) {
  return std::any_of(objects.begin(), objects.end(),
                     [&](const crds::Backup& object) { return says(object) && speaks_for(object, place, snapshot); });
}

std::vector<Snapshot> judged_snapshots(const std::vector<OwnSnapshot>& own, const Place& place,
                                       const Surroundings& around) {
  std::vector<Snapshot> all;
  for (const OwnSnapshot& snapshot : own) {
    Snapshot one{.name = snapshot.seen.id, .data_time = snapshot.seen.data_as_of};
    one.logical_bytes = static_cast<std::int64_t>(snapshot.seen.logical_bytes);
    one.files = static_cast<std::int64_t>(snapshot.seen.files);
    one.partial = snapshot.seen.unreadable.count > 0;
    one.kept = snapshot.seen.kept ||
               any_object_says(snapshot, place, *around.objects, [](const auto& object) { return object.spec.keep; });
    one.accepted = any_object_says(snapshot, place, *around.objects,
                                   [](const auto& object) { return has_annotation(object, kAcceptShrinkAnnotation); });
    one.in_use =
        around.used_snapshots.contains(snapshot.seen.id) || around.used_backups.contains(snapshot.origin.backup);
    all.push_back(std::move(one));
  }
  return all;
}

std::string size_of(const OwnSnapshot& snapshot) {
  return fmt::format("{} in {} files", human_bytes(snapshot.seen.logical_bytes), snapshot.seen.files);
}

/// A sentence where the newest snapshot is suspicious.
std::optional<std::string> suspicion_of(const crds::BackupPolicy& policy, const Place& place,
                                        const std::vector<OwnSnapshot>& own, const std::vector<Snapshot>& judged) {
  const auto newest = std::max_element(judged.begin(), judged.end(), [](const auto& a, const auto& b) {
    return std::tie(a.data_time, a.name) < std::tie(b.data_time, b.name);
  });
  if (newest == judged.end() || !newest->suspicious) return std::nullopt;
  const OwnSnapshot* before = nullptr;
  for (std::size_t i = 0; i < judged.size(); ++i)
    if (!judged[i].suspicious && !judged[i].partial &&
        (before == nullptr || before->seen.data_as_of < own[i].seen.data_as_of))
      before = &own[i];
  const OwnSnapshot& small = own[static_cast<std::size_t>(newest - judged.begin())];
  return fmt::format(
      "Snapshot {} of volume {} on host {} holds {}, {} held {}; nothing is removed meanwhile. Look at the volume; if "
      "it is right so: `{} annotate backup {} -n {} {}=true`",
      small.seen.id, place.volume, place.host, size_of(small), before ? before->seen.id : "the one before",
      before ? size_of(*before) : "more", kKubectl, small.origin.backup, policy.metadata.ns, kAcceptShrinkAnnotation);
}

std::optional<Time> asked_verification(const crds::BackupPolicy& policy) {
  const auto asked = policy.metadata.annotations.find(std::string(crds::kVerifyAnnotation));
  if (asked == policy.metadata.annotations.end()) return std::nullopt;
  const auto time = parse_rfc3339(asked->second);
  return time ? std::optional<Time>(*time) : std::nullopt;
}

/// The newest scheduled time in (after, now].
std::optional<Time> newest_scheduled(const ReadSchedule& schedule, Time after, Time now) {
  // Nobody verifies so often that this ends early; an operator that was away for long need not count it all.
  constexpr int kMost = 100'000;
  std::optional<Time> newest;
  auto next = schedule.cron.next_after(after, *schedule.zone);
  for (int i = 0; next && *next <= now && i < kMost; ++i) {
    newest = next;
    next = schedule.cron.next_after(*next, *schedule.zone);
  }
  return newest;
}

std::uint32_t parts_of(const crds::Verification& verification) {
  const auto percent = static_cast<std::uint32_t>(std::clamp<std::int64_t>(verification.percent_per_run, 1, 100));
  return (100 + percent - 1) / percent;
}

bool is_worse(crds::ConditionStatus a, crds::ConditionStatus b) {
  const auto rank = [](crds::ConditionStatus status) {
    return status == crds::ConditionStatus::False ? 2 : status == crds::ConditionStatus::Unknown ? 1 : 0;
  };
  return rank(a) > rank(b);
}

std::string verify_again(const crds::BackupPolicy& policy) {
  return fmt::format("roadstead verify {} -n {}", policy.metadata.name, policy.metadata.ns);
}

crds::Condition damage_in(const crds::BackupPolicy& policy, const crds::RepositoryStatus& repository) {
  std::string files;
  for (const std::string& file : repository.damaged_files) files += (files.empty() ? "" : ", ") + file;
  if (files.empty()) files = "no file that could be named";
  return {"RepositoryHealthy",
          crds::ConditionStatus::False,
          "DamageFound",
          fmt::format("{} pieces of data of volume {} on host {} are damaged or missing, needed by: {}. What is still "
                      "the same at the source comes again with the next backup: roadstead backup {} -n {}; then: {}",
                      repository.damaged_extents, repository.volume, repository.host, files, policy.metadata.name,
                      policy.metadata.ns, verify_again(policy)),
          std::nullopt,
          policy.metadata.generation};
}

}  // namespace

std::string_view step_of(TaskKind kind) {
  switch (kind) {
    case TaskKind::List:
      return "snapshots";
    case TaskKind::Keep:
      return "keep";
    case TaskKind::Forget:
      return "forget";
    case TaskKind::Verify:
      return "verify";
  }
  return "";
}

mover::Job job_of(const Task& task) {
  switch (task.kind) {
    case TaskKind::List:
      return list_snapshots();
    case TaskKind::Keep:
      return mark_kept(task.snapshots, task.release);
    case TaskKind::Forget:
      return forget_snapshots(task.snapshots);
    case TaskKind::Verify:
      return verify_part(task.part, task.parts);
  }
  return list_snapshots();
}

Thinning thin_out(const crds::BackupPolicy& policy, const Owner& owner, const Place& place, const Listing& listing,
                  const Surroundings& around, const crds::TimeZone& zone) {
  const crds::Retention rules = policy.spec.retention.value_or(crds::Retention{});
  const std::vector<OwnSnapshot> own = own_snapshots(owner, listing);
  std::vector<Snapshot> judged = judged_snapshots(own, place, around);
  mark_suspicious(judged, rules.suspicious_shrink_percent);
  Thinning thinning;
  thinning.suspicion = suspicion_of(policy, place, own, judged);
  const Decision decision = judge(judged, rules, zone);
  thinning.held_by = decision.held_by;
  if (!listing.data.unreadable.empty()) {
    thinning.held_by = fmt::format("the manifest of snapshot {} on host {} cannot be read",
                                   listing.data.unreadable.front(), place.host);
    return thinning;
  }
  if (!around.undecided_restore.empty()) {
    thinning.held_by =
        fmt::format("RestoreRequest {} has not said yet which snapshots it uses", around.undecided_restore);
    return thinning;
  }
  for (const Verdict& verdict : decision.verdicts)
    if (!verdict.keep) thinning.remove.push_back(verdict.name);
  return thinning;
}

std::uint32_t part_at(const ReadSchedule& schedule, Time scheduled, std::uint32_t parts) {
  if (parts <= 1) return 0;
  // Counted from a moment that does not move, far enough back that all parts get their turn before the next one; near
  // enough that counting takes no time.
  const Millis interval = interval_at(schedule, scheduled).value_or(24h);
  const std::chrono::year_month_day day{std::chrono::floor<std::chrono::days>(scheduled)};
  std::chrono::sys_days from = std::chrono::sys_days{std::chrono::year{2000} / 1 / 1};
  if (interval < 20h) from = std::chrono::sys_days{day.year() / 1 / 1};
  if (interval < 1h) from = std::chrono::sys_days{day.year() / day.month() / 1};
  std::uint64_t count = 0;
  auto next = schedule.cron.next_after(Time{from} - Millis{1}, *schedule.zone);
  for (; next && *next < scheduled; next = schedule.cron.next_after(*next, *schedule.zone)) ++count;
  return static_cast<std::uint32_t>(count % parts);
}

std::optional<Task> due_verification(const crds::BackupPolicy& policy, const crds::RepositoryStatus& known,
                                     std::uint64_t damaged, Time now) {
  const auto asked = asked_verification(policy);
  if (asked && *asked <= now && (!known.last_verified_time || *known.last_verified_time < *asked))
    return Task{.kind = TaskKind::Verify, .begun = now, .snapshots = {}};
  // Something came in since damage was found, and brought some of it again: only reading tells whether all is well.
  const bool repaired = known.damaged_extents > static_cast<std::int64_t>(damaged) && known.newest &&
                        known.last_verified_time && *known.newest > *known.last_verified_time;
  if (repaired) return Task{.kind = TaskKind::Verify, .begun = now, .snapshots = {}};
  if (!policy.spec.verification) return std::nullopt;
  const auto schedule = read_schedule(policy.spec.verification->schedule);
  const auto since = known.last_verified_time ? known.last_verified_time : policy.metadata.creation_timestamp;
  if (!schedule || !since) return std::nullopt;
  const auto scheduled = newest_scheduled(*schedule, *since, now);
  if (!scheduled) return std::nullopt;
  const std::uint32_t parts = parts_of(*policy.spec.verification);
  return Task{.kind = TaskKind::Verify,
              .begun = now,
              .snapshots = {},
              .part = part_at(*schedule, *scheduled, parts),
              .parts = parts};
}

std::optional<Task> next_task(const crds::BackupPolicy& policy, const Memory& memory, const Thinning& thinning,
                              const Marks& marks, bool lacks_objects, const Surroundings& around,
                              const crds::RepositoryStatus& known, Time now) {
  if (memory.running || now < memory.not_before) return std::nullopt;
  const bool stale = !memory.listing || has_passed(memory.listing->begun, kListInterval, now) || lacks_objects ||
                     (around.last_end && *around.last_end >= memory.listing->begun);
  if (stale) return Task{.kind = TaskKind::List, .begun = now, .snapshots = {}};
  if (!marks.empty() && !memory.unmarkable)
    return Task{.kind = TaskKind::Keep, .begun = now, .snapshots = marks.keep, .release = marks.release};
  const bool dry_run = policy.spec.retention && policy.spec.retention->dry_run;
  // A run that goes on has the directory; what it leaves is judged with the rest.
  if (!thinning.remove.empty() && !dry_run && !around.run_goes_on)
    return Task{.kind = TaskKind::Forget, .begun = now, .snapshots = thinning.remove};
  if (memory.listing->data.packs == 0 && memory.listing->data.snapshots.empty()) return std::nullopt;
  return due_verification(policy, known, memory.listing->data.damaged, now);
}

void take_listing(crds::RepositoryStatus& status, const Owner& owner, const Listing& listing) {
  const auto own = own_snapshots(owner, listing);
  status.snapshots = static_cast<std::int64_t>(own.size());
  status.oldest = status.newest = std::nullopt;
  for (const OwnSnapshot& snapshot : own) {
    const Time time = snapshot.seen.data_as_of;
    status.oldest = status.oldest ? std::min(*status.oldest, time) : time;
    status.newest = status.newest ? std::max(*status.newest, time) : time;
  }
  status.stored_bytes = static_cast<std::int64_t>(listing.data.pack_bytes);
  status.last_listed_time = listing.begun;
  status.damaged_extents = std::max(status.damaged_extents, static_cast<std::int64_t>(listing.data.damaged));
}

void take_verification(crds::RepositoryStatus& status, const Task& task, const mover::VerifyData& data, Time now) {
  status.last_verified_time = now;
  status.verified_parts = fmt::format("{}/{}", task.part + 1, task.parts);
  // A manifest that is damaged itself has no extents that could be counted.
  const std::uint64_t found = data.damaged + data.missing;
  status.damaged_extents = static_cast<std::int64_t>(found > 0 ? found : data.damage.size());
  status.damaged_files.clear();
  for (const mover::DamageSeen& damage : data.damage)
    for (const std::string& file : damage.files.names)
      if (status.damaged_files.size() < kMostFiles) status.damaged_files.push_back(damage.snapshot + ": " + file);
}

std::string missing_directory(const Place& place) {
  return fmt::format(
      "host {} has no directory {}/{} in its repository, though Backups name snapshots there; check that the "
      "repository's disk is mounted; if the data was removed on purpose, delete those Backups",
      place.host, place.source_host, place.volume);
}

crds::Condition health_of(const crds::BackupPolicy& policy, const std::vector<std::string>& unreadable,
                          const std::vector<Place>& missing) {
  crds::Condition health{"RepositoryHealthy", crds::ConditionStatus::True,
                         "NoDamageFound",     "All that was read back is as it was written.",
                         std::nullopt,        policy.metadata.generation};
  const auto take = [&](crds::Condition other) {
    if (is_worse(other.status, health.status)) health = std::move(other);
  };
  for (const crds::RepositoryStatus& repository : policy.status.repositories) {
    if (repository.damaged_extents > 0) take(damage_in(policy, repository));
    if (!repository.last_listed_time)
      take({"RepositoryHealthy", crds::ConditionStatus::Unknown, "NotLookedAtYet",
            sentence(
                fmt::format("What host {} holds of volume {} was not looked up yet{}{}", repository.host,
                            repository.volume, repository.message.empty() ? "" : ": ", repository.message),
                fmt::format("it is tried again by itself; `roadstead describe host {}` says whether that host answers.",
                            repository.host)),
            std::nullopt, policy.metadata.generation});
  }
  for (const Place& place : missing)
    take({"RepositoryHealthy", crds::ConditionStatus::False, "DirectoryMissing", missing_directory(place) + ".",
          std::nullopt, policy.metadata.generation});
  for (const std::string& one : unreadable)
    take({"RepositoryHealthy", crds::ConditionStatus::False, "ManifestUnreadable",
          fmt::format(
              "Snapshot {}: its manifest cannot be read, so it cannot be restored, and nothing is removed beside "
              "it. Put the file right from another copy, or remove it from the repository by hand.",
              one),
          std::nullopt, policy.metadata.generation});
  return health;
}

}  // namespace roadstead::reconcilers::backup_policy
