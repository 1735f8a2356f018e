#include "mover/tree_parts.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstring>

#include "mover/directory_cursor.h"
#include "mover/metadata.h"
#include "mover/ticking.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;

dev_t device_of(const Node& entry) { return makedev(entry.major_number(), entry.minor_number()); }

bool read_whole(const Fd& fd, std::span<std::byte> out, std::uint64_t offset) {
  return read_at(fd.get(), out, offset) == static_cast<ssize_t>(out.size());
}

bool is_link_to(int directory, const char* name, const std::string& target) {
  std::string found(kMaxLinkTarget + 1, '\0');
  const ssize_t n = ::readlinkat(directory, name, found.data(), found.size());
  return n >= 0 && std::string_view(found).substr(0, static_cast<std::size_t>(n)) == target;
}

int make_node(const EntryList& entries, std::uint32_t id, int directory) {
  const Node& entry = entries[id];
  switch (entry.type) {
    case EntryType::SymbolicLink:
      return ::symlinkat(entries.link_target_of(id).c_str(), directory, entry.name_bytes);
    case EntryType::CharacterDevice:
      return ::mknodat(directory, entry.name_bytes, S_IFCHR | 0600, device_of(entry));
    case EntryType::BlockDevice:
      return ::mknodat(directory, entry.name_bytes, S_IFBLK | 0600, device_of(entry));
    default:
      return ::mknodat(directory, entry.name_bytes, S_IFIFO | 0600, 0);
  }
}

/// True: made a hole, or there is nothing to make one of.
Outcome<void> make_hole(int fd, const EntryList& entries, std::uint32_t file, std::uint64_t begin, std::uint64_t end) {
  if (begin >= end) return {};
  const off_t data = ::lseek(fd, static_cast<off_t>(begin), SEEK_DATA);
  if (data < 0 ? errno == ENXIO : static_cast<std::uint64_t>(data) >= end) return {};
  if (::fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(begin),
                  static_cast<off_t>(end - begin)) == 0)
    return {};
  if (errno != EOPNOTSUPP && errno != ENOSYS) return failed_call(errno, "make a hole in {}", entries.path_of(file));
  // A file system without holes keeps zeros instead.
  static const Bytes zeros(kExtent);
  for (std::uint64_t at = begin; at < end; at += kExtent)
    if (const int error = write_at(fd, std::span(zeros).first(std::min<std::uint64_t>(kExtent, end - at)), at))
      return failed_call(error, "write {}", entries.path_of(file));
  return {};
}

}  // namespace

bool fits(const Node& entry, const struct stat& status) {
  switch (entry.type) {
    case EntryType::Directory:
      return S_ISDIR(status.st_mode);
    case EntryType::File:
    case EntryType::HardLink:
      return S_ISREG(status.st_mode);
    case EntryType::SymbolicLink:
      return S_ISLNK(status.st_mode);
    case EntryType::CharacterDevice:
      return S_ISCHR(status.st_mode) && status.st_rdev == device_of(entry);
    case EntryType::BlockDevice:
      return S_ISBLK(status.st_mode) && status.st_rdev == device_of(entry);
    case EntryType::Fifo:
      return S_ISFIFO(status.st_mode);
  }
  return false;
}

Outcome<void> remove_strangers(const EntryList& entries, std::uint32_t id, int directory, const Tick& tick,
                               const Present& present) {
  const auto names = names_in(directory);
  if (!names) return failed(names.error());
  for (const std::string& name : *names) {
    if (auto go_on = tick(); !go_on) return go_on;
    const auto status = status_of(directory, name);
    if (!status) return failed(status.error());
    if (!*status) continue;
    const std::uint32_t child = entries.find(id, name);
    if (child != 0 && fits(entries[child], **status)) {
      if (auto noted = present(child, **status); !noted) return noted;
      continue;
    }
    if (auto removed = remove_tree(directory, name, tick); !removed) return failed(removed.error());
  }
  return {};
}

Outcome<void> make_special(const EntryList& entries, std::uint32_t id, int directory) {
  const Node& entry = entries[id];
  const auto there = status_of(directory, std::string(entry.name()));
  if (!there) return failed(there.error());
  // Of several names, another one may be none of this tree.
  bool right = *there && fits(entry, **there) && (*there)->st_nlink == 1;
  if (right && entry.type == EntryType::SymbolicLink)
    right = is_link_to(directory, entry.name_bytes, entries.link_target_of(id));
  if (!right) {
    if (*there && ::unlinkat(directory, entry.name_bytes, 0) != 0 && errno != ENOENT)
      return failed_call(errno, "remove {}", entries.path_of(id));
    if (make_node(entries, id, directory) != 0) return failed_call(errno, "make {}", entries.path_of(id));
  }
  return give_metadata_at(directory, entries, id);
}

Outcome<void> shape_file(int fd, const EntryList& entries, std::uint32_t file) {
  const Node& entry = entries[file];
  const auto now = status_of(fd);
  if (!now) return failed(now.error());
  if (static_cast<std::uint64_t>(now->st_size) != entry.size && ::ftruncate(fd, static_cast<off_t>(entry.size)) != 0)
    return failed_call(errno, "give {} its size", entries.path_of(file));
  if (!entry.sparse) return {};
  std::uint64_t at = 0;
  for (const Range& range : entries.ranges_of(file)) {
    if (auto made = make_hole(fd, entries, file, at, range.offset); !made) return made;
    at = range.offset + range.length;
  }
  return make_hole(fd, entries, file, at, entry.size);
}

Outcome<void> link_names(const EntryList& entries, int root, const Tick& tick) {
  DirectoryCursor from_directories(entries, root), to_directories(entries, root);
  for (std::uint32_t id = 0; id < entries.size(); ++id) {
    if (entries[id].type != EntryType::HardLink) continue;
    if (auto go_on = tick(); !go_on) return go_on;
    const Node& first = entries[entries[id].link_to()];
    const auto from = from_directories.enter(first.parent);
    if (!from) return failed(from.error());
    const auto to = to_directories.enter(entries[id].parent);
    if (!to) return failed(to.error());
    const auto file = status_of(*from, first.name_bytes);
    const auto there = status_of(*to, entries[id].name_bytes);
    if (!file) return failed(file.error());
    if (!there) return failed(there.error());
    if (*file && *there && (*file)->st_ino == (*there)->st_ino) continue;
    if (*there && ::unlinkat(*to, entries[id].name_bytes, 0) != 0 && errno != ENOENT)
      return failed_call(errno, "remove {}", entries.path_of(id));
    if (::linkat(*from, first.name_bytes, *to, entries[id].name_bytes, 0) != 0)
      return failed_call(errno, "make hard link {}", entries.path_of(id));
  }
  return {};
}

Outcome<void> dress_directories(const EntryList& entries, int root, const Tick& tick) {
  DirectoryCursor directories(entries, root);
  // Parents come before children, so backwards is deepest first.
  for (std::uint32_t id = entries.size(); id-- > 0;) {
    if (entries[id].type != EntryType::Directory) continue;
    if (auto go_on = tick(); !go_on) return go_on;
    const auto directory = directories.enter(id);
    if (!directory) return failed(directory.error());
    const auto status = status_of(*directory);
    if (!status) return failed(status.error());
    if (auto done = give_metadata(*directory, entries, id, *status, Attributes::Unknown); !done) return done;
  }
  return {};
}

Outcome<void> sync_file_system(int fd, const Tick& tick) {
  return while_ticking(tick, [fd]() -> Outcome<void> {
    if (::syncfs(fd) != 0) return failed_call(errno, "sync the target's file system");
    return {};
  });
}

bool is_all_data(int fd, std::uint64_t offset, std::uint64_t length) {
  const off_t hole = ::lseek(fd, static_cast<off_t>(offset), SEEK_HOLE);
  return hole >= 0 && static_cast<std::uint64_t>(hole) >= offset + length;
}

// ---- TreeThread -----------------------------------------------------------------------------------------------------

std::span<std::byte> TreeThread::scratch(std::size_t bytes) {
  if (scratch_.empty()) scratch_.resize(kExtent);
  return std::span(scratch_).first(bytes);
}

Digest TreeThread::name(std::span<const std::byte> bytes, Seen& seen) {
  const Digest name = hasher_.of(bytes);
  seen.pieces.assign(hasher_.pieces().begin(), hasher_.pieces().end());
  return name;
}

Outcome<std::optional<Digest>> TreeThread::look(const Spot& spot, FileState& state, Seen& seen) {
  const auto& file = static_cast<TreeFile&>(state);
  if (file.has_content && is_all_data(file.file.get(), spot.offset, spot.length)) {
    const std::uint64_t piece = spot.offset / kExtent;
    const bool whole_piece = spot.offset % kExtent == 0 && spot.offset < file.known_size &&
                             spot.length == std::min<std::uint64_t>(kExtent, file.known_size - spot.offset);
    if (whole_piece && piece < file.known.size() && file.known[piece] != kZeroDigest) return file.known[piece];
    const auto out = scratch(spot.length);
    if (read_whole(file.file, out, spot.offset)) return name(out, seen);
  }
  if (!file.old || spot.offset + spot.length > file.old_size) return std::nullopt;
  seen.bytes.resize(spot.length);
  if (read_whole(file.old, seen.bytes, spot.offset)) return name(seen.bytes, seen);
  seen.bytes.clear();
  return std::nullopt;
}

Outcome<void> TreeThread::same(const Spot& spot, FileState& state, const Digest&, std::span<const std::byte> kept) {
  return kept.empty() ? Outcome<void>{} : write(spot, static_cast<TreeFile&>(state), kept);
}

/// It is this file that was looked at or read, not the old one: the other pieces are in their place.
Outcome<bool> TreeThread::patch(const Spot& spot, FileState& state, const Patched& patched) {
  const auto& file = static_cast<TreeFile&>(state);
  std::span<const std::byte> rest = patched.bytes;
  for (const Range& range : ranges_of(patched.changed, spot.length)) {
    if (auto written = write_at_spot(spot, file, rest.first(range.length), range.offset); !written)
      return failed(written.error());
    rest = rest.subspan(range.length);
  }
  return true;
}

Outcome<bool> TreeThread::read_old(const Spot& spot, FileState& state, const Digest&, std::span<std::byte> out) {
  return read_whole(static_cast<TreeFile&>(state).file, out, spot.offset);
}

Outcome<void> TreeThread::put(const Spot& spot, FileState& state, const Extent& extent) {
  return write(spot, static_cast<TreeFile&>(state), extent.plain);
}

Outcome<void> TreeThread::write_part(const Spot& spot, const TreeFile& file, std::span<const std::byte> data,
                                     std::size_t begin, std::size_t end) {
  return begin == end ? Outcome<void>{} : write_at_spot(spot, file, data.subspan(begin, end - begin), begin);
}

Outcome<void> TreeThread::write_at_spot(const Spot& spot, const TreeFile& file, std::span<const std::byte> data,
                                        std::size_t begin) {
  if (const int error = write_at(file.file.get(), data, spot.offset + begin))
    return failed_call(error, "write {}", entries_.path_of(spot.file));
  return {};
}

Outcome<void> TreeThread::write(const Spot& spot, TreeFile& file, std::span<const std::byte> data) {
  const int fd = file.file.get();
  const bool compared = file.has_content && spot.length > kPiece && is_all_data(fd, spot.offset, spot.length) &&
                        read_whole(file.file, scratch(spot.length), spot.offset);
  if (!compared) return write_part(spot, file, data, 0, data.size());
  // Only pieces that differ: what is not written need not go to the disk again, and a shared extent stays shared.
  std::size_t begin = 0;
  for (std::size_t at = 0; at < data.size(); at += kPiece) {
    const std::size_t bytes = std::min(kPiece, data.size() - at);
    if (std::memcmp(data.data() + at, scratch_.data() + at, bytes) != 0) continue;
    if (auto written = write_part(spot, file, data, begin, at); !written) return written;
    begin = at + bytes;
  }
  return write_part(spot, file, data, begin, data.size());
}

}  // namespace roadstead::mover
