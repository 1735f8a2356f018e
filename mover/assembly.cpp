#include "mover/assembly.h"

#include <algorithm>
#include <cstring>

namespace roadstead::mover {
namespace {

// How much one connection may be asked for ahead of its answers: enough to hide the way there and back at 10 Gbit/s
// and 5 ms. All wants together are some 30 KiB at most, which a socket's buffers always take, so asking never blocks.
constexpr std::uint64_t kWindow = std::uint64_t{8} << 20;
constexpr std::size_t kMaxKept = 8;

tl::unexpected<Failure> wrong(std::string_view how) { return failed(protocol_error(fmt::format("the peer {}", how))); }

std::span<const std::byte> zeros(std::size_t length) {
  static const Bytes bytes(kExtent);
  return std::span(bytes).first(length);
}

}  // namespace

std::vector<std::uint32_t> Troubles::take() {
  const std::lock_guard lock(mutex_);
  std::sort(files_.begin(), files_.end());
  files_.erase(std::unique(files_.begin(), files_.end()), files_.end());
  return std::exchange(files_, {});
}

Worker::Worker(Assembly& assembly, PieceQueue& queue, const Tick& tick)
    : assembly_(assembly), queue_(queue), tick_(tick), thread_(assembly.sink.thread()) {}

Outcome<void> Worker::run(ExtentSource& source) {
  if (auto worked = work(source, queue_); !worked) return worked;
  return end(source);
}

Outcome<void> Worker::run(ExtentSource& source, const AwaitOthers& await_others, const Restate& restate) {
  if (auto worked = work(source, queue_); !worked) return worked;
  if (auto awaited = await_others(); !awaited) return awaited;
  for (int round = 1;; ++round) {
    auto again = restate();
    if (!again) return failed(again.error());
    if (again->empty()) return end(source);
    if (round > 1) return wrong("restates files again and again");
    PieceQueue queue(assembly_.entries, std::move(*again));
    if (auto worked = work(source, queue); !worked) return worked;
  }
}

Outcome<void> Worker::work(ExtentSource& source, PieceQueue& queue) {
  for (;;) {
    if (auto filled = fill(source, queue); !filled) return filled;
    if (pending_.empty()) return {};
    auto answer = source.next();
    if (!answer) return failed(answer.error());
    if (auto taken = take(source, *answer); !taken) return taken;
    if (auto go_on = tick_(); !go_on) return go_on;
  }
}

Outcome<void> Worker::end(ExtentSource& source) {
  if (auto ended = thread_->end(); !ended) return ended;
  return source.end();
}

bool Worker::is_full() const {
  return pending_.size() >= kMaxWants || pending_bytes_ >= kWindow || pending_kept_ >= kMaxKept;
}

Outcome<void> Worker::fill(ExtentSource& source, PieceQueue& queue) {
  // Not before half the window is free: many small wants then go in one frame.
  if (pending_.size() > kMaxWants / 2 || pending_bytes_ > kWindow / 2) return {};
  std::vector<Want> wants;
  while (!is_full()) {
    auto piece = queue.take();
    if (!piece) break;
    if (auto started = start(std::move(*piece), wants); !started) return started;
    if (auto go_on = tick_(); !go_on) return go_on;
  }
  return wants.empty() ? Outcome<void>{} : source.ask(wants);
}

Outcome<void> Worker::start(Piece piece, std::vector<Want>& wants) {
  const auto state = piece.file->open(*thread_);
  if (!state) return failed(state.error());
  const Spot spot = piece.spot;
  if (*state == nullptr) {
    const bool last = piece.file->finished_one();
    assembly_.counts.verified += spot.length;
    assembly_.meter.add(spot.length, last ? 1 : 0);
    return {};
  }
  Pending pending{.piece = std::move(piece), .state = *state};
  if (spot.length == 0) return finished(pending);
  auto have = thread_->look(spot, *pending.state, pending.seen);
  if (!have) return failed(have.error());
  if (assembly_.sink.only_looks()) return finished(pending);
  pending.have = *have;
  wants.push_back({spot.file, spot.offset, spot.length, pending.have, pending.have.has_value(), {}, false});
  wait_for(std::move(pending));
  return {};
}

void Worker::wait_for(Pending pending) {
  pending_bytes_ += pending.piece.spot.length;
  pending_kept_ += pending.seen.bytes.empty() ? 0 : 1;
  pending_.push_back(std::move(pending));
}

Outcome<void> Worker::take(ExtentSource& source, const Answer& answer) {
  if (pending_.empty()) return wrong("answered what nobody asked");
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  pending_bytes_ -= pending.piece.spot.length;
  pending_kept_ -= pending.seen.bytes.empty() ? 0 : 1;
  const AnswerHeader& header = answer.header;
  const Spot& spot = pending.piece.spot;
  if (header.file != spot.file || header.offset != spot.offset || header.length != spot.length)
    return wrong("answered another extent than the one asked for");
  switch (header.kind) {
    case AnswerKind::Same:
      return take_same(pending);
    case AnswerKind::Data:
      return take_data(source, pending, answer);
    case AnswerKind::Zero:
      return put(pending, {kZeroDigest, kPlain, {}, zeros(spot.length)});
    case AnswerKind::Have:
      return take_have(source, std::move(pending), header.hash);
    case AnswerKind::Pieces:
      return take_pieces(source, std::move(pending), answer);
    case AnswerKind::Patch:
      return take_patch(source, std::move(pending), answer);
    case AnswerKind::Trouble:
      return take_trouble(pending);
  }
  return wrong("gave an answer of an unknown kind");
}

Outcome<void> Worker::take_same(const Pending& pending) {
  if (!pending.have || pending.patch) return wrong("called an extent the same without having been told its hash");
  const Spot& spot = pending.piece.spot;
  if (auto done = thread_->same(spot, *pending.state, *pending.have, pending.seen.bytes); !done) return done;
  assembly_.counts.same += spot.length;
  return finished(pending);
}

Outcome<void> Worker::take_data(const ExtentSource& source, const Pending& pending, const Answer& answer) {
  const Spot& spot = pending.piece.spot;
  const auto plain = unpacker_.unpack(answer.header.codec, answer.data, spot.length);
  if (!plain && !source.hashed()) return failed(plain.error());
  // What does not unpack has another hash than it should have, whatever that is.
  if (!plain || (source.hashed() && hasher_.of(*plain) != answer.header.hash))
    return failed(source.wrong_hash(assembly_.entries.path_of(spot.file)));
  assembly_.counts.sent += spot.length;
  const auto pieces = source.hashed() ? hasher_.pieces() : std::span<const Digest>{};
  return put(pending, {answer.header.hash, answer.header.codec, answer.data, *plain, pieces});
}

Outcome<void> Worker::take_have(ExtentSource& source, Pending pending, const Digest& hash) {
  const Spot& spot = pending.piece.spot;
  const auto there = thread_->have(spot, *pending.state, hash);
  if (!there) return failed(there.error());
  if (!*there) return ask_again(source, std::move(pending), true);  // another name with the same beginning
  assembly_.counts.same += spot.length;
  return finished(pending);
}

Outcome<void> Worker::take_pieces(ExtentSource& source, Pending pending, const Answer& answer) {
  const std::size_t count = pieces_of(pending.piece.spot.length);
  if (!pending.have || pending.patch || answer.data.size() != count * sizeof(std::uint64_t))
    return wrong("told pieces that nobody asked for");
  const auto known = know_pieces(pending);
  if (!known) return failed(known.error());
  if (!*known) return ask_again(source, std::move(pending), true);
  PieceSet differing{};
  bool any = false;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t theirs = 0;
    std::memcpy(&theirs, answer.data.data() + i * sizeof theirs, sizeof theirs);
    if (theirs == short_hash(pending.seen.pieces[i])) continue;
    insert(differing, i);
    any = true;
  }
  if (!any) return ask_again(source, std::move(pending), true);  // two pieces with the same eight bytes of hash
  pending.patch = differing;
  pending.hash = answer.header.hash;
  return ask_again(source, std::move(pending), false);
}

/// False where what is there cannot be read.
Outcome<bool> Worker::know_pieces(Pending& pending) {
  const Spot& spot = pending.piece.spot;
  Seen& seen = pending.seen;
  const std::size_t count = pieces_of(spot.length);
  if (seen.pieces.size() == count) return true;
  if (seen.bytes.empty()) {
    const auto told = thread_->pieces_of(*pending.have, seen.pieces);
    if (!told) return failed(told.error());
    if (*told && seen.pieces.size() == count) return true;
    seen.bytes.resize(spot.length);
    const auto read = thread_->read_old(spot, *pending.state, *pending.have, seen.bytes);
    if (!read) return failed(read.error());
    if (!*read) return false;
    pending.there = true;
  }
  static_cast<void>(hasher_.of(seen.bytes));
  seen.pieces.assign(hasher_.pieces().begin(), hasher_.pieces().end());
  return seen.pieces.size() == count;
}

Outcome<void> Worker::take_patch(ExtentSource& source, Pending pending, const Answer& answer) {
  if (!pending.patch) return wrong("sent a patch that nobody asked for");
  const Spot& spot = pending.piece.spot;
  std::size_t bytes = 0;
  for (const Range& range : ranges_of(*pending.patch, spot.length)) bytes += range.length;
  const auto arrived = unpacker_.unpack(answer.header.codec, answer.data, bytes);
  if (!arrived) return failed(arrived.error());
  std::vector<Digest>& pieces = pending.seen.pieces;
  std::size_t at = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    if (!contains(*pending.patch, i)) continue;
    const auto piece = arrived->subspan(at, std::min(kPiece, spot.length - i * kPiece));
    pieces[i] = piece_hash(i, piece);
    at += piece.size();
  }
  assembly_.counts.sent += bytes;
  // It changed meanwhile, or what is there is not what it was taken for.
  if (name_of_pieces(pieces) != pending.hash) return ask_again(source, std::move(pending), true);
  if (pending.seen.bytes.empty() || pending.there) {
    const auto taken =
        thread_->patch(spot, *pending.state,
                       {*pending.have, pending.hash, *pending.patch, *arrived, answer.header.codec != kPlain, pieces});
    if (!taken) return failed(taken.error());
    if (*taken) return finished(pending);
  }
  Bytes patched = std::move(pending.seen.bytes);
  const auto read = read_rest(pending, *arrived, patched);
  if (!read) return failed(read.error());
  if (!*read) return ask_again(source, std::move(pending), true);
  return put(pending, {pending.hash, kPlain, patched, patched, pieces});
}

/// Puts what has arrived into the bytes that are there; reads them first where they are not in `out` yet. False where
/// they cannot be read, or are not what their piece hashes say.
Outcome<bool> Worker::read_rest(const Pending& pending, std::span<const std::byte> arrived, Bytes& out) {
  const Spot& spot = pending.piece.spot;
  const bool unread = out.empty();
  if (unread) {
    out.resize(spot.length);
    auto read = thread_->read_old(spot, *pending.state, *pending.have, out);
    if (!read || !*read) return read;
  }
  for (const Range& range : ranges_of(*pending.patch, spot.length)) {
    std::memcpy(out.data() + range.offset, arrived.data(), range.length);
    arrived = arrived.subspan(range.length);
  }
  return !unread || hasher_.of(out) == pending.hash;
}

Outcome<void> Worker::take_trouble(const Pending& pending) {
  if (pending.piece.file->trouble()) assembly_.troubles.add(pending.piece.spot.file);
  return finished(pending);
}

Outcome<void> Worker::put(const Pending& pending, const Extent& extent) {
  if (auto done = thread_->put(pending.piece.spot, *pending.state, extent); !done) return done;
  return finished(pending);
}

Outcome<void> Worker::ask_again(ExtentSource& source, Pending pending, bool whole) {
  const Spot& spot = pending.piece.spot;
  Want want{.file = spot.file, .offset = spot.offset, .length = spot.length, .whole = whole};
  if (whole) {
    pending.have.reset();
    pending.patch.reset();
    pending.seen = {};
    pending.there = false;
  } else {
    want.pieces = pending.patch;
  }
  wait_for(std::move(pending));
  return source.ask({want});
}

Outcome<void> Worker::finished(const Pending& pending) {
  const bool last = pending.piece.file->finished_one();
  const std::uint32_t file = pending.piece.spot.file;
  if (last && !pending.piece.file->troubled())
    if (auto completed = thread_->complete(file, *pending.state); !completed) return completed;
  assembly_.meter.add(pending.piece.spot.length, last ? 1 : 0);
  return {};
}

}  // namespace roadstead::mover
