#include "mover/settled.h"

#include <sys/vfs.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace roadstead::mover {

bool tells_changes(int directory) {
  constexpr std::array<std::uint32_t, 5> kKnown = {0xEF53, 0x58465342, 0x9123683E, 0x2FC12FC1,
                                                   0xF2F52010};  // ext4, xfs, btrfs, zfs, f2fs
  struct statfs status {};
  if (::fstatfs(directory, &status) != 0) return false;
  return std::find(kKnown.begin(), kKnown.end(), static_cast<std::uint32_t>(status.f_type)) != kKnown.end();
}

bool is_before(const timespec& a, const timespec& b) {
  return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

Settled Settled::before_now(int directory, time_t seconds) {
  Settled settled;
  settled.tells_ = mover::tells_changes(directory);
  ::clock_gettime(CLOCK_REALTIME, &settled.before_);
  settled.before_.tv_sec -= seconds;
  return settled;
}

}  // namespace roadstead::mover
