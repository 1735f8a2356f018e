#pragma once

#include <vector>

#include "reconcilers/restore_request/mark.h"
#include "reconcilers/restore_request/run.h"

namespace roadstead::reconcilers::restore {

/// The marks of this request beside its target volumes. Nothing on the host is changed.
/// Errors: Invalid (a mark that cannot be read), and those of the engine.
Result<std::vector<FoundMark>> find_marks(Run& run, const HostHandle& target);

}  // namespace roadstead::reconcilers::restore
