#include "operator/runtime/scheduler.h"

#include <exception>
#include <utility>

#include "operator/base/log.h"

namespace roadstead {

Scheduler::Scheduler(const Clock& wall, const MonotonicClock& clock, Metrics& metrics, Millis interval)
    : wall_(wall), clock_(clock), interval_(interval), last_tick_(metrics.gauge(metric::kSchedulerLastTick)) {
  last_tick_.set(wall_.now());
}

Scheduler::~Scheduler() { stop(); }

void Scheduler::each_round(std::function<void()> work) { work_.push_back(std::move(work)); }

Result<void> Scheduler::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  return {};
}

void Scheduler::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Scheduler::run(const std::stop_token& stop) {
  std::mutex waiting;
  std::condition_variable_any never;
  std::unique_lock lock(waiting);
  while (!stop.stop_requested()) {
    const Instant began = clock_.now();
    for (const auto& work : work_) {
      try {
        work();
      } catch (const std::exception& broken) {
        log_error("a scheduled round failed", {{"error", broken.what()}});
      }
    }
    last_tick_.set(wall_.now());
    clock_.wait_until(never, lock, stop, began + interval_, [] { return false; });
  }
}

}  // namespace roadstead
