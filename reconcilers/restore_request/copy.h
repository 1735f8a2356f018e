#pragma once

#include "reconcilers/restore_request/run.h"

namespace roadstead::reconcilers::restore {

/// Where an item's data arrives: a staged tree, or the volume's own.
using Sink = std::variant<mover::Target, mover::InPlace>;

/// What the receiver said, durable; or what the step has to answer while there is none.
std::variant<mover::CopyData, Outcome> copy_to(Run& run, Frame& frame, const Sink& sink);

}  // namespace roadstead::reconcilers::restore
