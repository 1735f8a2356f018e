#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "metrics/metrics.h"
#include "operator/base/clock.h"
#include "operator/base/runnable.h"
#include "operator/runtime/monotonic_clock.h"

namespace roadstead {

/// The program's heartbeat: goes round every `interval` and calls what was asked for, the way time reaches decisions
/// that depend on the wall clock (a requeue is measured in monotonic time and would sleep through a clock set forward).
/// Each round that ended sets roadstead_scheduler_last_tick_timestamp_seconds; the alert for a stuck operator reads it.
/// The collaborators must outlive this.
class Scheduler final : public Runnable {
 public:
  static constexpr Millis kInterval{10'000};

  Scheduler(const Clock& wall, const MonotonicClock& clock, Metrics& metrics, Millis interval = kInterval);
  ~Scheduler() override;

  /// Calls `work` each round, in the order of registering; quick things only, such as enqueuing keys. Before start.
  void each_round(std::function<void()> work);

  [[nodiscard]] std::string name() const override { return "scheduler"; }
  [[nodiscard]] Result<void> start() override;
  void stop() override;

 private:
  void run(const std::stop_token& stop);

  const Clock& wall_;
  const MonotonicClock& clock_;
  const Millis interval_;
  Gauge last_tick_;
  std::vector<std::function<void()>> work_;
  std::jthread thread_;  // last, so that it joins first
};

}  // namespace roadstead
