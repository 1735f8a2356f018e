#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "mover/contract/job.h"
#include "mover/outcome.h"

namespace roadstead::mover {

/// Writes a file below the directory `tree`, durable, for this owner. `scratch`: a directory on the same mount; -1: the
/// file's own. InvalidJob where its path leads out of the tree.
Outcome<void> write_finish_file(int scratch, int tree, uid_t uid, gid_t gid, const FinishFile& file);

/// `text` with `block` between the marker lines at its end, whatever stood between them before.
std::string with_managed_block(std::string_view text, std::string_view block);

}  // namespace roadstead::mover
