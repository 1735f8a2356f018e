#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "mover/contract/job.h"

namespace roadstead::mover {

/// Bytes per second over the last seconds, and how long the rest will take. Time is an argument.
class RateMeter {
 public:
  using Clock = std::chrono::steady_clock;

  void add(Clock::time_point now, std::uint64_t bytes_done);

  /// Nothing before the first second is over.
  [[nodiscard]] std::optional<std::uint64_t> bytes_per_second() const;

  /// Nothing where there is no rate, or nothing moves.
  [[nodiscard]] std::optional<std::uint64_t> seconds_for(std::uint64_t bytes) const;

 private:
  struct Sample {
    Clock::time_point at;
    std::uint64_t bytes;
  };
  std::deque<Sample> samples_;
};

/// How far the work is. Counted by any thread; only ever grows.
class Meter {
 public:
  void enter(std::string phase);
  /// Once measured; later calls change nothing.
  void set_totals(std::uint64_t bytes, std::uint64_t files);
  void add(std::uint64_t bytes, std::uint64_t files) {
    bytes_done_.fetch_add(bytes, std::memory_order_relaxed);
    files_done_.fetch_add(files, std::memory_order_relaxed);
  }
  /// What the other end says; less than before is not believed.
  void raise(std::uint64_t bytes, std::uint64_t files);

  [[nodiscard]] std::uint64_t bytes_done() const { return bytes_done_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t files_done() const { return files_done_.load(std::memory_order_relaxed); }

  /// Phase, counts and totals; done is never more than the total.
  [[nodiscard]] Progress read() const;

 private:
  std::atomic<std::uint64_t> bytes_done_{0};
  std::atomic<std::uint64_t> files_done_{0};
  mutable std::mutex mutex_;  // guards what follows
  std::string phase_ = "Starting";
  std::optional<std::uint64_t> bytes_total_;
  std::optional<std::uint64_t> files_total_;
};

/// Prints a meter every half second from a thread of its own, until destroyed.
class ProgressPrinter {
 public:
  using Print = std::function<void(const Progress&)>;
  ProgressPrinter(const Meter& meter, Print print);
  ~ProgressPrinter();

 private:
  void run(const std::stop_token& stop);

  const Meter& meter_;
  Print print_;
  std::mutex mutex_;  // only for the wait
  std::condition_variable_any wake_;
  std::jthread thread_;
};

}  // namespace roadstead::mover
