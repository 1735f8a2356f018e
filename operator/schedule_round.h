#pragma once

#include <functional>

#include "operator/base/names.h"
#include "operator/ports/resource_client.h"

namespace roadstead {

/// One round of the heartbeat: asks for every BackupPolicy to be looked at, so that a wall clock that jumped reaches
/// their schedules. It reads the store and waits its turn with the store's writer: where either hangs, so does the
/// heartbeat. Errors: the policies cannot be listed.
Result<void> schedule_round(ResourceClient& api, const std::function<void(const ObjectKey&)>& wake);

}  // namespace roadstead
