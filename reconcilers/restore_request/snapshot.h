#pragma once

// Which snapshot an item is restored from: where it may be, and which of those that are there.

#include <compare>
#include <optional>
#include <string>
#include <vector>

#include "crds/backup.h"
#include "crds/backup_policy.h"
#include "crds/restore_request.h"
#include "mover/contract/job.h"

namespace roadstead::reconcilers::restore {

/// Where a snapshot may be, and which one is wanted.
struct SnapshotPlace {
  std::string host, source_host, volume;
  auto operator<=>(const SnapshotPlace&) const = default;
};
struct WantedSnapshot {
  std::vector<SnapshotPlace> places;  ///< In the order in which they are asked: those of one host stand together.
  std::vector<std::string> ids;       ///< One of these. Empty: any that `policies` made.
  std::vector<std::string> policies;
  std::optional<Time> as_of;  ///< No newer data than this.
  std::string problem;        ///< Why there is nothing to ask for, and what to do.
};
/// `policies` and `backups` are those of the request's namespace.
WantedSnapshot wanted_snapshot(const crds::RestoreRequest& request, const crds::RestoreItem& item,
                               const std::vector<crds::BackupPolicy>& policies,
                               const std::vector<crds::Backup>& backups);

struct SnapshotFound {
  SnapshotPlace place;
  mover::SnapshotSeen seen;
};
struct ChosenSnapshot {
  std::optional<SnapshotFound> found;
  std::string problem;  ///< Why there is none, and what to do.
};
/// The newest of what one host's places hold that is wanted; one that lacks files only if it is asked for by its id.
ChosenSnapshot choose_snapshot(const WantedSnapshot& wanted, const std::vector<SnapshotFound>& there,
                               const std::string& installation, const std::string& ns);

}  // namespace roadstead::reconcilers::restore
