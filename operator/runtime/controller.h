#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "metrics/metrics.h"
#include "operator/base/runnable.h"
#include "operator/runtime/backoff.h"
#include "operator/runtime/reconciler.h"
#include "operator/runtime/source.h"
#include "operator/runtime/work_queue.h"

namespace roadstead {

struct ControllerOptions {
  std::string name;  ///< In lower case, as the label of its metrics: "restorerequest".
  int workers = 1;
  Backoff backoff;
  Jitter jitter = system_jitter();
};

/// Brings keys to a reconciler: several at once, never one key twice at once. A failure (an exception too) is logged,
/// counted and tried again with growing delays; a success starts the row anew.
/// `reconciler`, `metrics` and `clock` must outlive this.
class Controller final : public Runnable {
 public:
  Controller(ControllerOptions options, Reconciler& reconciler, Metrics& metrics, const MonotonicClock& clock);
  ~Controller() override;

  /// Before start.
  void add_source(std::unique_ptr<Source> source);

  /// Looks at `key` now, or after `delay`; what is already due earlier stays so. From any thread.
  void enqueue(const ObjectKey& key, Millis delay = Millis{0});

  [[nodiscard]] std::string name() const override { return options_.name; }
  [[nodiscard]] Result<void> start() override;
  /// A reconcile in work is told by its stop token and waited for.
  void stop() override;

 private:
  void work(const std::stop_token& stop);
  void handle(const ObjectKey& key, const std::stop_token& stop);
  Result<Action> guarded_reconcile(const ObjectKey& key, const std::stop_token& stop);
  void feed(Source& source, const std::stop_token& stop);

  const ControllerOptions options_;
  Reconciler& reconciler_;
  const MonotonicClock& clock_;

  std::mutex mutex_;  // guards queue_
  std::condition_variable_any wake_;
  WorkQueue queue_;

  Counter errors_, succeeded_, requeued_, failed_;
  Histogram reconcile_time_;
  Gauge active_;
  std::shared_ptr<void> scrape_hook_;

  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<std::jthread> threads_;  // last, so that they join first
};

}  // namespace roadstead
