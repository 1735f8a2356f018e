#pragma once

// Inside of the room only: the source union that BackupPolicy and Backup share.

#include "crds/backup_policy.h"
#include "crds/common_fields.h"

namespace roadstead::crds {

template <class Io>
void fields(Io& io, BarmanBackupSource& value) {
  io.required("serverRef", value.server_ref);
  io.field("method", value.method);
}

template <class Io>
void fields(Io& io, BackupSource& value) {
  io.optional("barman", value.barman);
}

}  // namespace roadstead::crds
