#pragma once

#include <filesystem>

#include "operator/base/result.h"

namespace roadstead::store {

/// The operator's own directory (--data), held against a second operator for as long as this lives, also if the process
/// is killed: the lock is the kernel's, what is written in the file is only for people.
class DataDirectory {
 public:
  /// Makes the directory, mode 0700, where there is none.
  /// Errors: Conflict (another process holds it; the message names it), Unavailable (cannot be made or written).
  static Result<DataDirectory> open(const std::filesystem::path& path);

  ~DataDirectory();
  DataDirectory(DataDirectory&& other) noexcept;
  DataDirectory& operator=(DataDirectory&&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  DataDirectory(std::filesystem::path path, int lock) : path_(std::move(path)), lock_(lock) {}
  std::filesystem::path path_;
  int lock_;  // file descriptor; -1: moved from
};

}  // namespace roadstead::store
