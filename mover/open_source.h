#pragma once

#include <memory>

#include "mover/live_source.h"

namespace roadstead::mover {

/// The source of a job: a directory, which is scanned, or a snapshot, which is read. `listed`: see scan().
Outcome<std::unique_ptr<TreeSource>> open_source(const Source& source, const std::stop_token& stop,
                                                 const Listed& listed = {});

}  // namespace roadstead::mover
