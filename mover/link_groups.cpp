#include "mover/link_groups.h"

#include <algorithm>

#include "mover/directory_cursor.h"

namespace roadstead::mover {
namespace {

std::uint32_t first_name_of(const EntryList& entries, std::uint32_t id) {
  return entries[id].type == EntryType::HardLink ? entries[id].link_to() : id;
}

Outcome<void> remove_name(const EntryList& entries, DirectoryCursor& directories, std::uint32_t id) {
  const auto directory = directories.enter(entries[id].parent);
  if (!directory) return failed(directory.error());
  if (::unlinkat(*directory, entries[id].name_bytes, 0) != 0 && errno != ENOENT)
    return failed_call(errno, "remove {}", entries.path_of(id));
  return {};
}

}  // namespace

Outcome<void> LinkGroups::take_apart(const EntryList& entries, int root, const Tick& tick) {
  DirectoryCursor directories(entries, root);
  std::sort(noted_.begin(), noted_.end(),
            [](const Name& a, const Name& b) { return a.inode != b.inode ? a.inode < b.inode : a.id < b.id; });
  for (auto begin = noted_.begin(); begin != noted_.end();) {
    if (auto go_on = tick(); !go_on) return go_on;
    const auto end = std::find_if(begin, noted_.end(), [&](const Name& one) { return one.inode != begin->inode; });
    const auto file =
        std::find_if(begin, end, [&](const Name& one) { return entries[one.id].type == EntryType::File; });
    const auto belongs = [&](const Name& one) { return file != end && first_name_of(entries, one.id) == file->id; };
    for (auto one = begin; one != end; ++one)
      if (!belongs(*one))
        if (auto removed = remove_name(entries, directories, one->id); !removed) return removed;
    if (file != end) {
      const auto directory = directories.enter(entries[file->id].parent);
      if (!directory) return failed(directory.error());
      const auto now = status_of(*directory, entries[file->id].name_bytes);
      if (!now) return failed(now.error());
      const auto names = static_cast<std::uint32_t>(std::count_if(begin, end, belongs));
      // Otherwise it has a name somewhere else, so that it must become another file; its names follow it in the end.
      if (*now && (*now)->st_nlink == names) whole_.push_back({file->id, names});
    }
    begin = end;
  }
  noted_ = {};
  std::sort(whole_.begin(), whole_.end(), [](const Group& a, const Group& b) { return a.file < b.file; });
  return {};
}

nlink_t LinkGroups::names_of(std::uint32_t file) const {
  const auto found = std::lower_bound(whole_.begin(), whole_.end(), file,
                                      [](const Group& one, std::uint32_t wanted) { return one.file < wanted; });
  return found != whole_.end() && found->file == file ? found->names : 1;
}

}  // namespace roadstead::mover
