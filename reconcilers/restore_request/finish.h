#pragma once

#include <string>

#include "crds/restore_request.h"

namespace roadstead::reconcilers::restore {

/// The lines of the managed block in postgresql.auto.conf.
std::string recovery_settings(const crds::PinnedSource& pinned, bool on_the_sources_host);

}  // namespace roadstead::reconcilers::restore
