#pragma once

#include <optional>
#include <string>

#include "crds/restore_request.h"
#include "mover/contract/job.h"
#include "reconcilers/support/outcome.h"

namespace roadstead::reconcilers::restore {

/// What pg_controldata said after a replay (`data` of its result): Done only if the database was shut down in recovery,
/// and not before its point. Exit code 0 is never enough.
Outcome judge_replay(const crds::PinnedSource& pinned, const std::string& data);

/// The segments that the copy needs: from redo to the minimum recovery ending location. Nothing: not known, all go.
std::optional<mover::KeepWal> wal_to_keep(const std::string& data);

}  // namespace roadstead::reconcilers::restore
