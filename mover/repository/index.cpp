#include "mover/repository/index.h"

#include <algorithm>
#include <cstring>

namespace roadstead::mover {
namespace {

constexpr std::size_t kFewest = 16;  // slots of a shard in use

/// At most four of five slots are in use.
std::size_t slots_for(std::size_t extents) { return std::max(kFewest, extents + extents / 4 + 1); }

}  // namespace

std::size_t ExtentIndex::shard_of(const Digest& name) { return std::to_integer<std::size_t>(name.back()) % kShards; }

ExtentIndex::Slot ExtentIndex::slot_of(const Digest& name, std::uint32_t place) {
  Slot slot;
  std::memcpy(&slot.first, name.data(), sizeof slot.first);
  std::memcpy(&slot.second, name.data() + sizeof slot.first, sizeof slot.second);
  slot.place = place;
  return slot;
}

/// Which slot has this name, or is the free one where it belongs.
std::size_t ExtentIndex::seek(const std::vector<Slot>& slots, const Slot& wanted) {
  // Names are evenly spread: the upper half of the product is an evenly spread number below the size.
  __extension__ using Wide = unsigned __int128;
  auto at = static_cast<std::size_t>(Wide{wanted.first} * slots.size() >> 64);
  for (;; at = at + 1 == slots.size() ? 0 : at + 1) {
    const Slot& slot = slots[at];
    if (slot.place == kFree || (slot.first == wanted.first && slot.second == wanted.second)) return at;
  }
}

void ExtentIndex::resize(Shard& shard, std::size_t slots) {
  std::vector<Slot> larger(slots);
  for (const Slot& slot : shard.slots)
    if (slot.place != kFree) larger[seek(larger, slot)] = slot;
  shard.slots = std::move(larger);
}

void ExtentIndex::reserve(std::size_t extents) {
  // Names spread evenly, but not exactly.
  const std::size_t each = extents / kShards + extents / kShards / 16;
  for (Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    if (slots_for(each) > shard.slots.size()) resize(shard, slots_for(each));
  }
}

bool ExtentIndex::add(const Digest& name, std::uint32_t place) {
  Shard& shard = shards_[shard_of(name)];
  const std::lock_guard lock(shard.mutex);
  if (slots_for(shard.used) >= shard.slots.size()) resize(shard, slots_for(shard.used + shard.used / 3) + kFewest);
  const Slot wanted = slot_of(name, place);
  Slot& slot = shard.slots[seek(shard.slots, wanted)];
  if (slot.place != kFree) return false;
  slot = wanted;
  ++shard.used;
  return true;
}

std::optional<std::uint32_t> ExtentIndex::find(const Digest& name) const {
  const Shard& shard = shards_[shard_of(name)];
  const std::lock_guard lock(shard.mutex);
  if (shard.slots.empty()) return std::nullopt;
  const Slot& slot = shard.slots[seek(shard.slots, slot_of(name, 0))];
  if (slot.place == kFree) return std::nullopt;
  return slot.place;
}

std::size_t ExtentIndex::size() const {
  std::size_t size = 0;
  for (const Shard& shard : shards_) {
    const std::lock_guard lock(shard.mutex);
    size += shard.used;
  }
  return size;
}

}  // namespace roadstead::mover
