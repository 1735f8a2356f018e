#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "mover/hasher.h"
#include "mover/progress.h"
#include "mover/staged_tree.h"
#include "mover/wire.h"

namespace roadstead::mover {

struct Answer {
  AnswerHeader header;
  std::span<const std::byte> data;  ///< Only for Data; valid until the next answer.
};

/// Where a worker gets extents from: the other mover, or a source in the same process.
class ExtentSource {
 public:
  virtual ~ExtentSource() = default;
  virtual Outcome<void> ask(const std::vector<Want>& wants) = 0;
  /// The answer to the oldest want that has none yet.
  virtual Outcome<Answer> next() = 0;
  /// No more wants. SourceChanged if the source is not what it was.
  virtual Outcome<void> end() = 0;
  /// Data comes with its hash and is to be verified.
  [[nodiscard]] virtual bool hashed() const = 0;
};

/// What the workers counted; see CopyData.
struct Counts {
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> same{0};
  std::atomic<std::uint64_t> verified{0};
};

/// A file that is being worked at, by as many threads as it has extents.
class FileWork {
 public:
  FileWork(std::uint32_t id, std::uint64_t extents) : id_(id), left_(extents) {}

  [[nodiscard]] std::uint32_t id() const { return id_; }

  /// Opens it for the first that asks; null where an earlier attempt completed it.
  Outcome<const StagedFile*> open(StagedFiles& files);

  /// One extent less; true for the last.
  bool finished_one() { return left_.fetch_sub(1) == 1; }

 private:
  std::uint32_t id_;
  std::atomic<std::uint64_t> left_;
  std::mutex mutex_;  // guards what follows
  bool asked_ = false;
  std::optional<StagedFile> staged_;
};

/// An extent to be worked at. A file without data has one of length 0.
struct Piece {
  std::shared_ptr<FileWork> file;
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
};

/// Hands out the extents of all files in order, to any thread.
class PieceQueue {
 public:
  explicit PieceQueue(const EntryList& entries) : entries_(entries) {}
  std::optional<Piece> take();

 private:
  bool next_file();

  const EntryList& entries_;
  std::mutex mutex_;  // guards what follows
  std::uint32_t next_id_ = 0;
  std::shared_ptr<FileWork> file_;
  std::vector<Range> ranges_;  ///< Of file_, backwards; pieces are cut off the last one.
};

/// One thread's part of building a staged tree: takes pieces, asks for what is not known to be right, writes it.
class Worker {
 public:
  Worker(StagedTree& tree, const EntryList& entries, PieceQueue& queue, Counts& counts, Meter& meter, const Tick& tick);

  /// Until the queue is empty and every want is answered.
  Outcome<void> run(ExtentSource& source);

 private:
  /// A want without its answer.
  struct Pending {
    Piece piece;
    const StagedFile* staged = nullptr;
    bool has_hash = false;
    Bytes old;  ///< The old tree's bytes, kept because a live application may change them meanwhile.
  };

  Outcome<void> fill(ExtentSource& source);
  Outcome<void> start(Piece piece, std::vector<Want>& wants);
  std::optional<Digest> digest_of_present(Pending& pending);
  Outcome<void> take(const Answer& answer, bool verify);
  Outcome<void> write(const Pending& pending, std::span<const std::byte> data);
  Outcome<void> finished(const Pending& pending);
  [[nodiscard]] bool is_full() const;

  const EntryList& entries_;
  StagedFiles files_;
  PieceQueue& queue_;
  Counts& counts_;
  Meter& meter_;
  const Tick& tick_;
  Hasher hasher_;
  Bytes scratch_;
  std::deque<Pending> pending_;
  std::uint64_t pending_bytes_ = 0;
  std::size_t pending_old_ = 0;  ///< Of them, how many keep old bytes.
};

}  // namespace roadstead::mover
