#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>

#include "operator/base/clock.h"

namespace roadstead {

/// Time for delays: never jumps when somebody sets the wall clock.
using Instant = std::chrono::steady_clock::time_point;

/// Reads and waits for monotonic time, so that tests can let hours pass without waiting.
class MonotonicClock {
 public:
  virtual ~MonotonicClock() = default;
  [[nodiscard]] virtual Instant now() const = 0;
  /// Gives `lock` back until `ready()` (asked when `wake` is notified), `deadline` or a stop, then takes it again.
  virtual void wait_until(std::condition_variable_any& wake, std::unique_lock<std::mutex>& lock, std::stop_token stop,
                          Instant deadline, const std::function<bool()>& ready) const = 0;
};

class SteadyClock final : public MonotonicClock {
 public:
  [[nodiscard]] Instant now() const override { return std::chrono::steady_clock::now(); }
  void wait_until(std::condition_variable_any& wake, std::unique_lock<std::mutex>& lock, std::stop_token stop,
                  Instant deadline, const std::function<bool()>& ready) const override {
    wake.wait_until(lock, std::move(stop), deadline, ready);
  }
};

/// For tests: stands still until told to move; whoever waits notices within a real millisecond.
class ManualMonotonicClock final : public MonotonicClock {
 public:
  [[nodiscard]] Instant now() const override {
    std::lock_guard lock(mutex_);
    return now_;
  }
  void advance(Millis by) {
    std::lock_guard lock(mutex_);
    now_ += by;
  }
  void wait_until(std::condition_variable_any& wake, std::unique_lock<std::mutex>& lock, std::stop_token stop,
                  Instant deadline, const std::function<bool()>& ready) const override {
    while (!stop.stop_requested() && now() < deadline && !ready()) wake.wait_for(lock, stop, Millis{1}, ready);
  }

 private:
  mutable std::mutex mutex_;  // guards now_
  Instant now_{std::chrono::hours{1}};
};

}  // namespace roadstead
