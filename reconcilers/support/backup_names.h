#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "operator/base/clock.h"

namespace roadstead::reconcilers {

// How a Backup object tells which entry of barman's catalogue it stands for, where it was made from that entry.
inline constexpr std::string_view kCatalogServerAnnotation = "roadstead.dev/barman-server";
inline constexpr std::string_view kCatalogIdAnnotation = "roadstead.dev/barman-backup-id";

/// "montagu-base-20261101t0000z": named after the scheduled time (UTC), so that a run is never made twice.
std::string scheduled_backup_name(const std::string& policy, Time scheduled);

struct ScheduledBackupName {
  std::string policy;
  Time scheduled;
};
/// Nothing for a name that is not of that form.
std::optional<ScheduledBackupName> parse_scheduled_backup_name(std::string_view name);

}  // namespace roadstead::reconcilers
