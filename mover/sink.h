#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "mover/contract/job.h"
#include "mover/entry.h"
#include "mover/hasher.h"
#include "mover/wire.h"

namespace roadstead::mover {

/// Called now and then during long work: keeps the connection alive and says when to stop.
using Tick = std::function<Outcome<void>()>;

/// What a sink keeps of a file while extents of it are on their way. Its owner closes it when the file is complete.
class FileState {
 public:
  FileState() = default;
  FileState(const FileState&) = delete;
  FileState& operator=(const FileState&) = delete;
  virtual ~FileState() = default;
};

/// Where in a file an extent is.
struct Spot {
  std::uint32_t file = 0;
  std::uint32_t index = 0;  ///< Which of the file's extents, from 0.
  std::uint64_t offset = 0;
  std::uint32_t length = 0;
};

/// What look() found.
struct Seen {
  Bytes bytes;                 ///< Those that may be changed by others before same() is called; else none.
  std::vector<Digest> pieces;  ///< Hashes of its pieces, where they were computed; else none.
};

/// An extent as it arrived.
struct Extent {
  Digest hash{};                      ///< kZeroDigest: zero bytes. Not set where the sink needs no names.
  std::uint8_t codec = kPlain;        ///< Of `stored`.
  std::span<const std::byte> stored;  ///< Empty for zero bytes.
  std::span<const std::byte> plain;   ///< Always there, also for zero bytes.
  std::span<const Digest> pieces{};   ///< Hashes of its pieces, where they were computed.
};

/// An extent of which only some pieces arrived: the others are those of what look() named.
struct Patched {
  Digest old{};                      ///< What look() named.
  Digest hash{};                     ///< Its name now, and that is what it is.
  PieceSet changed{};                ///< The pieces that arrived,
  std::span<const std::byte> bytes;  ///< one after another,
  bool packed = false;               ///< and whether they came packed.
  std::span<const Digest> pieces;    ///< Hashes of all its pieces.
};

/// One thread's hands of a sink. Extents of one file may be put by several threads at once, each extent by one.
class SinkThread {
 public:
  virtual ~SinkThread() = default;

  /// Begins a file: called once, by the first thread that works at it. Null: it is complete already.
  virtual Outcome<std::unique_ptr<FileState>> open(std::uint32_t file) = 0;

  /// The name of what is there now; nothing where there is nothing, or it is not worth asking.
  virtual Outcome<std::optional<Digest>> look(const Spot& spot, FileState& file, Seen& seen) = 0;

  /// What look() named is right.
  virtual Outcome<void> same(const Spot& spot, FileState& file, const Digest& hash,
                             std::span<const std::byte> kept) = 0;

  /// The hashes of the pieces of what look() named, where they can be had without its bytes. Need not be right: what is
  /// made of them is compared with a name.
  virtual Outcome<bool> pieces_of(const Digest& hash, std::vector<Digest>& pieces);

  /// Takes it without having seen the bytes that did not arrive; false where it needs them.
  virtual Outcome<bool> patch(const Spot& spot, FileState& file, const Patched& patched);

  /// The bytes that look() named, to be patched; false where they cannot be had.
  virtual Outcome<bool> read_old(const Spot& spot, FileState& file, const Digest& hash, std::span<std::byte> out) = 0;

  virtual Outcome<void> put(const Spot& spot, FileState& file, const Extent& extent) = 0;

  /// The source says that it is here under this name, because known() told so; false where it is not.
  virtual Outcome<bool> have(const Spot& spot, FileState& file, const Digest& hash);

  /// All extents of a file were put or were the same.
  virtual Outcome<void> complete(std::uint32_t file, FileState& state) = 0;

  /// The thread has no more work.
  virtual Outcome<void> end() { return {}; }
};

/// What became of a live source's files, for the result and the manifest.
struct Changes {
  Told changed;
  Told unreadable;
};

/// Where a tree arrives: a staged tree, the volume's own tree, a repository.
class Sink {
 public:
  virtual ~Sink() = default;

  /// True: what is asked for is there and durable, nothing is to be copied. Before anything is heard.
  virtual bool already_there() { return false; }

  /// All entries are known, no extent was asked for. `entries` must outlive the sink; files may be restated later.
  virtual Outcome<void> prepare(const EntryList& entries, const EntriesEnd& announced, const Tick& tick) = 0;

  /// Prefixes of names that the source need not send; at most `most`.
  virtual std::vector<std::uint64_t> known(std::size_t most) const;

  /// Whether extents must come with their names even if the bytes did not travel.
  [[nodiscard]] virtual bool wants_names() const { return false; }

  /// True: look() is all that is wanted, nothing is asked for.
  [[nodiscard]] virtual bool only_looks() const { return false; }

  virtual std::unique_ptr<SinkThread> thread() = 0;

  /// A live source's file is another one now: what was put of it counts no more. Or it is not part of the copy at all.
  virtual Outcome<void> restate(std::uint32_t file) = 0;
  virtual Outcome<void> leave_out(std::uint32_t file) = 0;

  /// All threads have ended. What arrived becomes what was asked for, and durable.
  virtual Outcome<void> finish(const Changes& changes, const CopyData& so_far, const Tick& tick) = 0;

  /// The copy has failed: what was verified is kept for the next attempt.
  virtual void abandon() = 0;

  /// Its part of a result.
  virtual void tell(CopyData& data) const = 0;

  [[nodiscard]] virtual std::uint64_t free_bytes() const = 0;
};

/// The sink of a job.
Outcome<std::unique_ptr<Sink>> open_sink(const Copy& job);

}  // namespace roadstead::mover
