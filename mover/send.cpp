// The sending end of a copy.

#include <algorithm>
#include <future>

#include "mover/answerer.h"
#include "mover/copy.h"
#include "mover/guarded.h"
#include "mover/open_source.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kAlive = 500ms;
constexpr std::size_t kEntriesFrame = std::size_t{256} << 10;   ///< An Entries frame goes out when it is this full.
constexpr std::size_t kExtentsFrame = std::size_t{512} << 10;   ///< An Extents frame too.
constexpr std::size_t kRestatedFrame = std::size_t{512} << 10;  ///< And one of restated files.

/// Tells the receiver about entries while they are listed.
class Announcer {
 public:
  explicit Announcer(Connection& connection) : connection_(connection) {}

  Outcome<void> listed(const EntryList& entries) {
    for (; next_ < entries.size(); ++next_) {
      append(payload_, entries.entry_of(next_));
      if (payload_.size() < kEntriesFrame) continue;
      if (auto sent = flush(); !sent) return sent;
    }
    if (Session::Clock::now() - connection_.last_sent() > kAlive)
      if (auto sent = connection_.send(FrameType::Alive); !sent) return sent;
    return hear();
  }

  Outcome<void> end(const TreeSource& source) {
    if (auto told = listed(source.entries()); !told) return told;
    if (auto sent = flush(); !sent) return sent;
    return connection_.send(FrameType::EntriesEnd, encode(source.end_of_entries()));
  }

  /// The receiver has everything already: not a word more is wanted.
  [[nodiscard]] bool done() const { return done_; }

 private:
  Outcome<void> flush() {
    if (payload_.empty()) return {};
    auto sent = connection_.send(FrameType::Entries, payload_);
    payload_.clear();
    return sent;
  }

  /// The receiver only speaks now to say that it is still there, that it has everything, or that it fails.
  Outcome<void> hear() {
    while (!done_ && connection_.readable()) {
      const auto frame = connection_.receive();
      if (!frame) return failed(frame.error());
      if (frame->type == FrameType::Done)
        done_ = true;
      else if (frame->type != FrameType::Alive)
        return failed(protocol_error("the peer spoke before it had heard all entries"));
    }
    return {};
  }

  Connection& connection_;
  std::uint32_t next_ = 0;
  Bytes payload_;
  bool done_ = false;
};

/// What the threads of a sender share.
struct Sending {
  TreeSource& source;
  KnownExtents known;
  SentCounts counts;
  Meter& meter;
  Compression compression;
  std::atomic<int> others{0};  ///< Connections but the first that have not ended.
};

/// Answers the wants of one connection.
class Server {
 public:
  Server(Sending& shared, Connection& connection)
      : shared_(shared),
        connection_(connection),
        answerer_(shared.source, shared.known, shared.counts, shared.compression),
        out_(kFrameHeader + payload_limit(FrameType::Extents)) {}

  /// Until the receiver ends; on the first connection until it says that all is durable.
  Outcome<void> run(bool is_first) {
    for (;;) {
      const auto frame = connection_.receive();
      if (!frame) return failed(frame.error());
      switch (frame->type) {
        case FrameType::Want:
          if (auto answered = answer_all(frame->payload); !answered) return answered;
          break;
        case FrameType::Alive:
          if (auto heard = hear(frame->payload); !heard) return heard;
          break;
        case FrameType::Troubled:
          if (!is_first || !shared_.source.end_of_entries().live || shared_.others > 0)
            return failed(protocol_error("the peer asks for changes where there are none to tell yet"));
          if (auto taken = frame->payload.empty() ? restate() : take_troubled(frame->payload); !taken) return taken;
          break;
        case FrameType::End:
          if (auto closed = answerer_.end(); !closed) return closed;
          if (!is_first) --shared_.others;  // before the peer hears it
          if (auto sent = connection_.send(FrameType::End); !sent || !is_first) return sent;
          break;
        case FrameType::Done:
          if (auto heard = hear(frame->payload); !heard) return heard;
          return connection_.send(FrameType::Done);
        default:
          return failed(protocol_error("the peer sent a frame that a receiver does not send now"));
      }
    }
  }

 private:
  Outcome<void> hear(std::span<const std::byte> payload) {
    const auto tally = decode_tally(payload);
    if (!tally) return failed(tally.error());
    shared_.meter.raise(tally->bytes_done, tally->files_done);
    shared_.counts.verified = tally->bytes_verified;
    return {};
  }

  Outcome<void> answer_all(std::span<const std::byte> payload) {
    const auto wants = decode_wants(payload);
    if (!wants) return failed(wants.error());
    for (std::size_t i = 0; i < wants->size(); ++i) {
      if (auto answered = answer((*wants)[i]); !answered) return answered;
      if (i + 1 < wants->size()) answerer_.announce((*wants)[i + 1]);
    }
    return flush();
  }

  Outcome<void> answer(const Want& want) {
    if (used_ + Answerer::room_for(want) > out_.size())
      if (auto sent = flush(); !sent) return sent;
    const auto used = answerer_.answer(want, std::span(out_).subspan(used_));
    if (!used) return failed(used.error());
    used_ += *used;
    bytes_ += want.length;
    return used_ >= kExtentsFrame ? flush() : Outcome<void>{};
  }

  Outcome<void> flush() {
    if (used_ == kFrameHeader) return {};
    put_header(std::span<std::byte, kFrameHeader>(out_.data(), kFrameHeader),
               {FrameType::Extents, static_cast<std::uint32_t>(used_ - kFrameHeader)});
    auto sent = connection_.send(std::span(out_).first(used_));
    used_ = kFrameHeader;
    answerer_.packing().sent(PackingChoice::Clock::now(), bytes_, connection_.waited());
    return sent;
  }

  Outcome<void> take_troubled(std::span<const std::byte> payload) {
    const auto more = decode_troubled(payload);
    if (!more) return failed(more.error());
    for (const std::uint32_t file : *more) {
      if (file >= shared_.source.entries().size() || shared_.source.entries()[file].type != EntryType::File)
        return failed(protocol_error("the peer asks for what is no file"));
      if (troubled_.size() >= shared_.source.entries().size())
        return failed(protocol_error("the peer asks for more files than there are"));
      troubled_.push_back(file);
    }
    return {};
  }

  /// All other connections have ended: what they held open is closed, what changed under them is known.
  Outcome<void> restate() {
    if (auto closed = answerer_.end(); !closed) return closed;
    Bytes part;
    const auto flush = [&]() -> Outcome<void> {
      auto sent = connection_.send(FrameType::Restated, part);
      part.clear();
      return sent;
    };
    const auto tell = [&](const Restated& one) -> Outcome<void> {
      append(part, one);
      return part.size() < kRestatedFrame ? Outcome<void>{} : flush();
    };
    auto told = shared_.source.restate(std::exchange(troubled_, {}), tell, [this]() -> Outcome<void> {
      if (Session::Clock::now() - connection_.last_sent() < kAlive) return {};
      return connection_.send(FrameType::Alive);
    });
    if (!told) return told;
    if (!part.empty())
      if (auto sent = flush(); !sent) return sent;
    return flush();  // empty: that is all
  }

  Sending& shared_;
  Connection& connection_;
  Answerer answerer_;
  Bytes out_;  ///< A frame in the making; files are read straight into it.
  std::size_t used_ = kFrameHeader;
  std::uint64_t bytes_ = 0;  ///< Of files, answered so far.
  std::vector<std::uint32_t> troubled_;
};

/// What the receiver's repository has, up to the frame that says that this is all. False: the receiver has everything.
Outcome<bool> hear_known(Connection& connection, KnownExtents& known) {
  for (;;) {
    const auto frame = connection.receive();
    if (!frame) return failed(frame.error());
    if (frame->type == FrameType::Alive) continue;
    if (frame->type == FrameType::Done) return false;
    if (frame->type != FrameType::Known) return failed(protocol_error("the peer asked before it had said what it has"));
    if (frame->payload.empty()) break;
    const auto prefixes = decode_known(frame->payload);
    if (!prefixes) return failed(prefixes.error());
    if (known.size() + prefixes->size() > kMaxAllKnown)
      return failed(protocol_error("the peer has more extents than it may tell of"));
    known.add(*prefixes);
  }
  known.done();
  return true;
}

void serve_all(Sending& shared, Linked& linked, Session& session) {
  std::vector<std::future<Outcome<void>>> others;
  shared.others = static_cast<int>(linked.connections.size()) - 1;
  Connection& first = *linked.connections.front();
  guarded(session, first, [&] {
    for (std::size_t i = 1; i < linked.connections.size(); ++i)
      others.push_back(std::async(std::launch::async, [&, &connection = *linked.connections[i]] {
        return guarded(session, connection, [&] { return Server(shared, connection).run(false); });
      }));
    return Server(shared, first).run(true);
  });
  for (auto& other : others) other.wait();
}

/// From the last entry to the end.
Outcome<void> serve(Sending& shared, Linked& linked, Session& session, bool done) {
  Connection& first = *linked.connections.front();
  if (!done) {
    const auto wanted = hear_known(first, shared.known);
    if (!wanted) return failed(wanted.error());
    done = !*wanted;
  }
  if (done) return first.send(FrameType::Done);
  serve_all(shared, linked, session);
  return {};
}

CopyData data_of(const Sending& sending, const Linked& linked) {
  const EntryList& entries = sending.source.entries();
  const EntriesEnd announced = sending.source.end_of_entries();
  CopyData data;
  data.bytes_total = entries.data_bytes();
  data.bytes_done = sending.meter.bytes_done();
  data.bytes_sent = sending.counts.data;
  data.bytes_same = sending.counts.same;
  data.bytes_verified = sending.counts.verified;
  data.files_total = entries.files();
  data.files_done = sending.meter.files_done();
  data.entries = entries.size();
  data.skipped_count = announced.skipped.count;
  data.skipped = announced.skipped.names;
  data.changed = sending.source.changes().changed;
  data.unreadable = sending.source.changes().unreadable;
  for (const auto& connection : linked.connections) data.wire_bytes += connection->bytes();
  return data;
}

}  // namespace

CopyEnd send_tree(const Copy& job, Linked& linked, Session& session, Meter& meter) {
  meter.enter("Scanning");
  Throttle throttle(std::max<std::uint64_t>(job.bandwidth_limit, 1));
  if (job.bandwidth_limit > 0)
    for (const auto& connection : linked.connections) connection->limit_by(&throttle);
  Connection& first = *linked.connections.front();
  Announcer announcer(first);
  std::unique_ptr<TreeSource> source;
  const auto announced = guarded(session, first, [&]() -> Outcome<void> {
    auto opened =
        open_source(*job.source, session.stop(), [&](const Scan& so_far) { return announcer.listed(so_far.entries); });
    if (!opened) return failed(opened.error());
    source = std::move(*opened);
    if (auto told = announcer.end(*source); !told) return told;
    return {};
  });
  if (!source) return {{}, session.failure()};
  Sending sending{*source, {}, {}, meter, job.compression};
  if (announced) {
    meter.set_totals(source->entries().data_bytes(), source->entries().files());
    meter.enter("Copying");
    guarded(session, first, [&] { return serve(sending, linked, session, announcer.done()); });
  }
  return {data_of(sending, linked), session.failure()};
}

}  // namespace roadstead::mover
