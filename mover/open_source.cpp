#include "mover/open_source.h"

#include "mover/snapshot_source.h"
#include "mover/ticking.h"

namespace roadstead::mover {

Outcome<std::unique_ptr<TreeSource>> open_source(const Source& source, const std::stop_token& stop,
                                                 const Listed& listed) {
  if (source.snapshot) {
    const Scan nothing;  // there is nothing to tell yet
    const Tick tick = [&] { return listed ? listed(nothing) : Outcome<void>{}; };
    return while_ticking(tick, [&] { return open_snapshot_source(source.path, *source.snapshot); });
  }
  return open_directory_source(source, stop, listed);
}

}  // namespace roadstead::mover
