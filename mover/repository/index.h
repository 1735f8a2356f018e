#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "mover/hasher.h"

namespace roadstead::mover {

/// Which extents there are and where: a number that its user gives a meaning. About 20 bytes for each, because only 96
/// bits of a name are kept: enough never to take one extent for another by chance, and whoever reads an extent compares
/// its whole name and bytes. Safe from several threads.
class ExtentIndex {
 public:
  static constexpr std::uint32_t kMaxPlace = 0xfffffffd;
  static constexpr std::uint32_t kUnplaced = 0xfffffffe;  ///< On its way into a pack.

  /// Room for so many, so that nothing is moved while they are added.
  void reserve(std::size_t extents);

  /// False, and nothing changes, where the name is known.
  bool add(const Digest& name, std::uint32_t place);

  [[nodiscard]] std::optional<std::uint32_t> find(const Digest& name) const;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Slot {
    std::uint64_t first = 0;   ///< Bytes 0 to 7 of the name,
    std::uint32_t second = 0;  ///< and 8 to 11.
    std::uint32_t place = kFree;
  };
  /// Open addressing, a slot's place by its first bytes; a shard grows while the others go on.
  struct Shard {
    mutable std::mutex mutex;  // guards what follows
    std::vector<Slot> slots;
    std::size_t used = 0;
  };
  static constexpr std::uint32_t kFree = 0xffffffff;
  static constexpr std::size_t kShards = 64;

  static std::size_t shard_of(const Digest& name);
  static Slot slot_of(const Digest& name, std::uint32_t place);
  static std::size_t seek(const std::vector<Slot>& slots, const Slot& wanted);
  static void resize(Shard& shard, std::size_t slots);

  std::array<Shard, kShards> shards_;
};

}  // namespace roadstead::mover
