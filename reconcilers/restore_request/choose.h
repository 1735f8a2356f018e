#pragma once

// Which base backup a database is restored from, and where its WAL ends.

#include <optional>
#include <string>
#include <vector>

#include "crds/barman_server.h"
#include "crds/restore_request.h"
#include "reconcilers/support/wal.h"

namespace roadstead::reconcilers::restore {

struct ChosenBackup {
  std::optional<crds::CatalogBackup> backup;
  std::string problem;  ///< Why there is none, and what to do.
};
/// latest: the newest full backup that is DONE. backupID: that one, if it can be restored.
ChosenBackup choose_backup(const crds::RestorePoint& point, const std::string& server,
                           const std::vector<crds::CatalogBackup>& catalogue);

/// The size of the WAL segments that the backup was made with: the one for which its first position lies in its first
/// segment. The default where that is not known.
std::uint64_t segment_bytes_of(const crds::CatalogBackup& backup);
/// A name behind every segment of the same timeline, at every segment size.
std::string end_of_timeline(const std::string& segment);
/// The newest complete segment there is; `otherwise` where none is newer.
std::string newest_of(const WalListing& listing, const std::string& otherwise);

}  // namespace roadstead::reconcilers::restore
