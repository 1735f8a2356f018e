#pragma once

#include <span>

#include "mover/hasher.h"
#include "mover/scan.h"

namespace roadstead::mover {

/// Reads files of a scanned source and notices when one is not what it was. Keeps one file open. One per thread; the
/// scan must outlive it.
class SourceFiles {
 public:
  explicit SourceFiles(const Scan& scan) : scan_(scan) {}

  /// Reads exactly `out.size()` bytes at `offset` of an entry that is a file, and adds them to `hasher` if there is
  /// one. SourceChanged where the file vanished, shrank, grew or was written to.
  Outcome<void> read(std::uint32_t file, std::uint64_t offset, std::span<std::byte> out, Hasher* hasher);

  /// Tells the kernel that this will be read soon, if the file is the open one.
  void announce(std::uint32_t file, std::uint64_t offset, std::size_t length) const;

  /// Closes the open file after a last look at it.
  Outcome<void> close();

 private:
  Outcome<void> open(std::uint32_t file);
  [[nodiscard]] tl::unexpected<Failure> changed(std::uint32_t file, std::string_view how) const;

  static constexpr std::uint32_t kNone = 0;  ///< The root is no file.

  const Scan& scan_;
  std::uint32_t directory_id_ = kNone;
  Fd directory_;
  std::uint32_t file_id_ = kNone;
  Fd file_;
};

}  // namespace roadstead::mover
