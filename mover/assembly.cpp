#include "mover/assembly.h"

#include <fcntl.h>

#include <algorithm>

namespace roadstead::mover {
namespace {

// How much one connection may be asked for ahead of its answers: enough to hide the way there and back at 10 Gbit/s
// and 5 ms. All wants together are 6 KiB at most, which a socket's buffers always take, so asking never blocks.
constexpr std::uint64_t kWindow = std::uint64_t{8} << 20;
constexpr std::size_t kMaxOld = 8;

const Bytes& zeros() {
  static const Bytes bytes(kExtent);
  return bytes;
}

}  // namespace

// ---- FileWork, PieceQueue -------------------------------------------------------------------------------------------

Outcome<const StagedFile*> FileWork::open(StagedFiles& files) {
  const std::lock_guard lock(mutex_);
  if (!asked_) {
    auto opened = files.open(id_);
    if (!opened) return failed(opened.error());
    staged_ = std::move(*opened);
    asked_ = true;
  }
  return staged_ ? &*staged_ : nullptr;
}

std::optional<Piece> PieceQueue::take() {
  const std::lock_guard lock(mutex_);
  if (ranges_.empty() && !next_file()) return std::nullopt;
  Range& rest = ranges_.back();
  const Range piece = first_piece_of(rest);
  rest = {rest.offset + piece.length, rest.length - piece.length};
  if (rest.length == 0) ranges_.pop_back();
  return Piece{file_, piece.offset, static_cast<std::uint32_t>(piece.length)};
}

bool PieceQueue::next_file() {
  while (next_id_ < entries_.size() && entries_[next_id_].type != EntryType::File) ++next_id_;
  if (next_id_ >= entries_.size()) {
    file_.reset();
    return false;
  }
  // Not all pieces at once: the size is only what the peer says.
  ranges_ = entries_.ranges_of(next_id_);
  std::uint64_t pieces = 0;
  for (const Range& range : ranges_) pieces += pieces_in(range);
  if (ranges_.empty()) ranges_.push_back({0, 0});
  std::reverse(ranges_.begin(), ranges_.end());
  file_ = std::make_shared<FileWork>(next_id_, std::max<std::uint64_t>(pieces, 1));
  ++next_id_;
  return true;
}

// ---- Worker ---------------------------------------------------------------------------------------------------------

Worker::Worker(StagedTree& tree, const EntryList& entries, PieceQueue& queue, Counts& counts, Meter& meter,
               const Tick& tick)
    : entries_(entries),
      files_(tree, entries),
      queue_(queue),
      counts_(counts),
      meter_(meter),
      tick_(tick),
      scratch_(kExtent) {}

Outcome<void> Worker::run(ExtentSource& source) {
  for (;;) {
    if (auto filled = fill(source); !filled) return filled;
    if (pending_.empty()) return source.end();
    auto answer = source.next();
    if (!answer) return failed(answer.error());
    if (auto taken = take(*answer, source.hashed()); !taken) return taken;
    if (auto go_on = tick_(); !go_on) return go_on;
  }
}

bool Worker::is_full() const {
  return pending_.size() >= kMaxWants || pending_bytes_ >= kWindow || pending_old_ >= kMaxOld;
}

Outcome<void> Worker::fill(ExtentSource& source) {
  // Not before half the window is free: many small wants then go in one frame.
  if (pending_.size() > kMaxWants / 2 || pending_bytes_ > kWindow / 2) return {};
  std::vector<Want> wants;
  while (!is_full()) {
    auto piece = queue_.take();
    if (!piece) break;
    if (auto started = start(std::move(*piece), wants); !started) return started;
    if (auto go_on = tick_(); !go_on) return go_on;
  }
  return wants.empty() ? Outcome<void>{} : source.ask(wants);
}

Outcome<void> Worker::start(Piece piece, std::vector<Want>& wants) {
  const auto staged = piece.file->open(files_);
  if (!staged) return failed(staged.error());
  if (*staged == nullptr) {
    const bool last = piece.file->finished_one();
    counts_.verified += piece.length;
    meter_.add(piece.length, last ? 1 : 0);
    return {};
  }
  Pending pending{std::move(piece), *staged, false, {}};
  if (pending.piece.length == 0) return finished(pending);
  Want want{pending.piece.file->id(), pending.piece.offset, pending.piece.length, digest_of_present(pending)};
  pending.has_hash = want.have.has_value();
  pending_bytes_ += want.length;
  pending_old_ += pending.old.empty() ? 0 : 1;
  wants.push_back(want);
  pending_.push_back(std::move(pending));
  return {};
}

std::optional<Digest> Worker::digest_of_present(Pending& pending) {
  const std::uint64_t offset = pending.piece.offset;
  const std::size_t length = pending.piece.length;
  const StagedFile& staged = *pending.staged;
  const auto read = [&](const Fd& fd, std::span<std::byte> out) {
    return read_at(fd.get(), out, offset) == static_cast<ssize_t>(out.size());
  };
  if (staged.has_content) {
    const off_t data = ::lseek(staged.file.get(), static_cast<off_t>(offset), SEEK_DATA);
    const std::span out(scratch_.data(), length);
    if (data >= 0 && static_cast<std::uint64_t>(data) < offset + length && read(staged.file, out))
      return hasher_.of(out);
  }
  if (!staged.old || offset + length > staged.old_size) return std::nullopt;
  pending.old.resize(length);
  if (read(staged.old, pending.old)) return hasher_.of(pending.old);
  pending.old.clear();
  return std::nullopt;
}

Outcome<void> Worker::take(const Answer& answer, bool verify) {
  const auto wrong = [&](std::string_view how) { return failed(protocol_error(fmt::format("the peer {}", how))); };
  if (pending_.empty()) return wrong("answered what nobody asked");
  const Pending pending = std::move(pending_.front());
  pending_.pop_front();
  pending_bytes_ -= pending.piece.length;
  pending_old_ -= pending.old.empty() ? 0 : 1;
  const AnswerHeader& header = answer.header;
  if (header.file != pending.piece.file->id() || header.offset != pending.piece.offset ||
      header.length != pending.piece.length)
    return wrong("answered another extent than the one asked for");
  switch (header.kind) {
    case AnswerKind::Have:
    case AnswerKind::Pieces:
    case AnswerKind::Patch:
    case AnswerKind::Trouble:
      return wrong("answered what nobody asked");
    case AnswerKind::Same:
      if (!pending.has_hash) return wrong("called an extent the same without having been told its hash");
      if (!pending.old.empty())
        if (auto written = write(pending, pending.old); !written) return written;
      counts_.same += header.length;
      break;
    case AnswerKind::Data:
      if (answer.data.size() != header.length) return wrong("sent an extent of another length");
      if (verify && hasher_.of(answer.data) != header.hash)
        return wrong(fmt::format("sent an extent of {} that does not have its hash", entries_.path_of(header.file)));
      if (auto written = write(pending, answer.data); !written) return written;
      counts_.sent += header.length;
      break;
    case AnswerKind::Zero:
      if (auto written = write(pending, std::span(zeros()).first(header.length)); !written) return written;
      break;
  }
  return finished(pending);
}

Outcome<void> Worker::write(const Pending& pending, std::span<const std::byte> data) {
  if (const int error = write_at(pending.staged->file.get(), data, pending.piece.offset))
    return failed_call(error, "write {}", entries_.path_of(pending.piece.file->id()));
  return {};
}

Outcome<void> Worker::finished(const Pending& pending) {
  const bool last = pending.piece.file->finished_one();
  if (last)
    if (auto completed = files_.complete(pending.piece.file->id(), *pending.staged); !completed) return completed;
  meter_.add(pending.piece.length, last ? 1 : 0);
  return {};
}

}  // namespace roadstead::mover
