#include "mover/assembly.h"

#include <algorithm>
#include <cstring>

#include "mover/piece_hash.h"

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
  auto have = thread_->look(spot, *pending.state, pending.kept);
  if (!have) return failed(have.error());
  if (assembly_.sink.only_looks()) return finished(pending);
  pending.have = *have;
  wants.push_back({spot.file, spot.offset, spot.length, pending.have, pending.have.has_value(), {}, false});
  wait_for(std::move(pending));
  return {};
}

void Worker::wait_for(Pending pending) {
  pending_bytes_ += pending.piece.spot.length;
  pending_kept_ += pending.kept.empty() ? 0 : 1;
  pending_.push_back(std::move(pending));
}

Outcome<void> Worker::take(ExtentSource& source, const Answer& answer) {
  if (pending_.empty()) return wrong("answered what nobody asked");
  Pending pending = std::move(pending_.front());
  pending_.pop_front();
  pending_bytes_ -= pending.piece.spot.length;
  pending_kept_ -= pending.kept.empty() ? 0 : 1;
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
  if (auto done = thread_->same(spot, *pending.state, *pending.have, pending.kept); !done) return done;
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
  return put(pending, {answer.header.hash, answer.header.codec, answer.data, *plain});
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
  const Spot& spot = pending.piece.spot;
  const std::size_t count = (spot.length + kPiece - 1) / kPiece;
  if (!pending.have || pending.patch || answer.data.size() != count * sizeof(std::uint64_t))
    return wrong("told pieces that nobody asked for");
  if (pending.kept.empty()) {
    pending.kept.resize(spot.length);
    const auto read = thread_->read_old(spot, *pending.state, *pending.have, pending.kept);
    if (!read) return failed(read.error());
    if (!*read) return ask_again(source, std::move(pending), true);
    pending.there = true;
  }
  const auto mine = piece_hashes(pending.kept);
  PieceSet differing{};
  bool any = false;
  for (std::size_t i = 0; i < count; ++i) {
    std::uint64_t theirs = 0;
    std::memcpy(&theirs, answer.data.data() + i * sizeof theirs, sizeof theirs);
    if (theirs == mine[i]) continue;
    insert(differing, i);
    any = true;
  }
  if (!any) return ask_again(source, std::move(pending), true);  // two pieces with the same eight bytes of hash
  pending.patch = differing;
  pending.hash = answer.header.hash;
  return ask_again(source, std::move(pending), false);
}

Outcome<void> Worker::take_patch(ExtentSource& source, Pending pending, const Answer& answer) {
  if (!pending.patch) return wrong("sent a patch that nobody asked for");
  const Spot& spot = pending.piece.spot;
  const auto ranges = ranges_of(*pending.patch, spot.length);
  std::size_t bytes = 0;
  for (const Range& range : ranges) bytes += range.length;
  const auto plain = unpacker_.unpack(answer.header.codec, answer.data, bytes);
  if (!plain) return failed(plain.error());
  std::size_t at = 0;
  for (const Range& range : ranges) {
    std::memcpy(pending.kept.data() + range.offset, plain->data() + at, range.length);
    at += range.length;
  }
  assembly_.counts.sent += bytes;
  if (hasher_.of(pending.kept) != pending.hash)
    return ask_again(source, std::move(pending), true);  // it changed meanwhile
  const PatchedFrom from{*pending.have, *pending.patch, pending.there, answer.header.codec != kPlain};
  const Bytes patched = std::move(pending.kept);
  return put(pending, {pending.hash, kPlain, patched, patched, from});
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
    pending.kept = {};
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
