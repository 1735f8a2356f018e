#include "mover/staged_tree.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>

#include "mover/metadata.h"

namespace roadstead::mover {
namespace {

constexpr std::uint64_t kCloneFrom = 65536;  ///< Smaller files are as quickly read.

/// Nothing that is made in the open directory may inherit from it, nor anybody else look into it.
Outcome<void> close_to_others(int directory) {
  if (::fchmod(directory, 0700) != 0) return failed_call(errno, "close a directory to others");
  if (::fremovexattr(directory, "system.posix_acl_default") != 0 && errno != ENODATA && errno != ENOTSUP)
    return failed_call(errno, "take away a directory's default ACL");
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
  auto journal = Journal::open(tree.place_.request.get(), kJournalName, tree.inode_);
  if (!journal) return failed(journal.error());
  tree.journal_ = std::make_unique<Journal>(std::move(*journal));
  if (auto tried = tree.try_files(); !tried) return failed(tried.error());
  return tree;
}

Outcome<void> StagedTree::try_files() {
  if (auto closed = close_to_others(root_.get()); !closed) return closed;
  const auto make = [&] {
    Fd fd(::openat(root_.get(), kPartName, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0777));
    ::unlinkat(root_.get(), kPartName, 0);
    return fd;
  };
  const Fd from = make(), to = make();
  if (!from || !to) return failed_call(errno, "make a file in the staged tree");
  const auto made = status_of(from.get());
  if (!made) return failed(made.error());
  new_file_ = *made;
  const std::array<std::byte, kBlock> block{};
  const bool clones = write_at(from.get(), block, 0) == 0 && ::ioctl(to.get(), FICLONE, from.get()) == 0;
  clones_ = std::make_unique<std::atomic<bool>>(clones);
  return {};
}

Outcome<void> StagedTree::prepare(const EntryList& entries, const Tick& tick) {
  if (auto checked = check_attributes(entries); !checked) return checked;
  fresh_.assign(entries.size(), false);
  fresh_[0] = fresh_root_;
  present_bytes_ = present_entries_ = 0;
  DirectoryCursor directories(entries, root_.get());
  for (std::uint32_t id = 0; id < entries.size(); ++id) {
    if (entries[id].type != EntryType::Directory) continue;
    const auto directory = directories.enter(id);
    if (!directory) return failed(directory.error());
    if (auto done = prepare_directory(entries, id, *directory, tick); !done) return done;
  }
  return {};
}

Outcome<void> StagedTree::prepare_directory(const EntryList& entries, std::uint32_t id, int directory,
                                            const Tick& tick) {
  if (auto go_on = tick(); !go_on) return go_on;
  if (!fresh_[id])
    if (auto done = clear_directory(entries, id, directory, tick); !done) return done;
  for (const std::uint32_t child : entries.children_of(id)) {
    if (entries[child].type == EntryType::File) continue;  // made when its first extent is
    if (auto go_on = tick(); !go_on) return go_on;
    if (auto done = make_child(entries, child, directory); !done) return done;
  }
  return {};
}

Outcome<void> StagedTree::clear_directory(const EntryList& entries, std::uint32_t id, int directory, const Tick& tick) {
  if (auto closed = close_to_others(directory); !closed) return closed;
  return remove_strangers(entries, id, directory, tick, [&](std::uint32_t child, const struct stat& status) {
    const Node& entry = entries[child];
    if (entry.type == EntryType::HardLink) {  // made anew in the end; until then files have one name
      if (::unlinkat(directory, entry.name_bytes, 0) != 0)
        return Outcome<void>(failed_call(errno, "remove {}", entries.path_of(child)));
      return Outcome<void>();
    }
    ++present_entries_;
    if (entry.type == EntryType::File)
      present_bytes_ += std::min(allocated_of(status), rounded_up(entries.data_bytes_of(child)));
    return Outcome<void>();
  });
}

Outcome<void> StagedTree::make_child(const EntryList& entries, std::uint32_t id, int directory) {
  const Node& entry = entries[id];
  if (entry.type == EntryType::HardLink) return {};
  if (entry.type != EntryType::Directory) return make_special(entries, id, directory);
  if (::mkdirat(directory, entry.name_bytes, 0700) == 0)
    fresh_[id] = true;
  else if (errno != EEXIST)
    return failed_call(errno, "make directory {}", entries.path_of(id));
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
  if (needed > free_bytes() && status.f_blocks > 0 && !*clones_)
    return failed("NoSpace", fmt::format("the target needs {} bytes and has {} free", needed, free_bytes()),
                  "free space on the target and run the step again; what was written is kept");
  const std::uint64_t names = entries.size() - std::min<std::uint64_t>(entries.size(), present_entries_);
  if (status.f_files > 0 && names > status.f_favail)
    return failed("NoSpace", fmt::format("the target needs {} inodes and has {} free", names, status.f_favail),
                  "remove files on the target and run the step again; what was written is kept");
  return {};
}

Outcome<void> StagedTree::finish(const EntryList& entries, const Tick& tick) {
  journal_->flush();
  if (auto linked = link_names(entries, root_.get(), tick); !linked) return linked;
  if (auto dressed = dress_directories(entries, root_.get(), tick); !dressed) return dressed;
  return sync_file_system(root_.get(), tick);
}

// ---- StagedFiles ----------------------------------------------------------------------------------------------------

StagedFiles::StagedFiles(StagedTree& tree, const EntryList& entries)
    : tree_(tree), entries_(entries), directories_(entries, tree.root_.get()) {
  if (tree.old_root_) old_directories_.emplace(entries, tree.old_root_->get());
}

Outcome<void> StagedFiles::enter(std::uint32_t directory) {
  if (directory_id_ == directory) return {};
  directory_id_.reset();
  const auto opened = directories_.enter(directory);
  if (!opened) return failed(opened.error());
  directory_ = *opened;
  // The old tree may have something else of that name; then there is nothing to start from.
  const auto old = old_directories_ ? old_directories_->enter(directory) : Outcome<int>(-1);
  old_directory_ = old ? *old : -1;
  directory_id_ = directory;
  return {};
}

Outcome<std::unique_ptr<TreeFile>> StagedFiles::open(std::uint32_t file) {
  const Node& entry = entries_[file];
  if (auto entered = enter(entry.parent); !entered) return failed(entered.error());
  auto staged = std::make_unique<TreeFile>();
  if (!tree_.fresh_[entry.parent]) {
    const auto wanted = open_kept(file, *staged);
    if (!wanted) return failed(wanted.error());
    if (!*wanted) return nullptr;
  }
  if (!staged->file)
    if (auto created = create(file, *staged); !created) return failed(created.error());
  if (entry.size > 0) open_old(file, *staged);
  if (auto shaped = shape(file, *staged); !shaped) return failed(shaped.error());
  return staged;
}

/// False: complete already.
Outcome<bool> StagedFiles::open_kept(std::uint32_t file, TreeFile& staged) {
  const Node& entry = entries_[file];
  const auto status = status_of(directory_, entry.name_bytes);
  if (!status) return failed(status.error());
  if (!*status) return true;
  if ((*status)->st_nlink != 1 || !S_ISREG((*status)->st_mode)) {
    // Another name of the same file would be written through.
    if (::unlinkat(directory_, entry.name_bytes, 0) != 0)
      return failed_call(errno, "remove {}", entries_.path_of(file));
    return true;
  }
  if (tree_.journal().holds(**status, entry)) return false;
  staged.file = Fd(::openat(directory_, entry.name_bytes, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!staged.file) return failed_call(errno, "open {}", entries_.path_of(file));
  staged.has_content = (*status)->st_size > 0;
  return true;
}

/// With the mode it will have, as far as a new file may have it: nobody else can reach it yet.
Outcome<void> StagedFiles::create(std::uint32_t file, TreeFile& staged) {
  const Node& entry = entries_[file];
  staged.file =
      Fd(::openat(directory_, entry.name_bytes, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, entry.mode & 0777));
  if (!staged.file) return failed_call(errno, "make {}", entries_.path_of(file));
  staged.bare = true;
  return {};
}

void StagedFiles::open_old(std::uint32_t file, TreeFile& staged) {
  if (old_directory_ < 0) return;
  Fd old(::openat(old_directory_, entries_[file].name_bytes, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
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

Outcome<void> StagedFiles::shape(std::uint32_t file, const TreeFile& staged) {
  const Node& entry = entries_[file];
  const bool fresh_and_short = !staged.has_content && !entry.sparse && entry.size <= kExtent;
  if (fresh_and_short && staged.bare) return {};  // one write gives it its size
  return shape_file(staged.file.get(), entries_, file);
}

/// Who makes a file knows what it is.
Outcome<struct stat> StagedFiles::status_before(std::uint32_t file, const TreeFile& staged) const {
  if (!staged.bare) return status_of(staged.file.get());
  struct stat made {};
  made.st_uid = tree_.new_file_.st_uid;
  made.st_gid = tree_.new_file_.st_gid;
  made.st_mode = entries_[file].mode & tree_.new_file_.st_mode;
  made.st_mtim = {0, -1};  // no entry's
  return made;
}

Outcome<void> StagedFiles::complete(std::uint32_t file, const TreeFile& staged) {
  const auto before = status_before(file, staged);
  if (!before) return failed(before.error());
  const auto attributes = staged.bare ? Attributes::None : Attributes::Unknown;
  if (auto given = give_metadata(staged.file.get(), entries_, file, *before, attributes); !given) return given;
  const auto after = status_of(staged.file.get());
  if (!after) return failed(after.error());
  tree_.journal().add(*after, entries_[file]);
  return {};
}

}  // namespace roadstead::mover
