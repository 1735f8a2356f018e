#pragma once

#include <string>
#include <vector>

#include "crds/backup.h"
#include "crds/barman_server.h"
#include "reconcilers/barman_server/decide.h"

namespace roadstead::reconcilers::barman_server {

/// What has to change among the Backup objects of a server's namespace so that they tell what the catalogue holds.
struct ObjectChanges {
  std::vector<crds::Backup>
      create;                       ///< Good backups without an object: a store that was lost, or somebody else's work.
  std::vector<std::string> remove;  ///< Names of objects whose backup is gone: retention, or deleted by hand.
};

/// `objects`: all Backups of the namespace. A base backup of ours gets back the name it was made under, any other
/// "<server>-<id in lower case>".
ObjectChanges object_changes(const crds::BarmanServer& server, const std::vector<crds::CatalogBackup>& catalogue,
                             const std::vector<crds::Backup>& objects);

/// Catalogue entries that no backup will complete any more.
struct Leftovers {
  std::vector<std::string> ours;     ///< To be deleted: made by this program, their failure recorded.
  std::vector<std::string> foreign;  ///< Failed, made by somebody else: only told.
};

/// `backup_lock_held`: some base backup of this server is in the making, so an entry that is STARTED may be alive.
Leftovers leftovers(const crds::BarmanServer& server, const std::vector<crds::CatalogBackup>& catalogue,
                    const std::vector<crds::Backup>& objects, bool backup_lock_held);

/// True if a base backup is in the making, or waits for WAL: not those of others that are stuck, who may stay so.
bool is_busy(const std::vector<crds::CatalogBackup>& catalogue, const std::vector<std::string>& foreign_failures);

/// The one base backup that the operator makes by itself: the first, or the one that closes a gap in the WAL
/// (`interruption`: what tells this gap from another; empty: there is none). Nothing where it is not wanted, or its
/// object is there already. One that failed is followed by another (<name>-2, …), each after a longer pause.
std::optional<crds::Backup> own_backup(const crds::BarmanServer& server,
                                       const std::vector<crds::CatalogBackup>& catalogue,
                                       const std::vector<crds::Backup>& objects, const std::string& interruption,
                                       Time now);

/// The newest of those that failed, as long as none is under way.
std::optional<OwnFailure> own_failure(const crds::BarmanServer& server,
                                      const std::vector<crds::CatalogBackup>& catalogue,
                                      const std::vector<crds::Backup>& objects, const std::string& interruption);

}  // namespace roadstead::reconcilers::barman_server
