#pragma once

#include <cstddef>
#include <cstring>
#include <span>

namespace roadstead::mover {

/// True where all bytes are zero; ends at the first that is not. `data` is not empty.
inline bool is_zero(std::span<const std::byte> data) {
  return data.front() == std::byte{0} && std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0;
}

}  // namespace roadstead::mover
