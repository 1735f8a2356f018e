#pragma once

// One function per step, one file each. A step looks, does what is next, and says how that went; it may be asked again
// at any time, by another operator too.

#include "reconcilers/restore_request/run.h"

namespace roadstead::reconcilers::restore {

Outcome probe(Run& run, Frame& frame);
Outcome pin(Run& run, Frame& frame);
Outcome write_mark(Run& run, Frame& frame);
Outcome prepare(Run& run, Frame& frame);
Outcome replay(Run& run, Frame& frame);
Outcome copy(Run& run, Frame& frame);
Outcome finish_tree(Run& run, Frame& frame);
Outcome stop_applications(Run& run, Frame& frame);
Outcome exchange(Run& run, Frame& frame);
/// The old data current again; as often as it is said.
Outcome put_back(Run& run, Frame& frame);
Outcome start_applications(Run& run, Frame& frame);
Outcome check(Run& run, Frame& frame);
Outcome write_receipt(Run& run, Frame& frame);

}  // namespace roadstead::reconcilers::restore
