#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <mutex>
#include <vector>

#include "mover/entry.h"
#include "mover/files.h"

namespace roadstead::mover {

/// Of a staged tree, and of a volume's own tree that is made like a source.
inline constexpr const char* kJournalName = "journal";
inline constexpr const char* kInPlaceJournalName = "in-place-journal";

/// Which files of a tree that is built are complete and verified, so that the next attempt need not read them again.
///
/// A record stands for a file by device, inode and change time, and for the source file by its stamp: any touch of
/// either makes the record worthless, and the file is then verified by its extents' hashes. Eight bytes of memory each.
/// Believed as BoundFile says; after a crash of the machine everything is verified by hash.
class Journal {
 public:
  /// Opens the journal in a request's directory, or makes it for this tree.
  static Outcome<Journal> open(int request, const char* name, std::uint64_t tree_inode);

  /// Which tree the request's journal of a staged tree was made for, in whatever boot; 0 where there is none.
  static Outcome<std::uint64_t> tree_of(int request);

  Journal(Journal&&) = default;

  /// True where this file was completed from this source file and neither was touched since.
  [[nodiscard]] bool holds(const struct stat& built, const Node& entry) const;

  /// Remembers a file that is complete, its metadata included. Safe from several threads.
  void add(const struct stat& built, const Node& entry);

  /// Writes what was added; the destructor does not.
  void flush();

 private:
  using Record = std::uint64_t;

  explicit Journal(Fd file) : file_(std::move(file)), mutex_(std::make_unique<std::mutex>()) {}
  static Record record_of(const struct stat& built, const Node& entry);
  void load();
  void write_out();

  Fd file_;
  std::vector<Record> known_;          ///< Sorted; read only after open().
  std::unique_ptr<std::mutex> mutex_;  // guards fresh_
  std::vector<Record> fresh_;
};

}  // namespace roadstead::mover
