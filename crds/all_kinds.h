#pragma once

#include <tuple>

#include "crds/backup.h"
#include "crds/backup_policy.h"
#include "crds/barman_server.h"
#include "crds/host.h"
#include "crds/restore_request.h"

namespace roadstead::crds {

/// Every kind this program knows, for code that does the same for each.
using AllKinds = std::tuple<Host, BarmanServer, BackupPolicy, Backup, RestoreRequest>;

}  // namespace roadstead::crds
