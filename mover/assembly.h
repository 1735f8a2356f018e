#pragma once

#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "mover/codec.h"
#include "mover/piece_hash.h"
#include "mover/pieces.h"
#include "mover/progress.h"
#include "mover/sink.h"

namespace roadstead::mover {

struct Answer {
  AnswerHeader header;
  std::span<const std::byte> data;  ///< As stored; valid until the next answer.
};

/// Where a worker gets extents from: the other mover, or a source in the same process.
class ExtentSource {
 public:
  virtual ~ExtentSource() = default;
  virtual Outcome<void> ask(const std::vector<Want>& wants) = 0;
  /// The answer to the oldest want that has none yet.
  virtual Outcome<Answer> next() = 0;
  /// No more wants. SourceChanged if the source is at rest and not what it was.
  virtual Outcome<void> end() = 0;
  /// Data comes with its hash and is to be verified.
  [[nodiscard]] virtual bool hashed() const = 0;
  /// What it means that an extent of this file does not have its hash.
  [[nodiscard]] virtual Failure wrong_hash(const std::string& path) const = 0;
};

/// What the workers counted; see CopyData.
struct Counts {
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> same{0};
  std::atomic<std::uint64_t> verified{0};
};

/// Files that a live source could not give as it had announced them. Safe from several threads.
class Troubles {
 public:
  void add(std::uint32_t file) {
    const std::lock_guard lock(mutex_);
    files_.push_back(file);
  }
  /// Each once, by number.
  std::vector<std::uint32_t> take();

 private:
  std::mutex mutex_;  // guards files_
  std::vector<std::uint32_t> files_;
};

/// What all workers of a copy share; outlives them.
struct Assembly {
  Sink& sink;
  const EntryList& entries;
  Counts& counts;
  Meter& meter;
  Troubles& troubles;
};

/// One thread's part of a copy: takes pieces, asks for what is not known to be right, gives it to the sink.
class Worker {
 public:
  Worker(Assembly& assembly, PieceQueue& queue, const Tick& tick);

  /// Waits until all other workers have ended.
  using AwaitOthers = std::function<Outcome<void>()>;
  /// Says which files are to be asked for once more; none: the copy is whole.
  using Restate = std::function<Outcome<std::vector<std::uint32_t>>()>;

  /// Until the queue is empty and every want is answered.
  Outcome<void> run(ExtentSource& source);
  /// The same, then once more for files that a live source has restated.
  Outcome<void> run(ExtentSource& source, const AwaitOthers& await_others, const Restate& restate);

 private:
  /// A want without its answer.
  struct Pending {
    Piece piece;
    FileState* state = nullptr;
    std::optional<Digest> have;  ///< What is there now,
    Seen seen;                   ///< as look() or read_old() found it.
    bool there = false;          ///< Its bytes came from read_old().
    std::optional<PieceSet> patch;
    Digest hash{};  ///< With `patch`: what the patched extent must be.
  };

  Outcome<void> work(ExtentSource& source, PieceQueue& queue);
  Outcome<void> fill(ExtentSource& source, PieceQueue& queue);
  Outcome<void> end(ExtentSource& source);
  Outcome<void> start(Piece piece, std::vector<Want>& wants);
  Outcome<void> take(ExtentSource& source, const Answer& answer);
  Outcome<void> take_same(const Pending& pending);
  Outcome<void> take_data(const ExtentSource& source, const Pending& pending, const Answer& answer);
  Outcome<void> take_have(ExtentSource& source, Pending pending, const Digest& hash);
  Outcome<void> take_pieces(ExtentSource& source, Pending pending, const Answer& answer);
  Outcome<bool> know_pieces(Pending& pending);
  Outcome<void> take_patch(ExtentSource& source, Pending pending, const Answer& answer);
  Outcome<bool> read_rest(const Pending& pending, std::span<const std::byte> arrived, Bytes& out);
  Outcome<void> take_trouble(const Pending& pending);
  Outcome<void> put(const Pending& pending, const Extent& extent);
  Outcome<void> ask_again(ExtentSource& source, Pending pending, bool whole);
  Outcome<void> finished(const Pending& pending);
  void wait_for(Pending pending);
  [[nodiscard]] bool is_full() const;

  Assembly& assembly_;
  PieceQueue& queue_;
  const Tick& tick_;
  std::unique_ptr<SinkThread> thread_;
  PieceHasher hasher_;
  Unpacker unpacker_;
  std::deque<Pending> pending_;
  std::uint64_t pending_bytes_ = 0;
  std::size_t pending_kept_ = 0;  ///< Of them, how many keep bytes.
};

}  // namespace roadstead::mover
