#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "mover/entry.h"
#include "mover/files.h"

namespace roadstead::mover {

/// Which files of a staged tree are complete and verified, so that the next attempt need not read them again.
///
/// A record names the staged file by inode and change time and the source file by its stamp: any touch of either makes
/// the record worthless, and the file is then verified by its extents' hashes. Records are not synced: they are only
/// believed in the same boot of the machine, where a killed mover's writes are all in the page cache; after a crash of
/// the machine everything is verified by hash.
class Journal {
 public:
  /// Opens `<request>/journal`, or makes it for this tree.
  static Outcome<Journal> open(int request, std::uint64_t tree_inode);

  /// Which tree the request's journal was made for, in whatever boot; 0 where there is none.
  static Outcome<std::uint64_t> tree_of(int request);

  Journal(Journal&&) = default;

  /// True where this staged file was completed from this source file and neither was touched since.
  [[nodiscard]] bool holds(const struct stat& staged, const Node& entry) const;

  /// Remembers a file that is complete, its metadata included. Safe from several threads.
  void add(const struct stat& staged, const Node& entry);

  /// Writes what was added; the destructor does not.
  void flush();

 private:
  struct Record {
    std::uint64_t inode = 0;
    std::int64_t change_nanos = 0;
    std::uint64_t stamp = 0;
    std::uint64_t size = 0;
    std::uint64_t check = 0;  ///< Of the fields above; a torn record does not have it.
  };

  explicit Journal(Fd file) : file_(std::move(file)), mutex_(std::make_unique<std::mutex>()) {}
  static Record record_of(const struct stat& staged, const Node& entry);
  void load();
  void write_out();

  Fd file_;
  std::unordered_map<std::uint64_t, Record> known_;  ///< By inode; read only after open().
  std::unique_ptr<std::mutex> mutex_;                // guards fresh_
  std::vector<Record> fresh_;
};

inline constexpr const char* kJournalName = "journal";

}  // namespace roadstead::mover
