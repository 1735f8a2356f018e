#pragma once

#include <functional>
#include <memory>

#include "mover/scan.h"
#include "mover/tree_source.h"

namespace roadstead::mover {

/// A directory as a source, at rest or in use (Source::live). Scans it; `listed` hears of entries as they are found.
Outcome<std::unique_ptr<TreeSource>> open_directory_source(const Source& source, const std::stop_token& stop,
                                                           const Listed& listed);

}  // namespace roadstead::mover
