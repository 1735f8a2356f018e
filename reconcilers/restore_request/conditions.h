#pragma once

// The conditions of a restore on its way, and their words.

#include <string>

#include "operator/base/clock.h"
#include "reconcilers/restore_request/record.h"

namespace roadstead::reconcilers::restore {

/// A condition of this generation.
void set(crds::RestoreRequest& request, std::string type, crds::ConditionStatus status, std::string reason,
         std::string message, Time now);
/// What Complete says on the way; an end that is decided is not talked over.
void say(crds::RestoreRequest& request, const std::string& message, Time now);
/// Nothing is waited for any more: neither somebody nor a host.
void clear_waiting(crds::RestoreRequest& request, Time now);

}  // namespace roadstead::reconcilers::restore
