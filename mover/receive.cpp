// The receiving end of a copy, and the copy within one process.

#include <algorithm>
#include <future>
#include <thread>

#include "mover/answerer.h"
#include "mover/assembly.h"
#include "mover/copy.h"
#include "mover/guarded.h"
#include "mover/open_source.h"
#include "mover/ticking.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kAlive = 500ms;

Failure damaged_extent(const std::string& path) {
  return {"DamagedExtent", fmt::format("an extent of {} is not what was stored", path),
          "have the repository verified; restore another snapshot, or this one again after a backup brought it anew"};
}

/// The other mover's source over one connection.
class RemoteSource final : public ExtentSource {
 public:
  RemoteSource(Connection& connection, const EntriesEnd& announced)
      : connection_(connection), stored_(!announced.origin.empty()) {}

  Outcome<void> ask(const std::vector<Want>& wants) override {
    Bytes payload;
    for (const Want& want : wants) append(payload, want);
    return connection_.send(FrameType::Want, payload);
  }

  Outcome<Answer> next() override {
    while (rest_.empty()) {
      auto frame = connection_.receive();
      if (!frame) return failed(frame.error());
      if (frame->type == FrameType::Extents)
        rest_ = frame->payload;
      else if (frame->type != FrameType::Alive)
        return failed(protocol_error("the peer sent something else than extents"));
    }
    const auto header = take_answer(rest_);
    if (!header) return failed(header.error());
    const Answer answer{*header, rest_.first(header->stored)};
    rest_ = rest_.subspan(header->stored);
    return answer;
  }

  Outcome<void> end() override {
    if (auto all = nothing_left(); !all) return all;
    if (auto sent = connection_.send(FrameType::End); !sent) return sent;
    for (;;) {
      const auto frame = connection_.receive();
      if (!frame) return failed(frame.error());
      if (frame->type == FrameType::End) return {};
      if (frame->type != FrameType::Alive) return failed(protocol_error("the peer went on after the end"));
    }
  }

  [[nodiscard]] bool hashed() const override { return true; }
  [[nodiscard]] Failure wrong_hash(const std::string& path) const override {
    // What lies in a repository is sent as it lies there, and it is here that it is compared with its name.
    if (stored_) return damaged_extent(path);
    return protocol_error(fmt::format("the peer sent an extent of {} that does not have its hash", path));
  }

  /// All that was received has been taken: another frame may be received elsewhere.
  [[nodiscard]] Outcome<void> nothing_left() const {
    return rest_.empty() ? Outcome<void>{} : failed(protocol_error("the peer answered what nobody asked"));
  }

 private:
  Connection& connection_;
  bool stored_;                      ///< In a repository.
  std::span<const std::byte> rest_;  ///< Of the last frame, the answers not yet taken.
};

/// A source in this process. Its data has not travelled; what lay in a repository is verified all the same.
class LocalSource final : public ExtentSource {
 public:
  LocalSource(TreeSource& source, const KnownExtents& known, SentCounts& counts, Compression compression, bool names,
              bool verify)
      : answerer_(source, known, counts, compression, names || verify),
        buffer_(Answerer::room_for({.length = kExtent})),
        verify_(verify) {}

  Outcome<void> ask(const std::vector<Want>& wants) override {
    wants_.insert(wants_.end(), wants.begin(), wants.end());
    return {};
  }

  Outcome<Answer> next() override {
    const Want want = wants_.front();
    wants_.pop_front();
    if (!wants_.empty()) answerer_.announce(wants_.front());
    const auto used = answerer_.answer(want, buffer_);
    if (!used) return failed(used.error());
    std::span<const std::byte> rest = std::span(buffer_).first(*used);
    const auto header = take_answer(rest);
    if (!header) return failed(header.error());
    return Answer{*header, rest};
  }

  Outcome<void> end() override { return answerer_.end(); }
  [[nodiscard]] bool hashed() const override { return verify_; }
  [[nodiscard]] Failure wrong_hash(const std::string& path) const override { return damaged_extent(path); }

 private:
  Answerer answerer_;
  Bytes buffer_;
  bool verify_;
  std::deque<Want> wants_;
};

/// What both kinds of receiving share: the sink, its counts, and what became of a live source's files.
class Receipt {
 public:
  Receipt(const EntryList& entries, Meter& meter) : entries_(entries), meter_(meter) {}

  [[nodiscard]] CopyData data(const Sink* sink) const {
    CopyData data;
    data.bytes_total = entries_.data_bytes();
    data.bytes_done = meter_.bytes_done();
    data.bytes_sent = counts.sent;
    data.bytes_same = counts.same;
    data.bytes_verified = counts.verified;
    data.files_total = entries_.files();
    data.files_done = meter_.files_done();
    data.entries = entries_.size();
    data.skipped_count = announced.skipped.count;
    data.skipped = announced.skipped.names;
    data.changed = changes.changed;
    data.unreadable = changes.unreadable;
    data.wire_bytes = wire_bytes;
    if (sink != nullptr) sink->tell(data);
    return data;
  }

  [[nodiscard]] CopyEnd end(const Sink* sink, std::optional<Failure> failure) const {
    CopyEnd end{data(sink), std::move(failure)};
    if (!end.failure || end.failure->reason != "NoSpace" || end.failure->from_peer || sink == nullptr) return end;
    end.data.needed_bytes = end.data.bytes_total - std::min(end.data.bytes_total, end.data.bytes_done);
    end.data.free_bytes = sink->free_bytes();
    end.failure->message +=
        fmt::format(" ({} bytes are still to be written, {} are free)", end.data.needed_bytes, end.data.free_bytes);
    return end;
  }

  /// One round of restated files.
  struct Round {
    std::vector<bool> told;            ///< By number, of all entries.
    std::vector<std::uint32_t> again;  ///< They are to be asked for once more.
  };

  /// Nothing is taken of what the peer may not say, or says twice: it could go on like that for ever.
  Outcome<void> check(const Restated& one, Round& round) const {
    const bool known = one.file < entries_.size();
    const bool told = known && one.final && entries_[one.file].type == EntryType::Directory;
    if (!told && (!known || entries_[one.file].type != EntryType::File))
      return failed(protocol_error("the peer restates what is no file"));
    if (round.told[one.file]) return failed(protocol_error("the peer restates a file twice"));
    round.told[one.file] = true;
    return {};
  }

  Outcome<void> restate(const Restated& one, Sink& sink, Round& round) {
    take(changes, one, entries_);
    if (one.final) return {};
    if (!one.entry) return sink.leave_out(one.file);
    round.again.push_back(one.file);
    return sink.restate(one.file);
  }

  Counts counts;
  Troubles troubles;
  EntriesEnd announced;
  Changes changes;
  std::uint64_t wire_bytes = 0;

 private:
  const EntryList& entries_;
  Meter& meter_;
};

// ---- over connections -----------------------------------------------------------------------------------------------

class Receiving {
 public:
  Receiving(const Copy& job, Linked& linked, Session& session, Meter& meter)
      : job_(job),
        linked_(linked),
        session_(session),
        meter_(meter),
        alone_([this] { return keep_alive_alone(); }),
        keep_alive_([this] { return keep_alive(); }),
        go_on_([this] { return go_on(); }) {}

  CopyEnd run() {
    guarded(session_, first(), [&] { return all(); });
    for (auto& other : others_) other.wait();
    auto failure = session_.failure();
    if (sink_ && failure) sink_->abandon();
    for (const auto& connection : linked_.connections) receipt_.wire_bytes += connection->bytes();
    return receipt_.end(sink_.get(), std::move(failure));
  }

 private:
  Connection& first() { return *linked_.connections.front(); }

  Outcome<void> all() {
    auto sink = while_ticking(keep_alive_, [this] { return open_sink(job_); });
    if (!sink) return failed(sink.error());
    sink_ = std::move(*sink);
    if (sink_->already_there()) return say_done();
    meter_.enter("Scanning");
    if (auto heard = hear_entries(); !heard) return heard;
    meter_.set_totals(entries_.data_bytes(), entries_.files());
    meter_.enter("Copying");
    if (auto prepared = sink_->prepare(entries_, receipt_.announced, alone_); !prepared) return prepared;
    if (auto told = tell_known(); !told) return told;
    if (auto built = build(); !built) return built;
    meter_.enter("Finishing");
    if (auto finished = sink_->finish(receipt_.changes, receipt_.data(nullptr), alone_); !finished) return finished;
    return say_done();
  }

  Outcome<void> hear_entries() {
    for (;;) {
      const auto frame = first().receive();
      if (!frame) return failed(frame.error());
      if (auto alive = keep_alive(); !alive) return alive;
      if (frame->type == FrameType::Alive) continue;
      if (frame->type == FrameType::Entries) {
        if (auto taken = decode_entries(frame->payload, entries_); !taken) return taken;
        continue;
      }
      if (frame->type != FrameType::EntriesEnd)
        return failed(protocol_error("the peer sent something else than entries"));
      auto end = decode_entries_end(frame->payload);
      if (!end) return failed(end.error());
      if (entries_.size() == 0 || end->entries != entries_.size() || end->data_bytes != entries_.data_bytes())
        return failed(protocol_error("the peer's totals do not fit its entries"));
      receipt_.changes.unreadable = end->unreadable;
      receipt_.announced = std::move(*end);
      return {};
    }
  }

  Outcome<void> tell_known() {
    const auto prefixes =
        while_ticking(alone_, [this]() -> Outcome<std::vector<std::uint64_t>> { return sink_->known(kMaxAllKnown); });
    if (!prefixes) return failed(prefixes.error());
    for (std::span<const std::uint64_t> rest(*prefixes); !rest.empty();) {
      const auto part = rest.first(std::min(rest.size(), kMaxKnown));
      if (auto sent = first().send(FrameType::Known, encode_known(part)); !sent) return sent;
      rest = rest.subspan(part.size());
    }
    return first().send(FrameType::Known);
  }

  /// One worker per connection; the first on this thread, which meanwhile keeps the session alive.
  Outcome<void> build() {
    Assembly assembly{*sink_, entries_, receipt_.counts, meter_, receipt_.troubles};
    PieceQueue queue(entries_);
    auto done = caught([&]() -> Outcome<void> {
      for (std::size_t i = 1; i < linked_.connections.size(); ++i)
        others_.push_back(std::async(std::launch::async, [&, &connection = *linked_.connections[i]] {
          return guarded(session_, connection, [&] { return work(assembly, queue, connection); });
        }));
      RemoteSource source(first(), receipt_.announced);
      return Worker(assembly, queue, keep_alive_)
          .run(
              source, [&] { return await_others(); }, [&] { return restate(source); });
    });
    if (!done) session_.fail(done.error());
    for (auto& other : others_) other.wait();
    if (!done) return done;
    if (auto why = session_.failure()) return failed(std::move(*why));
    return {};
  }

  Outcome<void> work(Assembly& assembly, PieceQueue& queue, Connection& connection) {
    RemoteSource source(connection, receipt_.announced);
    return Worker(assembly, queue, go_on_).run(source);
  }

  Outcome<void> await_others() {
    for (auto& other : others_)
      while (other.wait_for(50ms) != std::future_status::ready)
        if (auto alive = keep_alive(); !alive) return alive;
    return {};
  }

  /// Asks what became of troubled files, and of those that changed unnoticed here.
  Outcome<std::vector<std::uint32_t>> restate(const RemoteSource& source) {
    if (!receipt_.announced.live) return std::vector<std::uint32_t>{};
    if (auto all = source.nothing_left(); !all) return failed(all.error());
    const auto troubled = receipt_.troubles.take();
    if (auto told = tell_troubled(troubled); !told) return failed(told.error());
    Receipt::Round round;
    round.told.resize(entries_.size());
    for (;;) {
      const auto frame = first().receive();
      if (!frame) return failed(frame.error());
      if (frame->type == FrameType::Alive) continue;
      if (frame->type != FrameType::Restated) return failed(protocol_error("the peer did not say what has changed"));
      if (frame->payload.empty()) {
        if (std::ranges::all_of(troubled, [&](std::uint32_t file) { return round.told[file]; }))
          return std::move(round.again);
        return failed(protocol_error("the peer did not say what became of a file that it could not give"));
      }
      const auto restated = decode_restated(frame->payload);
      if (!restated) return failed(restated.error());
      for (const Restated& one : *restated) {
        if (auto checked = receipt_.check(one, round); !checked) return failed(checked.error());
        if (one.entry && !one.final)
          if (auto noted = entries_.restate(one.file, *one.entry); !noted) return failed(noted.error());
        if (auto taken = receipt_.restate(one, *sink_, round); !taken) return failed(taken.error());
      }
    }
  }

  Outcome<void> tell_troubled(std::span<const std::uint32_t> files) {
    while (!files.empty()) {
      const auto part = files.first(std::min(files.size(), kMaxTroubled));
      if (auto sent = first().send(FrameType::Troubled, encode(part)); !sent) return sent;
      files = files.subspan(part.size());
    }
    return first().send(FrameType::Troubled);
  }

  Outcome<void> say_done() {
    const auto told = [&]() -> Outcome<void> {
      if (auto sent = first().send(FrameType::Done, encode(tally())); !sent) return sent;
      for (;;) {
        const auto frame = first().receive();
        if (!frame) return failed(frame.error());
        if (frame->type == FrameType::Done) return {};
      }
    }();
    // What was asked for is durable. Whether the sender has heard so changes nothing.
    static_cast<void>(told);
    return {};
  }

  [[nodiscard]] Tally tally() const { return {meter_.bytes_done(), meter_.files_done(), receipt_.counts.verified}; }

  Outcome<void> go_on() {
    if (auto why = session_.interruption()) return failed(std::move(*why));
    return {};
  }

  /// On the first connection's thread: also says how far it is.
  Outcome<void> keep_alive() {
    if (auto fine = go_on(); !fine) return fine;
    const auto now = Session::Clock::now();
    if (now - last_alive_ < kAlive) return {};
    last_alive_ = now;
    return first().send(FrameType::Alive, encode(tally()));
  }

  /// While this side works alone: also hears whether the sender failed meanwhile; it has nothing else to say then.
  Outcome<void> keep_alive_alone() {
    while (first().readable()) {
      const auto frame = first().receive();
      if (!frame) return failed(frame.error());
      if (frame->type != FrameType::Alive) return failed(protocol_error("the peer spoke without having been asked"));
    }
    return keep_alive();
  }

  const Copy& job_;
  Linked& linked_;
  Session& session_;
  Meter& meter_;
  Tick alone_;
  Tick keep_alive_;
  Tick go_on_;
  Session::Clock::time_point last_alive_ = Session::Clock::now();
  EntryList entries_;
  Receipt receipt_{entries_, meter_};
  std::unique_ptr<Sink> sink_;
  std::vector<std::future<Outcome<void>>> others_;
};

// ---- in one process -------------------------------------------------------------------------------------------------

class Copying {
 public:
  Copying(const Copy& job, std::stop_token stop, Meter& meter)
      : job_(job), session_(std::move(stop), std::chrono::hours(1)), meter_(meter), tick_([this] { return go_on(); }) {}

  CopyEnd run() {
    if (auto done = all(); !done) session_.fail(done.error());
    auto failure = session_.failure();
    if (sink_ && failure) sink_->abandon();
    const EntryList none;
    return receipt_ ? receipt_->end(sink_.get(), std::move(failure))
                    : Receipt(none, meter_).end(sink_.get(), std::move(failure));
  }

 private:
  Outcome<void> all() {
    auto sink = open_sink(job_);
    if (!sink) return failed(sink.error());
    sink_ = std::move(*sink);
    if (sink_->already_there()) return {};
    meter_.enter("Scanning");
    auto source = open_source(*job_.source, session_.stop());
    if (!source) return failed(source.error());
    source_ = std::move(*source);
    const EntryList& entries = source_->entries();
    receipt_.emplace(entries, meter_);
    receipt_->announced = source_->end_of_entries();
    receipt_->changes.unreadable = receipt_->announced.unreadable;
    meter_.set_totals(entries.data_bytes(), entries.files());
    meter_.enter("Copying");
    if (auto prepared = sink_->prepare(entries, receipt_->announced, tick_); !prepared) return prepared;
    known_.add(sink_->known(kMaxAllKnown));
    known_.done();
    if (auto built = build(entries); !built) return built;
    meter_.enter("Finishing");
    return sink_->finish(receipt_->changes, receipt_->data(nullptr), tick_);
  }

  Outcome<void> build(const EntryList& entries) {
    Assembly assembly{*sink_, entries, receipt_->counts, meter_, receipt_->troubles};
    PieceQueue queue(entries);
    const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1U, 4U);
    std::vector<std::future<void>> others;
    const auto await_others = [&]() -> Outcome<void> {
      for (auto& other : others) other.wait();
      return go_on();
    };
    for (unsigned i = 1; i < threads; ++i)
      others.push_back(std::async(std::launch::async, [&] {
        auto done = caught([&] {
          LocalSource source = local();
          return Worker(assembly, queue, tick_).run(source);
        });
        if (!done) session_.fail(done.error());
      }));
    auto done = caught([&] {
      LocalSource source = local();
      return Worker(assembly, queue, tick_).run(source, await_others, [&] { return restate(source); });
    });
    if (!done) session_.fail(done.error());
    for (auto& other : others) other.wait();
    if (auto why = session_.failure()) return failed(std::move(*why));
    return {};
  }

  LocalSource local() {
    const bool stored = job_.source->snapshot.has_value();
    return {*source_, known_, sent_, job_.compression, sink_->wants_names(), stored};
  }

  Outcome<std::vector<std::uint32_t>> restate(LocalSource& source) {
    if (!receipt_->announced.live) return std::vector<std::uint32_t>{};
    if (auto closed = source.end(); !closed) return failed(closed.error());
    Receipt::Round round;
    const auto tell = [&](const Restated& one) { return receipt_->restate(one, *sink_, round); };
    if (auto told = source_->restate(receipt_->troubles.take(), tell, tick_); !told) return failed(told.error());
    return std::move(round.again);
  }

  Outcome<void> go_on() {
    if (auto why = session_.interruption()) return failed(std::move(*why));
    return {};
  }

  const Copy& job_;
  Session session_;
  Meter& meter_;
  Tick tick_;
  std::unique_ptr<TreeSource> source_;
  KnownExtents known_;
  SentCounts sent_;
  std::unique_ptr<Sink> sink_;
  std::optional<Receipt> receipt_;
};

}  // namespace

CopyEnd receive_tree(const Copy& job, Linked& linked, Session& session, Meter& meter) {
  return Receiving(job, linked, session, meter).run();
}

CopyEnd copy_here(const Copy& job, const std::stop_token& stop, Meter& meter) {
  return Copying(job, stop, meter).run();
}

}  // namespace roadstead::mover
