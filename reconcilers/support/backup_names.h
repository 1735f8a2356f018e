#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "operator/base/clock.h"

namespace roadstead::reconcilers {

// How a Backup object tells which entry of barman's catalogue it stands for, where it was made from that entry.
inline constexpr std::string_view kCatalogServerAnnotation = "roadstead.dev/barman-server";
inline constexpr std::string_view kCatalogIdAnnotation = "roadstead.dev/barman-backup-id";

// On a Backup: it was made because a repository holds its snapshot. It has ended long ago: where its status says
// nothing, the policy writes it; it is never run.
inline constexpr std::string_view kFoundInRepositoryAnnotation = "roadstead.dev/found-in-repository";
// On a Backup, written by a person: its snapshots are small for a good reason, nothing about them is suspicious.
inline constexpr std::string_view kAcceptShrinkAnnotation = "roadstead.dev/accept-shrink";

/// "montagu-base-20261101t0000z": named after the scheduled time (UTC), so that a run is never made twice.
std::string scheduled_backup_name(const std::string& policy, Time scheduled);

struct ScheduledBackupName {
  std::string policy;
  Time scheduled;
};
/// Nothing for a name that is not of that form.
std::optional<ScheduledBackupName> parse_scheduled_backup_name(std::string_view name);

}  // namespace roadstead::reconcilers
