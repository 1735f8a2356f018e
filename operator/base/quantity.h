#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace roadstead {

/// "412.0 MiB": three significant figures at least, binary units.
std::string human_bytes(std::uint64_t bytes);

/// "4s", "5m16s", "3h", "2d": the ages `kubectl` prints. Negative counts as zero.
std::string human_duration(std::chrono::seconds duration);

}  // namespace roadstead
