#pragma once

#include <algorithm>

#include "crds/restore_request.h"

namespace roadstead::reconcilers {

/// An unfinished restore that may still pin any snapshot: it has not begun, or its status was lost and what it pinned
/// is not read back yet. Nothing is forgotten meanwhile.
inline bool may_pin_more(const crds::RestoreRequest& request) {
  if (crds::is_finished(request.status) || !request.status.steps.empty() || request.spec.dry_run) return false;
  return std::ranges::any_of(request.spec.items, [](const crds::RestoreItem& item) {
    return item.from.backup_policy_ref || item.from.backup_ref;
  });
}

}  // namespace roadstead::reconcilers
