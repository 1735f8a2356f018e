#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "mover/contract/job.h"
#include "mover/entry.h"
#include "mover/files.h"

namespace roadstead::mover {

/// The further names of what has several.
struct LinkedNames {
  std::uint64_t inode = 0;
  std::vector<std::uint32_t> others;
};

/// A source tree as it was listed.
struct Scan {
  Fd root;
  EntryList entries;
  Told skipped;                       ///< Sockets, other people's attributes, the content of other file systems.
  Told unreadable;                    ///< Live sources only: what could not be listed or looked at.
  std::uint64_t allocated_bytes = 0;  ///< What the files take on the disk.
  std::unordered_map<std::uint32_t, LinkedNames> linked;  ///< By the first name.
};

/// Counts `name`, and keeps it while there are few.
void tell(Told& told, std::string name);

/// Changes whenever the file does: inode and change time (which moves with every change of content or metadata) mixed.
/// Without kUnsettled.
std::uint64_t stamp_of(const struct stat& status);

/// Called with the scan so far.
using Listed = std::function<Outcome<void>(const Scan&)>;

/// Whether the stamp of an entry is that of the file, settled or not.
bool is_stamp(std::uint64_t stamp, const struct stat& status);

/// Lists `source`; several threads look at it. `listed` is called every few hundred entries, and every few hundred
/// milliseconds while there are no new ones; its failure ends the scan. Symbolic links are never followed; the root
/// itself may be reached by one. SourceChanged where an entry vanishes meanwhile, unless the source is live.
Outcome<Scan> scan(const Source& source, const std::stop_token& stop, const Listed& listed = {});

/// What a file is now: `entry` with everything of its status, unsettled. `fd` is open. For files that changed after the
/// scan. Without its holes where they are more than `entries` has room for.
Outcome<void> describe_again(Entry& entry, int fd, const EntryList& entries);

}  // namespace roadstead::mover
