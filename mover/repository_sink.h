#pragma once

#include <memory>

#include "mover/sink.h"

namespace roadstead::mover {

/// A sink that makes a new snapshot in a repository directory: what the newest snapshot has unchanged is not asked for,
/// what the repository has is not sent.
Outcome<std::unique_ptr<Sink>> open_repository_sink(const Snapshot& snapshot);

}  // namespace roadstead::mover
