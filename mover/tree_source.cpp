#include "mover/tree_source.h"

#include <algorithm>

#include "mover/scan.h"

namespace roadstead::mover {

void take(Changes& changes, const Restated& restated, const EntryList& entries) {
  const bool directory = entries[restated.file].type == EntryType::Directory;
  const std::string path = (restated.file == 0 ? "." : entries.path_of(restated.file)) + (directory ? "/" : "");
  if (!restated.unreadable.empty())
    tell(changes.unreadable, fmt::format("{} ({})", path, restated.unreadable));
  else
    tell(changes.changed, restated.entry ? path : path + " (vanished)");
}

Outcome<Spot> spot_of(const EntryList& entries, std::uint32_t file, std::uint64_t offset, std::uint32_t length) {
  const auto refuse = [] { return failed(protocol_error("the peer wants what the source does not have")); };
  if (file >= entries.size() || entries[file].type != EntryType::File) return refuse();
  if (!entries[file].sparse) {
    const Range piece = first_piece_of({offset, entries[file].size - std::min(offset, entries[file].size)});
    if (offset % kExtent != 0 || piece.length != length || length == 0) return refuse();
    return Spot{file, static_cast<std::uint32_t>(offset / kExtent), offset, length};
  }
  std::uint64_t index = 0;
  for (const Range& range : entries.ranges_of(file)) {
    if (offset >= range.offset + range.length) {
      index += pieces_in(range);
      continue;
    }
    if (offset < range.offset) return refuse();
    const Range rest{offset, range.offset + range.length - offset};
    if (first_piece_of(rest).length != length || (offset != range.offset && offset % kExtent != 0)) return refuse();
    return Spot{file, static_cast<std::uint32_t>(index + pieces_in(range) - pieces_in(rest)), offset, length};
  }
  return refuse();
}

}  // namespace roadstead::mover
