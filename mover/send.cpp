// The sending end of a copy.

#include <algorithm>
#include <future>

#include "mover/copy.h"
#include "mover/guarded.h"
#include "mover/source_file.h"
#include "mover/zero.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kAlive = 500ms;
constexpr std::size_t kEntriesFrame = std::size_t{256} << 10;  ///< An Entries frame goes out when it is this full.
constexpr std::size_t kExtentsFrame = std::size_t{512} << 10;  ///< An Extents frame too.

struct Sent {
  std::atomic<std::uint64_t> data{0};
  std::atomic<std::uint64_t> same{0};
  std::atomic<std::uint64_t> verified{0};  ///< As the receiver says.
};

/// Tells the receiver about entries while they are listed.
class Announcer {
 public:
  explicit Announcer(Connection& connection) : connection_(connection) {}

  Outcome<void> listed(const Scan& scan) {
    for (; next_ < scan.entries.size(); ++next_) {
      append(payload_, scan.entries.entry_of(next_));
      if (payload_.size() < kEntriesFrame) continue;
      if (auto sent = flush(); !sent) return sent;
    }
    if (Session::Clock::now() - connection_.last_sent() > kAlive)
      if (auto sent = connection_.send(FrameType::Alive); !sent) return sent;
    return hear();
  }

  Outcome<void> end(const Scan& scan) {
    if (auto told = listed(scan); !told) return told;
    if (auto sent = flush(); !sent) return sent;
    return connection_.send(FrameType::EntriesEnd,
                            encode(EntriesEnd{scan.entries.size(), scan.entries.data_bytes(), scan.skipped}));
  }

 private:
  Outcome<void> flush() {
    if (payload_.empty()) return {};
    auto sent = connection_.send(FrameType::Entries, payload_);
    payload_.clear();
    return sent;
  }

  /// The receiver only speaks now to say that it is still there, or that it fails.
  Outcome<void> hear() {
    while (connection_.readable()) {
      const auto frame = connection_.receive();
      if (!frame) return failed(frame.error());
      if (frame->type != FrameType::Alive)
        return failed(protocol_error("the peer spoke before it had heard all entries"));
    }
    return {};
  }

  Connection& connection_;
  std::uint32_t next_ = 0;
  Bytes payload_;
};

/// Answers the wants of one connection.
class Server {
 public:
  Server(const Scan& scan, Connection& connection, Sent& counts, Meter& meter)
      : scan_(scan),
        files_(scan),
        connection_(connection),
        counts_(counts),
        meter_(meter),
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
        case FrameType::End:
          if (auto closed = files_.close(); !closed) return closed;
          if (auto sent = connection_.send(FrameType::End); !sent || !is_first) return sent;
          break;
        case FrameType::Done:
          if (auto heard = hear(frame->payload); !heard) return heard;
          return connection_.send(FrameType::Done);
        default:
          return failed(protocol_error("the peer sent a frame that a receiver does not send"));
      }
    }
  }

 private:
  Outcome<void> hear(std::span<const std::byte> payload) {
    const auto tally = decode_tally(payload);
    if (!tally) return failed(tally.error());
    meter_.raise(tally->bytes_done, tally->files_done);
    counts_.verified = tally->bytes_verified;
    return {};
  }

  Outcome<void> answer_all(std::span<const std::byte> payload) {
    const auto wants = decode_wants(payload);
    if (!wants) return failed(wants.error());
    for (std::size_t i = 0; i < wants->size(); ++i) {
      if (auto answered = answer((*wants)[i]); !answered) return answered;
      if (i + 1 < wants->size()) files_.announce((*wants)[i + 1].file, (*wants)[i + 1].offset, (*wants)[i + 1].length);
    }
    return flush();
  }

  Outcome<void> answer(const Want& want) {
    if (want.file >= scan_.entries.size() || scan_.entries[want.file].type != EntryType::File ||
        want.offset > scan_.entries[want.file].size || want.length > scan_.entries[want.file].size - want.offset)
      return failed(protocol_error("the peer wants what the source does not have"));
    if (used_ + kAnswerHeader + want.length > out_.size())
      if (auto sent = flush(); !sent) return sent;
    const std::span header(out_.data() + used_, kAnswerHeader);
    const std::span data(out_.data() + used_ + kAnswerHeader, want.length);
    hasher_.start();
    if (auto read = files_.read(want.file, want.offset, data, &hasher_); !read) return read;
    AnswerHeader answer{AnswerKind::Data, kPlain, want.file, want.offset, want.length, want.length, hasher_.finish()};
    if (want.have == answer.hash)
      answer.kind = AnswerKind::Same;
    else if (is_zero(data))
      answer.kind = AnswerKind::Zero;
    if (answer.kind != AnswerKind::Data) {
      answer.stored = 0;
      answer.hash = {};
    }
    put_answer(header.first<kAnswerHeader>(), answer);
    used_ += kAnswerHeader + answer.stored;
    if (answer.kind == AnswerKind::Data) counts_.data += want.length;
    if (answer.kind == AnswerKind::Same) counts_.same += want.length;
    return used_ >= kExtentsFrame ? flush() : Outcome<void>{};
  }

  Outcome<void> flush() {
    if (used_ == kFrameHeader) return {};
    put_header(std::span<std::byte, kFrameHeader>(out_.data(), kFrameHeader),
               {FrameType::Extents, static_cast<std::uint32_t>(used_ - kFrameHeader)});
    auto sent = connection_.send(std::span(out_).first(used_));
    used_ = kFrameHeader;
    return sent;
  }

  const Scan& scan_;
  SourceFiles files_;
  Connection& connection_;
  Sent& counts_;
  Meter& meter_;
  Hasher hasher_;
  Bytes out_;  ///< A frame in the making; files are read straight into it.
  std::size_t used_ = kFrameHeader;
};

Outcome<Scan> announce(const Source& source, Connection& connection, const Session& session) {
  Announcer announcer(connection);
  auto scanned = scan(source, session.stop(), [&](const Scan& so_far) { return announcer.listed(so_far); });
  if (!scanned) return scanned;
  if (auto told = announcer.end(*scanned); !told) return failed(told.error());
  return scanned;
}

void serve_all(const Scan& scan, Linked& linked, Session& session, Sent& counts, Meter& meter) {
  std::vector<std::future<Outcome<void>>> others;
  for (std::size_t i = 1; i < linked.connections.size(); ++i)
    others.push_back(std::async(std::launch::async, [&, &connection = *linked.connections[i]] {
      return guarded(session, connection, [&] { return Server(scan, connection, counts, meter).run(false); });
    }));
  Connection& first = *linked.connections.front();
  guarded(session, first, [&] { return Server(scan, first, counts, meter).run(true); });
  for (auto& other : others) other.wait();
}

}  // namespace

CopyEnd send_tree(const Source& source, Linked& linked, Session& session, Meter& meter) {
  CopyEnd end;
  Sent counts;
  Scan scanned;
  meter.enter("Scanning");
  Connection& first = *linked.connections.front();
  const auto announced = guarded(session, first, [&]() -> Outcome<void> {
    auto result = announce(source, first, session);
    if (!result) return failed(result.error());
    scanned = std::move(*result);
    return {};
  });
  if (announced) {
    meter.set_totals(scanned.entries.data_bytes(), scanned.entries.files());
    meter.enter("Copying");
    serve_all(scanned, linked, session, counts, meter);
  }
  end.failure = session.failure();
  end.data.bytes_total = scanned.entries.data_bytes();
  end.data.bytes_done = meter.bytes_done();
  end.data.bytes_sent = counts.data;
  end.data.bytes_same = counts.same;
  end.data.bytes_verified = counts.verified;
  end.data.files_total = scanned.entries.files();
  end.data.files_done = meter.files_done();
  end.data.entries = scanned.entries.size();
  end.data.skipped_count = scanned.skipped.count;
  end.data.skipped = scanned.skipped.names;
  return end;
}

}  // namespace roadstead::mover
