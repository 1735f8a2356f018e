#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mover/entry.h"
#include "mover/hasher.h"
#include "mover/sink.h"
#include "mover/wire.h"

namespace roadstead::mover {

/// An extent's bytes as they lie there.
struct StoredBytes {
  std::uint8_t codec = kPlain;
  std::span<const std::byte> bytes;
};

/// One thread's reader of a source. What it returns is valid until the next find().
class TreeReader {
 public:
  virtual ~TreeReader() = default;

  /// Goes to an extent that the entries have; `room` is of its length, for readers that read into it. Without `named`
  /// its hash is not asked for. False: the file is not what it was announced as, or cannot be read (live sources only).
  virtual Outcome<bool> find(const Spot& spot, std::span<std::byte> room, bool named) = 0;

  [[nodiscard]] virtual const Digest& hash() const = 0;
  /// Hashes of its pieces; only for an extent of several, found with `named`.
  virtual Outcome<std::span<const Digest>> pieces() = 0;
  [[nodiscard]] virtual bool is_zero() = 0;
  virtual Outcome<std::span<const std::byte>> plain() = 0;
  virtual Outcome<StoredBytes> stored() = 0;

  /// Some bytes of an extent, one range after another; ranges count from the extent's beginning.
  virtual Outcome<bool> read(const Spot& spot, const std::vector<Range>& ranges, Bytes& out) = 0;

  /// This will be asked for soon.
  virtual void announce(const Spot&) const {}

  /// A last look at what is open.
  virtual Outcome<void> end() { return {}; }
};

/// A tree to be read: a directory, or a snapshot of a repository. Safe from several threads, but for restate().
class TreeSource {
 public:
  using Tell = std::function<Outcome<void>(const Restated&)>;

  virtual ~TreeSource() = default;

  [[nodiscard]] virtual const EntryList& entries() const = 0;
  /// The totals, to be announced.
  [[nodiscard]] virtual EntriesEnd end_of_entries() const = 0;
  virtual std::unique_ptr<TreeReader> reader() = 0;

  /// Live sources: what became of the files that could not be had, and of others that have changed. In the first round
  /// they are to be had once more; what goes wrong after that is only told. Each is told once in a round.
  virtual Outcome<void> restate(const std::vector<std::uint32_t>& troubled, const Tell& tell, const Tick& tick) = 0;

  /// Live sources: what restate() told so far.
  [[nodiscard]] virtual const Changes& changes() const = 0;
};

/// Counts what a restated file tells.
void take(Changes& changes, const Restated& restated, const EntryList& entries);

/// Names the extent of a file at this offset. ProtocolError where the file has no such one.
Outcome<Spot> spot_of(const EntryList& entries, std::uint32_t file, std::uint64_t offset, std::uint32_t length);

}  // namespace roadstead::mover
