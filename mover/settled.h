#pragma once

#include <sys/stat.h>

#include <ctime>

namespace roadstead::mover {

/// Whether every change of a file, through a mapping too, shows in its times here, sooner or later. Not in memory,
/// where mapped pages are never written back; not over a network, where others have caches.
bool tells_changes(int directory);

bool is_before(const timespec& a, const timespec& b);

/// Files that were last changed so long ago that what their times say can be believed. A store through a mapping to a
/// page that is dirty already moves no time until the page was written back, which takes half a minute; and two changes
/// within one tick of the clock have one time.
class Settled {
 public:
  /// Nothing is.
  Settled() = default;
  /// In the file system of `directory`: what was changed more than `seconds` before now.
  static Settled before_now(int directory, time_t seconds);

  [[nodiscard]] bool has(const struct stat& status) const { return tells_ && is_before(status.st_ctim, before_); }

 private:
  bool tells_ = false;
  timespec before_{};
};

}  // namespace roadstead::mover
