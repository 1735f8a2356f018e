#include "mover/pieces.h"

#include <algorithm>

namespace roadstead::mover {

Outcome<FileState*> FileWork::open(SinkThread& thread) {
  const std::lock_guard lock(mutex_);
  if (!asked_) {
    auto opened = thread.open(id_);
    if (!opened) return failed(opened.error());
    state_ = std::move(*opened);
    asked_ = true;
  }
  return state_.get();
}

std::optional<Piece> PieceQueue::take() {
  const std::lock_guard lock(mutex_);
  if (ranges_.empty() && !next_file()) return std::nullopt;
  Range& rest = ranges_.back();
  const Range piece = first_piece_of(rest);
  rest = {rest.offset + piece.length, rest.length - piece.length};
  if (rest.length == 0) ranges_.pop_back();
  return Piece{file_, {file_->id(), index_++, piece.offset, static_cast<std::uint32_t>(piece.length)}};
}

std::optional<std::uint32_t> PieceQueue::next_id() {
  if (files_) return next_ < files_->size() ? std::optional((*files_)[next_++]) : std::nullopt;
  while (next_ < entries_.size() && entries_[next_].type != EntryType::File) ++next_;
  return next_ < entries_.size() ? std::optional(next_++) : std::nullopt;
}

bool PieceQueue::next_file() {
  const auto id = next_id();
  if (!id) {
    file_.reset();
    return false;
  }
  ranges_ = entries_.ranges_of(*id);
  if (ranges_.empty()) ranges_.push_back({0, 0});
  std::reverse(ranges_.begin(), ranges_.end());
  file_ = std::make_shared<FileWork>(*id, std::max<std::uint64_t>(entries_.extents_of(*id), 1));
  index_ = 0;
  return true;
}

}  // namespace roadstead::mover
