#pragma once

#include <memory>

#include "mover/sink.h"

namespace roadstead::mover {

/// A sink that makes a volume's own `_data` like the source, or only compares it (see InPlace). Only for sources at
/// rest. Files are overwritten where they lie, and only where they differ; it may be cut off and run again. Everything
/// happens through directory descriptors below `_data`: no link, no mount and no name of the list leads out of it.
///
/// MountPoint: something is mounted inside the tree. Refused: the source lacks the keystone. Both, NoSpace and
/// ProtocolError before anything is changed.
Outcome<std::unique_ptr<Sink>> open_in_place_sink(const InPlace& job);

}  // namespace roadstead::mover
