#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "mover/contract/job.h"
#include "mover/entry.h"
#include "mover/files.h"
#include "mover/filter.h"

namespace roadstead::mover {

/// What a scan found besides the entries themselves.
struct Skipped {
  static constexpr std::size_t kNamed = 20;
  std::uint64_t count = 0;         ///< Devices, FIFOs, sockets, and the content of other file systems' mount points.
  std::vector<std::string> names;  ///< The first kNamed.
};

/// Which file an entry of the source was, to notice when it is another one.
struct Identity {
  std::uint64_t inode = 0;
  std::int64_t change_nanos = 0;  ///< ctime: moves with every change of content or metadata.
  bool operator==(const Identity&) const = default;
};

Identity identity_of(const struct stat& status);

/// A source tree as it was listed.
struct Scan {
  Fd root;
  EntryList entries;
  std::vector<Identity> identities;  ///< By entry.
  Skipped skipped;
  std::uint64_t allocated_bytes = 0;  ///< What the files take on the disk.
};

/// Called with the scan so far.
using Listed = std::function<Outcome<void>(const Scan&)>;

/// Lists `source`, one directory after another. `listed` is called every few hundred entries; its failure ends the
/// scan. Symbolic links are never followed; the root itself may be reached by one.
Outcome<Scan> scan(const Source& source, const std::stop_token& stop, const Listed& listed = {});

/// Opens the directory of an entry, component by component from the root.
Outcome<Fd> open_entry_directory(const EntryList& entries, int root, std::uint32_t directory);

}  // namespace roadstead::mover
