#pragma once

// How a backup of volumes has ended.

#include "reconcilers/backup/volume_next.h"

namespace roadstead::reconcilers::backup {

/// The terminal conditions and the totals, once the run is at its end.
void finish(crds::Backup& backup, Time now);

}  // namespace roadstead::reconcilers::backup
