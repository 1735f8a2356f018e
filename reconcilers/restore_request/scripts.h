#pragma once

#include <string_view>

#include "operator/ports/engine.h"

namespace roadstead::reconcilers::restore {

/// The text of one of the files in scripts/, built into the program.
std::string_view script(std::string_view name);

/// It as "/roadstead/<name>", readable by whoever the worker runs as.
ArchiveFile script_file(std::string_view name);

}  // namespace roadstead::reconcilers::restore
