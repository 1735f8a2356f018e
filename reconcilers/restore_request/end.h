#pragma once

// How a restore has ended, and what becomes of the data from before.

#include <optional>
#include <string>

#include "reconcilers/restore_request/path.h"

namespace roadstead::reconcilers::restore {

inline constexpr std::string_view kFinalizer = "roadstead.dev/restore";

/// The terminal conditions, once the path is at its end.
void finish(crds::RestoreRequest& request, Time now);

/// In the receipt's result: the old data was left beside the volumes.
inline constexpr std::string_view kKept = "kept";
/// Until when the old data is kept, of a request that ends at `end`; nothing: it goes at once, or there is none.
std::optional<Time> kept_until(const crds::RestoreRequest& request, Time end);

/// The rollback is not done, and why; until the spec is changed again. It is told once.
void refuse_rollback(crds::RestoreRequest& request, const std::string& reason, const std::string& message, Time now);
/// Why there is nothing to roll back.
std::string nothing_kept(const crds::RestoreRequest& request);
/// The conditions, once the old data is gone, or current again.
void finish_aftermath(crds::RestoreRequest& request, Aftermath what, Time now);

}  // namespace roadstead::reconcilers::restore
