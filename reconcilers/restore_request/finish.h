#pragma once

#include <string>
#include <variant>
#include <vector>

#include "reconcilers/restore_request/run.h"

namespace roadstead::reconcilers::restore {

/// The lines of the managed block in postgresql.auto.conf.
std::string recovery_settings(const crds::PinnedSource& pinned, bool on_the_sources_host);

/// The files with which a restored database recovers to its point and no further; or what the step has to answer.
std::variant<std::vector<mover::FinishFile>, Outcome> recovery_files(Run& run, const crds::RestoreItem& item);

}  // namespace roadstead::reconcilers::restore
