#include "mover/directory_cursor.h"

#include <algorithm>

namespace roadstead::mover {

Outcome<Fd> DirectoryCursor::open(int at, std::uint32_t id) const {
  auto fd = open_below(at, entries_[id].name_bytes);
  if (fd) return fd;
  Failure failure = fd.error();
  failure.message += fmt::format(" (of {})", entries_.path_of(id));
  return failed(std::move(failure));
}

Outcome<int> DirectoryCursor::enter(std::uint32_t directory) {
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
