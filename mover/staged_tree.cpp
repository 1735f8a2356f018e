#include "mover/staged_tree.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <array>
#include <future>

#include "mover/scan.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t kBlock = 4096;       ///< What a file's end or a directory costs at least.
constexpr std::uint64_t kCloneFrom = 65536;  ///< Smaller files are as quickly read.

std::array<timespec, 2> times_of(const Node& entry) {
  const timespec time{entry.mtime_seconds, static_cast<long>(entry.mtime_nanos)};
  return {time, time};
}

bool fits(const Node& entry, const struct stat& status) {
  switch (entry.type) {
    case EntryType::Directory:
      return S_ISDIR(status.st_mode);
    case EntryType::File:
      return S_ISREG(status.st_mode);
    case EntryType::SymbolicLink:
      return S_ISLNK(status.st_mode);
    case EntryType::CharacterDevice:
    case EntryType::BlockDevice:
    case EntryType::Fifo:
      return false;
    case EntryType::HardLink:
      return false;  // made anew in the end, by then the file it names is there
  }
  return false;
}

std::uint64_t rounded_up(std::uint64_t bytes) { return (bytes + kBlock - 1) / kBlock * kBlock; }

/// Owner before mode: a change of owner takes setuid and setgid away.
Outcome<void> give_metadata(int fd, const Node& entry, const struct stat& now, std::string_view what) {
  if ((now.st_uid != entry.uid || now.st_gid != entry.gid) && ::fchown(fd, entry.uid, entry.gid) != 0)
    return failed_call(errno, "give {} its owner", what);
  if (::fchmod(fd, entry.mode) != 0) return failed_call(errno, "give {} its mode", what);
  if (::futimens(fd, times_of(entry).data()) != 0) return failed_call(errno, "give {} its time", what);
  return {};
}

}  // namespace

// ---- StagedTree -----------------------------------------------------------------------------------------------------

Outcome<StagedTree> StagedTree::open(const Target& target) {
  StagedTree tree;
  auto place = make_place(target);
  if (!place) return failed(place.error());
  tree.place_ = std::move(*place);
  const auto journal_of = Journal::tree_of(tree.place_.request.get());
  const auto data = tree.place_.data();
  const auto found = tree.place_.tree();
  if (!journal_of) return failed(journal_of.error());
  if (!data) return failed(data.error());
  if (!found) return failed(found.error());
  if (*data && *journal_of != 0 && (*data)->st_ino == *journal_of)
    return failed("AlreadyCurrent", fmt::format("the tree of {} is the volume's data already", target.request),
                  "nothing is to be copied for this request; give a new request a new name");
  auto root = make_and_open_directory(tree.place_.request.get(), std::string(kTreeName), 0700);
  if (!root) return failed(root.error());
  tree.fresh_root_ = !*found;
  tree.root_ = std::move(*root);
  const auto status = status_of(tree.root_.get());
  if (!status) return failed(status.error());
  tree.inode_ = status->st_ino;
  auto old = open_directory_if_any(tree.place_.parent.get(), std::string(kDataName));
  if (!old) return failed(old.error());
  tree.old_root_ = std::move(*old);
  auto journal = Journal::open(tree.place_.request.get(), tree.inode_);
  if (!journal) return failed(journal.error());
  tree.journal_ = std::make_unique<Journal>(std::move(*journal));
  tree.clones_ = std::make_unique<std::atomic<bool>>(tree.can_clone());
  return tree;
}

bool StagedTree::can_clone() const {
  const auto scratch = [&](const char* name) {
    Fd fd(::openat(place_.request.get(), name, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
    ::unlinkat(place_.request.get(), name, 0);
    return fd;
  };
  const Fd from = scratch("clone-from"), to = scratch("clone-to");
  const std::array<std::byte, kBlock> block{};
  return from && to && write_at(from.get(), block, 0) == 0 && ::ioctl(to.get(), FICLONE, from.get()) == 0;
}

Outcome<void> StagedTree::prepare(const EntryList& entries, const Tick& tick) {
  fresh_.assign(entries.size(), false);
  fresh_[0] = fresh_root_;
  present_bytes_ = present_entries_ = 0;
  for (std::uint32_t id = 0; id < entries.size(); ++id) {
    if (entries[id].type != EntryType::Directory) continue;
    if (auto done = prepare_directory(entries, id, tick); !done) return done;
  }
  return {};
}

Outcome<void> StagedTree::prepare_directory(const EntryList& entries, std::uint32_t id, const Tick& tick) {
  if (auto go_on = tick(); !go_on) return go_on;
  const auto directory = open_entry_directory(entries, root_.get(), id);
  if (!directory) return failed(directory.error());
  if (::fchmod(directory->get(), 0700) != 0) return failed_call(errno, "close {} to others", entries.path_of(id));
  if (!fresh_[id])
    if (auto done = remove_strangers(entries, id, directory->get(), tick); !done) return done;
  for (const std::uint32_t child : entries.children_of(id)) {
    if (entries[child].type == EntryType::File) continue;  // made when its first extent is
    if (auto go_on = tick(); !go_on) return go_on;
    if (auto done = make_child(entries, child, directory->get()); !done) return done;
  }
  return {};
}

Outcome<void> StagedTree::remove_strangers(const EntryList& entries, std::uint32_t id, int directory,
                                           const Tick& tick) {
  const auto names = names_in(directory);
  if (!names) return failed(names.error());
  for (const std::string& name : *names) {
    if (auto go_on = tick(); !go_on) return go_on;
    const auto status = status_of(directory, name);
    if (!status) return failed(status.error());
    if (!*status) continue;
    const std::uint32_t child = entries.find(id, name);
    const bool wanted = child != 0 && fits(entries[child], **status);
    if (!wanted) {
      if (auto removed = remove_tree(directory, name, {}); !removed) return failed(removed.error());
      continue;
    }
    ++present_entries_;
    if (entries[child].type == EntryType::File)
      present_bytes_ +=
          std::min(static_cast<std::uint64_t>((*status)->st_blocks) * 512, rounded_up(entries.data_bytes_of(child)));
  }
  return {};
}

Outcome<void> StagedTree::make_child(const EntryList& entries, std::uint32_t id, int directory) {
  const Node& entry = entries[id];
  if (entry.type == EntryType::SymbolicLink) return make_symbolic_link(entries, id, directory);
  if (entry.type != EntryType::Directory) return {};
  if (::mkdirat(directory, entry.name_bytes, 0700) == 0)
    fresh_[id] = true;
  else if (errno != EEXIST)
    return failed_call(errno, "make directory {}", entries.path_of(id));
  return {};
}

Outcome<void> StagedTree::make_symbolic_link(const EntryList& entries, std::uint32_t id, int directory) {
  const Node& entry = entries[id];
  std::string found(kMaxLinkTarget + 1, '\0');
  const ssize_t n = ::readlinkat(directory, entry.name_bytes, found.data(), found.size());
  const bool right =
      n >= 0 && std::string_view(found).substr(0, static_cast<std::size_t>(n)) == entries.link_target_of(id);
  if (!right) {
    if (::unlinkat(directory, entry.name_bytes, 0) != 0 && errno != ENOENT)
      return failed_call(errno, "remove {}", entries.path_of(id));
    if (::symlinkat(entries.link_target_of(id).c_str(), directory, entry.name_bytes) != 0)
      return failed_call(errno, "make symbolic link {}", entries.path_of(id));
  }
  if (::fchownat(directory, entry.name_bytes, entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return failed_call(errno, "give {} its owner", entries.path_of(id));
  if (::utimensat(directory, entry.name_bytes, times_of(entry).data(), AT_SYMLINK_NOFOLLOW) != 0)
    return failed_call(errno, "give {} its time", entries.path_of(id));
  return {};
}

std::uint64_t StagedTree::free_bytes() const {
  struct statvfs status {};
  if (::fstatvfs(root_.get(), &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.f_bavail) * status.f_frsize;
}

Outcome<void> StagedTree::check_space(const EntryList& entries) const {
  std::uint64_t needed = 0;
  for (std::uint32_t id = 0; id < entries.size(); ++id) {
    if (entries[id].type == EntryType::File) needed += rounded_up(entries.data_bytes_of(id));
    if (entries[id].type == EntryType::Directory) needed += kBlock;
  }
  needed -= std::min(needed, present_bytes_);
  struct statvfs status {};
  if (::fstatvfs(root_.get(), &status) != 0) return failed_call(errno, "ask for free space");
  // A file system that shares extents with the old tree may need far less; then the writes themselves decide.
  if (needed > free_bytes() && !*clones_)
    return failed("NoSpace", fmt::format("the target needs {} bytes and has {} free", needed, free_bytes()),
                  "free space on the target and run the step again; what was written is kept");
  const std::uint64_t names = entries.size() - std::min<std::uint64_t>(entries.size(), present_entries_);
  if (status.f_files > 0 && names > status.f_favail)
    return failed("NoSpace", fmt::format("the target needs {} inodes and has {} free", names, status.f_favail),
                  "remove files on the target and run the step again; what was written is kept");
  return {};
}

Outcome<void> StagedTree::make_hard_links(const EntryList& entries, const Tick& tick) {
  for (std::uint32_t id = 0; id < entries.size(); ++id) {
    if (entries[id].type != EntryType::HardLink) continue;
    if (auto go_on = tick(); !go_on) return go_on;
    const Node& target = entries[entries[id].link_to()];
    const auto from = open_entry_directory(entries, root_.get(), target.parent);
    if (!from) return failed(from.error());
    const auto to = open_entry_directory(entries, root_.get(), entries[id].parent);
    if (!to) return failed(to.error());
    if (::linkat(from->get(), target.name_bytes, to->get(), entries[id].name_bytes, 0) != 0)
      return failed_call(errno, "make hard link {}", entries.path_of(id));
  }
  return {};
}

Outcome<void> StagedTree::finish(const EntryList& entries, const Tick& tick) {
  journal_->flush();
  if (auto linked = make_hard_links(entries, tick); !linked) return linked;
  // Parents come before children, so backwards is deepest first: nothing changes a directory after it got its times.
  for (std::uint32_t id = entries.size(); id-- > 0;) {
    if (entries[id].type != EntryType::Directory) continue;
    if (auto go_on = tick(); !go_on) return go_on;
    const auto directory = open_entry_directory(entries, root_.get(), id);
    if (!directory) return failed(directory.error());
    const auto status = status_of(directory->get());
    if (!status) return failed(status.error());
    if (auto done = give_metadata(directory->get(), entries[id], *status, entries.path_of(id)); !done) return done;
  }
  auto synced = std::async(std::launch::async, [this] { return ::syncfs(root_.get()) == 0 ? 0 : errno; });
  while (synced.wait_for(100ms) != std::future_status::ready)
    if (auto go_on = tick(); !go_on) return go_on;
  if (const int error = synced.get()) return failed_call(error, "sync the target's file system");
  return {};
}

// ---- StagedFiles ----------------------------------------------------------------------------------------------------

Outcome<void> StagedFiles::enter(std::uint32_t directory) {
  if (directory_id_ == directory) return {};
  auto opened = open_entry_directory(entries_, tree_.root_.get(), directory);
  if (!opened) return failed(opened.error());
  directory_ = std::move(*opened);
  directory_id_ = directory;
  old_directory_.reset();
  if (!tree_.old_root_) return {};
  // The old tree may have something else of that name; then there is nothing to start from.
  if (auto old = open_entry_directory(entries_, tree_.old_root_->get(), directory)) old_directory_ = std::move(*old);
  return {};
}

Outcome<std::optional<StagedFile>> StagedFiles::open(std::uint32_t file) {
  const Node& entry = entries_[file];
  if (auto entered = enter(entry.parent); !entered) return failed(entered.error());
  StagedFile staged;
  if (!tree_.fresh_[entry.parent]) {
    const auto status = status_of(directory_.get(), std::string(entry.name()));
    if (!status) return failed(status.error());
    if (*status && (*status)->st_nlink == 1) {
      if (tree_.journal().holds(**status, entry)) return std::nullopt;
      auto kept = open_kept(std::string(entry.name()));
      if (!kept) return failed(kept.error());
      staged.file = std::move(*kept);
      staged.has_content = (*status)->st_size > 0;
    } else if (*status && ::unlinkat(directory_.get(), entry.name_bytes, 0) != 0) {
      // Another name of the same file would be written through.
      return failed_call(errno, "remove {}", entries_.path_of(file));
    }
  }
  if (!staged.file) {
    auto created = create(std::string(entry.name()));
    if (!created) return failed(created.error());
    staged.file = std::move(*created);
  }
  if (entry.size > 0) open_old(std::string(entry.name()), staged);
  if (auto shaped = shape(file, staged); !shaped) return failed(shaped.error());
  return staged;
}

Outcome<Fd> StagedFiles::open_kept(const std::string& name) {
  Fd fd(::openat(directory_.get(), name.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return failed_call(errno, "open {}", name);
  return fd;
}

Outcome<Fd> StagedFiles::create(const std::string& name) {
  Fd fd(::openat(directory_.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return failed_call(errno, "make {}", name);
  return fd;
}

void StagedFiles::open_old(const std::string& name, StagedFile& staged) {
  if (!old_directory_) return;
  Fd old(::openat(old_directory_->get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!old || ::fstat(old.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size == 0) return;
  staged.old = std::move(old);
  staged.old_size = static_cast<std::uint64_t>(status.st_size);
  if (staged.has_content || staged.old_size < kCloneFrom || !*tree_.clones_) return;
  if (::ioctl(staged.file.get(), FICLONE, staged.old.get()) == 0)
    staged.has_content = true;
  else
    *tree_.clones_ = false;
}

Outcome<void> StagedFiles::shape(std::uint32_t file, const StagedFile& staged) {
  const Node& entry = entries_[file];
  const bool fresh_and_short = !staged.has_content && !entry.sparse && entry.size <= (std::uint64_t{1} << 20);
  if (fresh_and_short) return {};  // one write gives it its size
  if (::ftruncate(staged.file.get(), static_cast<off_t>(entry.size)) != 0)
    return failed_call(errno, "give {} its size", entries_.path_of(file));
  if (!staged.has_content || !entry.sparse) return {};
  std::uint64_t at = 0;
  const auto punch_up_to = [&](std::uint64_t end) -> Outcome<void> {
    if (end > at && ::fallocate(staged.file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at),
                                static_cast<off_t>(end - at)) != 0)
      return failed_call(errno, "make a hole in {}", entries_.path_of(file));
    return {};
  };
  for (const Range& range : entries_.ranges_of(file)) {
    if (auto punched = punch_up_to(range.offset); !punched) return punched;
    at = range.offset + range.length;
  }
  return punch_up_to(entry.size);
}

Outcome<void> StagedFiles::complete(std::uint32_t file, const StagedFile& staged) {
  const Node& entry = entries_[file];
  const auto before = status_of(staged.file.get());
  if (!before) return failed(before.error());
  if (auto given = give_metadata(staged.file.get(), entry, *before, entries_.path_of(file)); !given) return given;
  const auto after = status_of(staged.file.get());
  if (!after) return failed(after.error());
  tree_.journal().add(*after, entry);
  return {};
}

}  // namespace roadstead::mover
