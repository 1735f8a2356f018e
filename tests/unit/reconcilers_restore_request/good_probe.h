#pragma once

#include <string>
#include <utility>

#include "reconcilers/restore_request/judge.h"

namespace roadstead::reconcilers::restore {

/// What a probe sees where nothing speaks against the restore of `backup_id` into `volume` of host uat.
inline ProbeSeen good_probe(std::string volume, std::string backup_id) {
  ProbeSeen seen;
  seen.source.metadata.name = "annex2";
  seen.source.spec.data = crds::DataAccess{"10.0.0.2", "10022-10031"};
  seen.target.metadata.name = "uat";
  seen.volume = std::move(volume);
  seen.volume_exists = true;
  seen.free_bytes = 1000;
  seen.needed_bytes = 500;
  seen.backup_id = std::move(backup_id);
  return seen;
}

}  // namespace roadstead::reconcilers::restore
