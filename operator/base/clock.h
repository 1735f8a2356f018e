#pragma once

#include <chrono>
#include <mutex>

namespace roadstead {

/// A point on the wall clock, UTC, in milliseconds: what people see and what is stored.
using Time = std::chrono::sys_time<std::chrono::milliseconds>;
using Millis = std::chrono::milliseconds;

/// Time is an argument: nothing below `main` reads a clock by itself.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual Time now() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] Time now() const override {
    return std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
  }
};

/// For tests: stands still until told to move. Safe to use from several threads.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(Time start) : now_(start) {}
  [[nodiscard]] Time now() const override {
    std::lock_guard lock(mutex_);
    return now_;
  }
  void advance(Millis by) {
    std::lock_guard lock(mutex_);
    now_ += by;
  }

 private:
  mutable std::mutex mutex_;  // guards now_
  Time now_;
};

}  // namespace roadstead
