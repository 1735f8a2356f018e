#pragma once

#include <filesystem>
#include <set>
#include <stop_token>
#include <vector>

#include "operator/base/clock.h"

namespace roadstead::files {

/// Wakes when something changes in directories. It watches the directories, not the files: a mounted ConfigMap changes
/// by a swapped symlink, after which a watch on the old file hears nothing. Where the system has no watches left it
/// says so once and only the waiting times count.
class DirectoryWatch {
 public:
  DirectoryWatch();
  ~DirectoryWatch();
  DirectoryWatch(const DirectoryWatch&) = delete;
  DirectoryWatch& operator=(const DirectoryWatch&) = delete;

  /// Adds what is not watched yet; a directory that is gone drops out by itself. True: there was something to add,
  /// which may have changed between being read and being watched.
  bool watch(const std::vector<std::filesystem::path>& directories);

  /// Returns when something changed and nothing more did for `quiet` (at most ten times that), after `longest`, or when
  /// stop is asked for.
  void wait(Millis longest, Millis quiet, const std::stop_token& stop);

 private:
  /// True: something changed within `limit`.
  bool changed_within(Millis limit);
  void take_events() const;

  std::set<int> watches_;
  int inotify_ = -1;
  int stopped_ = -1;  // eventfd that ends a wait
};

}  // namespace roadstead::files
