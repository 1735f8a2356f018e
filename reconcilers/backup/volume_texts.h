#pragma once

// The conditions of a backup of volumes on its way, and their words.

#include <string>
#include <string_view>
#include <vector>

#include "reconcilers/backup/volume_next.h"

namespace roadstead::reconcilers::backup {

/// A condition of this generation; the message gets its full stop.
void set(crds::Backup& backup, std::string_view type, crds::ConditionStatus status, std::string reason,
         std::string message, Time now);
/// What Complete says on the way.
void say(crds::Backup& backup, const std::string& reason, const std::string& message, Time now);
/// It waits for something named.
void set_waiting(crds::Backup& backup, const std::string& reason, const std::string& message, Time now);
void clear_waiting(crds::Backup& backup, Time now);

/// "hook before/save: why" of each.
std::vector<std::string> lines_of(const std::vector<FailedHook>& hooks);
/// HooksSucceeded, where a hook has failed for good.
void tell_hooks(crds::Backup& backup, Time now);

}  // namespace roadstead::reconcilers::backup
