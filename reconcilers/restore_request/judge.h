#pragma once

// What the plan of an item is, and what stands against it.

#include <optional>
#include <string>
#include <vector>

#include "crds/host.h"
#include "reconcilers/restore_request/ledger.h"
#include "reconcilers/restore_request/snapshot.h"

namespace roadstead::reconcilers::restore {

/// What the staged copy of a database of this size takes: it has grown since, and two WAL segments and more come along.
std::int64_t space_for(std::int64_t database_bytes);

struct Refusal {
  std::string reason, message;
};

/// Everything the plan of one item is made from.
struct ProbeSeen {
  crds::Host source, target;
  std::string volume;
  bool volume_exists = false;
  std::string volume_driver = "local";
  bool volume_has_options = false;
  bool data_is_mount_point = false;
  bool data_on_parent_device = true;
  std::int64_t free_bytes = 0;
  std::int64_t needed_bytes = 0;
  std::optional<std::int64_t> allocated_bytes;  ///< What the volume takes now; measured where there is no room for two.
  std::vector<std::string> kept;                ///< Old data beside the volume that others keep, in words.
  std::optional<SnapshotFound> snapshot;        ///< What a snapshot item is restored from.
  std::string backup_id;                        ///< Empty: there is none.
  std::string backup_problem;                   ///< Why the asked one cannot be used; empty: it can.
  std::vector<std::string> wal_gaps;            ///< In words.
  std::string wal_advice;                       ///< What else can be restored.
  std::vector<Application> applications;
  std::vector<std::string> other_marks;  ///< Unfinished restores of others beside the volume, in words.
};

/// Why the volume's data cannot be exchanged; empty: it can.
std::string why_not_exchanged(const ProbeSeen& seen);
bool has_room_for_two(const ProbeSeen& seen);

struct Judged {
  crds::RestorePlan plan;
  std::vector<Refusal> refusals;
};
/// The plan of one item and what stands against it.
Judged judge(const crds::RestoreRequest& request, const crds::RestoreItem& item, const ProbeSeen& seen);

}  // namespace roadstead::reconcilers::restore
