#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "mover/sink.h"

namespace roadstead::mover {

/// A file that is being worked at, by as many threads as it has extents.
class FileWork {
 public:
  FileWork(std::uint32_t id, std::uint64_t extents) : id_(id), left_(extents) {}

  [[nodiscard]] std::uint32_t id() const { return id_; }

  /// Opens it for the first that asks; null where it is complete already.
  Outcome<FileState*> open(SinkThread& thread);

  /// One extent less; true for the last.
  bool finished_one() { return left_.fetch_sub(1) == 1; }

  /// The source cannot give it as it was announced; true for the first that finds out.
  bool trouble() { return !troubled_.exchange(true); }
  [[nodiscard]] bool troubled() const { return troubled_.load(); }

 private:
  std::uint32_t id_;
  std::atomic<std::uint64_t> left_;
  std::atomic<bool> troubled_{false};
  std::mutex mutex_;  // guards what follows
  bool asked_ = false;
  std::unique_ptr<FileState> state_;
};

/// An extent to be worked at. A file without data has one of length 0.
struct Piece {
  std::shared_ptr<FileWork> file;
  Spot spot;
};

/// Hands out the extents of files in order, to any thread. Not all at once: sizes are only what the peer says.
class PieceQueue {
 public:
  /// All files of the list.
  explicit PieceQueue(const EntryList& entries) : entries_(entries) {}
  /// These files.
  PieceQueue(const EntryList& entries, std::vector<std::uint32_t> files)
      : entries_(entries), files_(std::move(files)) {}

  std::optional<Piece> take();

 private:
  bool next_file();
  std::optional<std::uint32_t> next_id();

  const EntryList& entries_;
  std::optional<std::vector<std::uint32_t>> files_;
  std::mutex mutex_;  // guards what follows
  std::uint32_t next_ = 0;
  std::uint32_t index_ = 0;  ///< Of file_'s next extent.
  std::shared_ptr<FileWork> file_;
  std::vector<Range> ranges_;  ///< Of file_, backwards; pieces are cut off the last one.
};

}  // namespace roadstead::mover
