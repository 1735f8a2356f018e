#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mover/directory_cursor.h"
#include "mover/entry.h"
#include "mover/journal.h"
#include "mover/place.h"
#include "mover/tree_parts.h"

namespace roadstead::mover {

/// `<request>/tree` while it is built. Everything happens through directory descriptors below its root: nothing that is
/// announced or lies there can lead out of it.
class StagedTree {
 public:
  /// AlreadyCurrent: this request's tree was exchanged already, and what lies here now is the old data.
  static Outcome<StagedTree> open(const Target& target);

  StagedTree(StagedTree&&) = default;

  [[nodiscard]] std::uint64_t inode() const { return inode_; }

  /// Makes directories, symbolic links, devices and FIFOs, and removes what an earlier attempt left that does not
  /// belong there. Directories are 0700 and without ACLs until finish().
  Outcome<void> prepare(const EntryList& entries, const Tick& tick);

  /// NoSpace if what is still to be written is more than is free. After prepare().
  Outcome<void> check_space(const EntryList& entries) const;

  /// Makes hard links, then gives directories their metadata, deepest first, and syncs the file system.
  Outcome<void> finish(const EntryList& entries, const Tick& tick);

  [[nodiscard]] std::uint64_t free_bytes() const;

  Journal& journal() { return *journal_; }

 private:
  friend class StagedFiles;

  StagedTree() = default;
  Outcome<void> prepare_directory(const EntryList& entries, std::uint32_t id, int directory, const Tick& tick);
  Outcome<void> clear_directory(const EntryList& entries, std::uint32_t id, int directory, const Tick& tick);
  Outcome<void> make_child(const EntryList& entries, std::uint32_t id, int directory);
  Outcome<void> try_files();

  Place place_;
  Fd root_;
  std::optional<Fd> old_root_;  ///< `_data`.
  std::uint64_t inode_ = 0;
  bool fresh_root_ = false;
  std::vector<bool> fresh_;          ///< By entry: a directory made by this attempt, so it was empty.
  std::uint64_t present_bytes_ = 0;  ///< Allocated to files that stay.
  std::uint64_t present_entries_ = 0;
  std::unique_ptr<Journal> journal_;
  struct stat new_file_ {};                    ///< What a new file of mode 0777 is.
  std::unique_ptr<std::atomic<bool>> clones_;  ///< The file system can share extents; false once it could not.
};

/// Opens and completes files of a staged tree. One per thread; tree and entries must outlive it.
class StagedFiles {
 public:
  StagedFiles(StagedTree& tree, const EntryList& entries);

  /// Null: the file is complete and verified by an earlier attempt. Else it is open, of the right size, with holes
  /// where the source has holes.
  Outcome<std::unique_ptr<TreeFile>> open(std::uint32_t file);

  /// Gives a file with all its data its metadata, and notes it in the journal.
  Outcome<void> complete(std::uint32_t file, const TreeFile& staged);

 private:
  Outcome<void> enter(std::uint32_t directory);
  Outcome<bool> open_kept(std::uint32_t file, TreeFile& staged);
  Outcome<void> create(std::uint32_t file, TreeFile& staged);
  void open_old(std::uint32_t file, TreeFile& staged);
  Outcome<void> shape(std::uint32_t file, const TreeFile& staged);
  Outcome<struct stat> status_before(std::uint32_t file, const TreeFile& staged) const;

  StagedTree& tree_;
  const EntryList& entries_;
  DirectoryCursor directories_;
  std::optional<DirectoryCursor> old_directories_;
  std::optional<std::uint32_t> directory_id_;
  int directory_ = -1;
  int old_directory_ = -1;  ///< -1: the old tree has none of this name.
};

}  // namespace roadstead::mover
