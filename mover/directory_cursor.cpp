#include "mover/directory_cursor.h"

#include <fcntl.h>

#include <algorithm>

namespace roadstead::mover {

Outcome<Fd> open_source_directory(int at, const char* name) {
  Fd fd(::openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && (errno == ENOTDIR || errno == ELOOP)) return failed("NotFound", "is no directory any more", "");
  if (!fd) return failed_call(errno, "open directory {}", name);
  return fd;
}

Outcome<Fd> DirectoryCursor::open(int at, std::uint32_t id) const {
  const char* name = entries_[id].name_bytes;
  auto fd = mounts_ == Mounts::Refused ? open_below(at, name) : open_source_directory(at, name);
  if (fd) return fd;
  Failure failure = fd.error();
  failure.message += fmt::format(" (of {})", entries_.path_of(id));
  return failed(std::move(failure));
}

Outcome<int> DirectoryCursor::enter(std::uint32_t directory) {
  if (!deep_ && !levels_.empty() && levels_.back().id == directory) return levels_.back().fd.get();
  chain_.clear();
  for (std::uint32_t id = directory; id != 0; id = entries_[id].parent) chain_.push_back(id);
  std::reverse(chain_.begin(), chain_.end());
  std::size_t at = 0;
  while (at < levels_.size() && at < chain_.size() && levels_[at].id == chain_[at]) ++at;
  levels_.erase(levels_.begin() + static_cast<std::ptrdiff_t>(at), levels_.end());
  const auto here = [&] { return levels_.empty() ? root_ : levels_.back().fd.get(); };
  for (; at < chain_.size() && at < kMaxOpen; ++at) {
    auto fd = open(here(), chain_[at]);
    if (!fd) return failed(fd.error());
    levels_.push_back({chain_[at], std::move(*fd)});
  }
  deep_.reset();
  for (; at < chain_.size(); ++at) {
    auto fd = open(deep_ ? deep_.get() : here(), chain_[at]);
    if (!fd) return failed(fd.error());
    deep_ = std::move(*fd);
  }
  return deep_ ? deep_.get() : here();
}

}  // namespace roadstead::mover
