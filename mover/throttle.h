#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <mutex>

namespace roadstead::mover {

/// Shares a bandwidth among the connections of a session. Time is an argument.
class Throttle {
 public:
  using Clock = std::chrono::steady_clock;
  /// What goes out in one go at most: small against the limit of a slow line, large against a system call.
  static constexpr std::size_t kSlice = std::size_t{32} << 10;

  explicit Throttle(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}

  /// `bytes` go out: when the next may.
  Clock::time_point take(std::size_t bytes, Clock::time_point now) {
    const std::lock_guard lock(mutex_);
    constexpr std::chrono::milliseconds kBurst{100};  // what was not used is lost but for this
    next_ = std::max(next_, now - kBurst);
    next_ += std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(static_cast<double>(bytes) / static_cast<double>(rate_)));
    return next_;
  }

 private:
  const std::uint64_t rate_;
  std::mutex mutex_;  // guards next_
  Clock::time_point next_{};
};

}  // namespace roadstead::mover
