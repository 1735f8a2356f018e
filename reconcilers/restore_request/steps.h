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
/// What `overwrite` will have to write, found out before anything is stopped.
Outcome compare(Run& run, Frame& frame);
Outcome exchange(Run& run, Frame& frame);
/// The volume's own data made like the source; from its mark on there is no way back.
Outcome overwrite(Run& run, Frame& frame);
/// The old data current again; as often as it is said.
Outcome put_back(Run& run, Frame& frame);
Outcome start_applications(Run& run, Frame& frame);
Outcome check(Run& run, Frame& frame);
Outcome write_receipt(Run& run, Frame& frame);
/// After the end: the old data, kept until now, goes.
Outcome discard_kept(Run& run, Frame& frame);
/// Is the old data still there, and the restored one still current?
Outcome probe_rollback(Run& run, Frame& frame);
Outcome write_rollback_receipt(Run& run, Frame& frame);

}  // namespace roadstead::reconcilers::restore
