#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mover/entry.h"
#include "mover/journal.h"
#include "mover/place.h"
#include "mover/sink.h"

namespace roadstead::mover {

/// A file that is being built, and what is already there that may be right.
struct StagedFile {
  Fd file;
  Fd old;  ///< The same path in `_data`, if it is a file. A live application may write to it.
  std::uint64_t old_size = 0;
  bool has_content = false;  ///< `file` holds bytes of an earlier attempt, or a clone of the old file.
};

/// `<request>/tree` while it is built. Everything happens through directory descriptors below its root: nothing that is
/// announced or lies there can lead out of it.
class StagedTree {
 public:
  /// AlreadyCurrent: this request's tree was exchanged already, and what lies here now is the old data.
  static Outcome<StagedTree> open(const Target& target);

  StagedTree(StagedTree&&) = default;

  [[nodiscard]] std::uint64_t inode() const { return inode_; }

  /// Makes directories and symbolic links, and removes what an earlier attempt left that does not belong there.
  /// Directories are 0700 until finish().
  Outcome<void> prepare(const EntryList& entries, const Tick& tick);

  /// NoSpace if what is still to be written is more than is free. After prepare().
  Outcome<void> check_space(const EntryList& entries) const;

  /// Makes hard links, then gives directories their owners, modes and times, deepest first, and syncs the file system.
  Outcome<void> finish(const EntryList& entries, const Tick& tick);

  [[nodiscard]] std::uint64_t free_bytes() const;

  Journal& journal() { return *journal_; }

 private:
  friend class StagedFiles;

  StagedTree() = default;
  Outcome<void> prepare_directory(const EntryList& entries, std::uint32_t id, const Tick& tick);
  Outcome<void> remove_strangers(const EntryList& entries, std::uint32_t id, int directory, const Tick& tick);
  Outcome<void> make_child(const EntryList& entries, std::uint32_t id, int directory);
  Outcome<void> make_symbolic_link(const EntryList& entries, std::uint32_t id, int directory);
  Outcome<void> make_hard_links(const EntryList& entries, const Tick& tick);
  [[nodiscard]] bool can_clone() const;

  Place place_;
  Fd root_;
  std::optional<Fd> old_root_;  ///< `_data`.
  std::uint64_t inode_ = 0;
  bool fresh_root_ = false;
  std::vector<bool> fresh_;          ///< By entry: a directory made by this attempt, so it was empty.
  std::uint64_t present_bytes_ = 0;  ///< Allocated to files that stay.
  std::uint64_t present_entries_ = 0;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<std::atomic<bool>> clones_;  ///< The file system can share extents; false once it could not.
};

/// Opens and completes files of a staged tree. One per thread; tree and entries must outlive it.
class StagedFiles {
 public:
  StagedFiles(StagedTree& tree, const EntryList& entries) : tree_(tree), entries_(entries) {}

  /// Nothing: the file is complete and verified by an earlier attempt. Else it is open, of the right size, with holes
  /// where the source has holes.
  Outcome<std::optional<StagedFile>> open(std::uint32_t file);

  /// Gives a file with all its data its owner, mode and times, and notes it in the journal.
  Outcome<void> complete(std::uint32_t file, const StagedFile& staged);

 private:
  Outcome<void> enter(std::uint32_t directory);
  Outcome<Fd> open_kept(const std::string& name);
  Outcome<Fd> create(const std::string& name);
  void open_old(const std::string& name, StagedFile& staged);
  Outcome<void> shape(std::uint32_t file, const StagedFile& staged);

  StagedTree& tree_;
  const EntryList& entries_;
  std::optional<std::uint32_t> directory_id_;
  Fd directory_;
  std::optional<Fd> old_directory_;
};

}  // namespace roadstead::mover
