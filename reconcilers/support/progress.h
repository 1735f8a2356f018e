#pragma once

// What a mover says of its progress as a status has it: signed numbers that never go backwards.

#include <algorithm>
#include <cstdint>
#include <optional>

#include "crds/common.h"
#include "mover/contract/job.h"

namespace roadstead::reconcilers {

constexpr std::int64_t signed_of(std::uint64_t value) { return static_cast<std::int64_t>(value); }

inline std::optional<std::int64_t> signed_of(const std::optional<std::uint64_t>& value) {
  return value ? std::optional(signed_of(*value)) : std::nullopt;
}

/// The larger of what is known.
inline std::optional<std::int64_t> no_less(std::optional<std::int64_t> before, std::optional<std::int64_t> now) {
  return before && now ? std::optional(std::max(*before, *now)) : (now ? now : before);
}

crds::Progress progress_of(const mover::Progress& progress);

}  // namespace roadstead::reconcilers
