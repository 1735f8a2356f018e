// The receiving end of a copy, and the copy within one process.

#include <algorithm>
#include <future>
#include <thread>

#include "mover/assembly.h"
#include "mover/copy.h"
#include "mover/guarded.h"
#include "mover/source_file.h"
#include "mover/zero.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kAlive = 500ms;

/// The other mover's source over one connection.
class RemoteSource final : public ExtentSource {
 public:
  explicit RemoteSource(Connection& connection) : connection_(connection) {}

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
    if (auto sent = connection_.send(FrameType::End); !sent) return sent;
    for (;;) {
      const auto frame = connection_.receive();
      if (!frame) return failed(frame.error());
      if (frame->type == FrameType::End) return {};
      if (frame->type != FrameType::Alive) return failed(protocol_error("the peer went on after the end"));
    }
  }

  [[nodiscard]] bool hashed() const override { return true; }

 private:
  Connection& connection_;
  std::span<const std::byte> rest_;  ///< Of the last frame, the answers not yet taken.
};

/// A source in this process. Its data needs no hash: it has not travelled.
class LocalSource final : public ExtentSource {
 public:
  explicit LocalSource(const Scan& scan) : files_(scan), buffer_(kExtent) {}

  Outcome<void> ask(const std::vector<Want>& wants) override {
    wants_.insert(wants_.end(), wants.begin(), wants.end());
    return {};
  }

  Outcome<Answer> next() override {
    const Want want = wants_.front();
    wants_.pop_front();
    if (!wants_.empty()) files_.announce(wants_.front().file, wants_.front().offset, wants_.front().length);
    const std::span data(buffer_.data(), want.length);
    if (want.have) hasher_.start();
    if (auto read = files_.read(want.file, want.offset, data, want.have ? &hasher_ : nullptr); !read)
      return failed(read.error());
    Answer answer{{AnswerKind::Data, kPlain, want.file, want.offset, want.length, want.length, {}}, data};
    if (want.have && *want.have == hasher_.finish())
      answer.header.kind = AnswerKind::Same;
    else if (is_zero(data))
      answer.header.kind = AnswerKind::Zero;
    return answer;
  }

  Outcome<void> end() override { return files_.close(); }
  [[nodiscard]] bool hashed() const override { return false; }

 private:
  SourceFiles files_;
  Hasher hasher_;
  Bytes buffer_;
  std::deque<Want> wants_;
};

/// What a result says of either kind of copy.
CopyEnd end_of(const EntryList& entries, const Told& skipped, const Counts& counts, const Meter& meter,
               const std::optional<StagedTree>& tree, std::optional<Failure> failure) {
  CopyEnd end;
  end.data.bytes_total = entries.data_bytes();
  end.data.bytes_done = meter.bytes_done();
  end.data.bytes_sent = counts.sent;
  end.data.bytes_same = counts.same;
  end.data.bytes_verified = counts.verified;
  end.data.files_total = entries.files();
  end.data.files_done = meter.files_done();
  end.data.entries = entries.size();
  end.data.skipped_count = skipped.count;
  end.data.skipped = skipped.names;
  end.data.tree_inode = tree ? tree->inode() : 0;
  end.failure = std::move(failure);
  if (!end.failure || end.failure->reason != "NoSpace" || end.failure->from_peer || !tree) return end;
  end.data.needed_bytes = end.data.bytes_total - end.data.bytes_done;
  end.data.free_bytes = tree->free_bytes();
  end.failure->message +=
      fmt::format(" ({} bytes are still to be written, {} are free)", end.data.needed_bytes, end.data.free_bytes);
  return end;
}

// ---- over connections -----------------------------------------------------------------------------------------------

class Receiving {
 public:
  Receiving(const Target& target, Linked& linked, Session& session, Meter& meter)
      : target_(target),
        linked_(linked),
        session_(session),
        meter_(meter),
        alone_([this] { return keep_alive_alone(); }),
        keep_alive_([this] { return keep_alive(); }),
        go_on_([this] { return go_on(); }) {}

  CopyEnd run() {
    guarded(session_, first(), [&] { return all(); });
    for (auto& other : others_) other.wait();
    if (tree_) tree_->journal().flush();
    return end_of(entries_, skipped_, counts_, meter_, tree_, session_.failure());
  }

 private:
  Connection& first() { return *linked_.connections.front(); }

  Outcome<void> all() {
    auto tree = StagedTree::open(target_);
    if (!tree) return failed(tree.error());
    tree_.emplace(std::move(*tree));
    meter_.enter("Scanning");
    if (auto heard = hear_entries(); !heard) return heard;
    meter_.set_totals(entries_.data_bytes(), entries_.files());
    meter_.enter("Copying");
    if (auto prepared = tree_->prepare(entries_, alone_); !prepared) return prepared;
    if (auto enough = tree_->check_space(entries_); !enough) return enough;
    if (auto built = build(); !built) return built;
    meter_.enter("Finishing");
    if (auto finished = tree_->finish(entries_, alone_); !finished) return finished;
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
      skipped_ = std::move(end->skipped);
      return {};
    }
  }

  /// One worker per connection; the first on this thread, which afterwards keeps the session alive.
  Outcome<void> build() {
    for (std::size_t i = 1; i < linked_.connections.size(); ++i)
      others_.push_back(std::async(std::launch::async, [&, &connection = *linked_.connections[i]] {
        return guarded(session_, connection, [&] { return work(connection, go_on_); });
      }));
    auto done = work(first(), keep_alive_);
    if (!done) session_.fail(done.error());
    for (auto& other : others_)
      while (other.wait_for(50ms) != std::future_status::ready)
        if (done) {
          done = keep_alive();
          if (!done) session_.fail(done.error());
        }
    if (!done) return done;
    if (auto why = session_.failure()) return failed(std::move(*why));
    return {};
  }

  Outcome<void> work(Connection& connection, const Tick& tick) {
    RemoteSource source(connection);
    return Worker(*tree_, entries_, queue_, counts_, meter_, tick).run(source);
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
    // The tree is durable. Whether the sender has heard so changes nothing.
    static_cast<void>(told);
    return {};
  }

  [[nodiscard]] Tally tally() const { return {meter_.bytes_done(), meter_.files_done(), counts_.verified}; }

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

  const Target& target_;
  Linked& linked_;
  Session& session_;
  Meter& meter_;
  Tick alone_;
  Tick keep_alive_;
  Tick go_on_;
  Session::Clock::time_point last_alive_ = Session::Clock::now();
  EntryList entries_;
  Told skipped_;
  Counts counts_;
  std::optional<StagedTree> tree_;
  PieceQueue queue_{entries_};
  std::vector<std::future<Outcome<void>>> others_;
};

// ---- in one process -------------------------------------------------------------------------------------------------

class Copying {
 public:
  Copying(const Source& source, const Target& target, std::stop_token stop, Meter& meter)
      : source_(source),
        target_(target),
        session_(std::move(stop), std::chrono::hours(1)),
        meter_(meter),
        tick_([this] { return go_on(); }) {}

  CopyEnd run() {
    if (auto done = all(); !done) session_.fail(done.error());
    if (tree_) tree_->journal().flush();
    return end_of(scan_.entries, scan_.skipped, counts_, meter_, tree_, session_.failure());
  }

 private:
  Outcome<void> all() {
    auto tree = StagedTree::open(target_);
    if (!tree) return failed(tree.error());
    tree_.emplace(std::move(*tree));
    meter_.enter("Scanning");
    auto scanned = scan(source_, session_.stop());
    if (!scanned) return failed(scanned.error());
    scan_ = std::move(*scanned);
    meter_.set_totals(scan_.entries.data_bytes(), scan_.entries.files());
    meter_.enter("Copying");
    if (auto prepared = tree_->prepare(scan_.entries, tick_); !prepared) return prepared;
    if (auto enough = tree_->check_space(scan_.entries); !enough) return enough;
    if (auto built = build(); !built) return built;
    meter_.enter("Finishing");
    return tree_->finish(scan_.entries, tick_);
  }

  Outcome<void> build() {
    PieceQueue queue(scan_.entries);
    const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1U, 4U);
    std::vector<std::future<void>> workers;
    for (unsigned i = 0; i < threads; ++i)
      workers.push_back(std::async(std::launch::async, [&] {
        LocalSource source(scan_);
        auto done = Worker(*tree_, scan_.entries, queue, counts_, meter_, tick_).run(source);
        if (!done) session_.fail(done.error());
      }));
    for (auto& worker : workers) worker.get();
    if (auto why = session_.failure()) return failed(std::move(*why));
    return {};
  }

  Outcome<void> go_on() {
    if (auto why = session_.interruption()) return failed(std::move(*why));
    return {};
  }

  const Source& source_;
  const Target& target_;
  Session session_;
  Meter& meter_;
  Tick tick_;
  Scan scan_;
  Counts counts_;
  std::optional<StagedTree> tree_;
};

}  // namespace

CopyEnd receive_tree(const Target& target, Linked& linked, Session& session, Meter& meter) {
  return Receiving(target, linked, session, meter).run();
}

CopyEnd copy_here(const Source& source, const Target& target, const std::stop_token& stop, Meter& meter) {
  return Copying(source, target, stop, meter).run();
}

}  // namespace roadstead::mover
