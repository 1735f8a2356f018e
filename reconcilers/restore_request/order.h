#pragma once

// Who comes first, and what several requests need together.

#include <string>
#include <vector>

#include "crds/restore_request.h"

namespace roadstead::reconcilers::restore {

/// What a request needs for itself alone.
struct Claims {
  std::string target_host;
  std::vector<std::string> volumes;         ///< On the target.
  std::vector<std::string> barman_servers;  ///< "namespace/name": their recover volumes.
};
Claims claims_of(const crds::RestoreRequest& request);

/// The unfinished request that `request` must wait for: one that has begun to touch the same volume or recover volume,
/// else one that was created before it. Null: none.
const crds::RestoreRequest* first_before(const crds::RestoreRequest& request,
                                         const std::vector<crds::RestoreRequest>& all);

/// True if another request, not finished, is pinned to this backup.
bool needed_by_another(const crds::RestoreRequest& request, const std::vector<crds::RestoreRequest>& all,
                       const std::string& server, const std::string& backup_root);
/// True if one of those set its protection, and so would release it: who pins it now has to set it as well.
bool kept_by_another(const crds::RestoreRequest& request, const std::vector<crds::RestoreRequest>& all,
                     const std::string& server, const std::string& backup_root);

}  // namespace roadstead::reconcilers::restore
