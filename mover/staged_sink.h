#pragma once

#include <memory>

#include "mover/sink.h"

namespace roadstead::mover {

/// A sink that builds a staged tree (see staged_tree.h). Only for sources at rest.
Outcome<std::unique_ptr<Sink>> open_staged_sink(const Target& target);

}  // namespace roadstead::mover
