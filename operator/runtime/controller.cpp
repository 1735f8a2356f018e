#include "operator/runtime/controller.h"

#include <chrono>
#include <exception>
#include <utility>

#include "operator/base/log.h"

namespace roadstead {
namespace {

constexpr std::chrono::hours kIdleWait{1};

}  // namespace

Controller::Controller(ControllerOptions options, Reconciler& reconciler, Metrics& metrics, const MonotonicClock& clock)
    : options_(std::move(options)),
      reconciler_(reconciler),
      clock_(clock),
      queue_(options_.name, metrics),
      errors_(metrics.counter(metric::kReconcileErrors, {options_.name})),
      succeeded_(metrics.counter(metric::kReconcileTotal, {options_.name, "success"})),
      requeued_(metrics.counter(metric::kReconcileTotal, {options_.name, "requeue_after"})),
      failed_(metrics.counter(metric::kReconcileTotal, {options_.name, "error"})),
      reconcile_time_(metrics.histogram(metric::kReconcileTime, {options_.name})),
      active_(metrics.gauge(metric::kActiveWorkers, {options_.name})) {
  metrics.gauge(metric::kMaxConcurrentReconciles, {options_.name}).set(options_.workers);
  scrape_hook_ = metrics.before_scrape([this] {
    std::lock_guard lock(mutex_);
    queue_.show(clock_.now());
  });
}

Controller::~Controller() { stop(); }

void Controller::add_source(std::unique_ptr<Source> source) { sources_.push_back(std::move(source)); }

void Controller::enqueue(const ObjectKey& key, Millis delay) {
  {
    std::lock_guard lock(mutex_);
    queue_.add(key, clock_.now() + delay);
  }
  wake_.notify_one();
}

Result<void> Controller::start() {
  for (int i = 0; i < options_.workers; ++i) threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
  for (auto& source : sources_)
    threads_.emplace_back([this, &source](const std::stop_token& stop) { feed(*source, stop); });
  return {};
}

void Controller::stop() {
  for (auto& thread : threads_) thread.request_stop();
  threads_.clear();
}

void Controller::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const Instant now = clock_.now();
    if (const auto key = queue_.pop_due(now)) {
      // One notification may have stood for several keys.
      if (queue_.has_due(now)) wake_.notify_one();
      lock.unlock();
      handle(*key, stop);
      lock.lock();
      continue;
    }
    const auto next = queue_.next_due();
    // Woken also by a key that is due earlier than what is waited for now.
    clock_.wait_until(wake_, lock, stop, next.value_or(now + kIdleWait),
                      [&] { return queue_.has_due(clock_.now()) || queue_.next_due() != next; });
  }
}

void Controller::handle(const ObjectKey& key, const std::stop_token& stop) {
  active_.add(1);
  const Instant began = clock_.now();
  const Result<Action> result = guarded_reconcile(key, stop);
  const Instant now = clock_.now();
  reconcile_time_.observe(std::chrono::duration<double>(now - began).count());
  active_.add(-1);

  std::lock_guard lock(mutex_);
  if (result) {
    (result->requeue_after ? requeued_ : succeeded_).add();
    queue_.succeeded(key);
    if (result->requeue_after) queue_.add(key, now + *result->requeue_after);
  } else if (!stop.stop_requested()) {
    errors_.add();
    failed_.add();
    const int failures = queue_.failed(key);
    const Millis delay = delay_after(failures, options_.backoff, options_.jitter);
    queue_.add(key, now + delay);
    log_warning("reconcile failed", {{"controller", options_.name},
                                     {"object", to_string(key)},
                                     {"reason", std::string(to_string(result.error().kind))},
                                     {"error", result.error().message},
                                     {"failures", std::to_string(failures)},
                                     {"retryInMilliseconds", std::to_string(delay.count())}});
  }
  queue_.done(key, now);
  wake_.notify_one();
}

Result<Action> Controller::guarded_reconcile(const ObjectKey& key, const std::stop_token& stop) {
  try {
    return reconciler_.reconcile(key, stop);
  } catch (const std::exception& broken) {
    return fail(ErrorKind::Internal, "reconcile {}: {}", to_string(key), broken.what());
  } catch (...) {
    return fail(ErrorKind::Internal, "reconcile {}: an exception of unknown type", to_string(key));
  }
}

void Controller::feed(Source& source, const std::stop_token& stop) {
  int failures = 0;
  while (!stop.stop_requested()) {
    const Instant began = clock_.now();
    Result<void> ended;
    try {
      ended = source.run([this](const ObjectKey& key) { enqueue(key); }, stop);
    } catch (const std::exception& broken) {
      ended = fail(ErrorKind::Internal, "{}", broken.what());
    }
    if (stop.stop_requested()) return;
    // A source that ran for long before it broke starts a new row.
    failures = clock_.now() - began > options_.backoff.longest ? 1 : failures + 1;
    const Millis delay = delay_after(failures, options_.backoff, options_.jitter);
    log_warning("source ended", {{"controller", options_.name},
                                 {"source", source.name()},
                                 {"error", ended ? "" : ended.error().message},
                                 {"retryInMilliseconds", std::to_string(delay.count())}});
    std::mutex waiting;
    std::condition_variable_any never;
    std::unique_lock lock(waiting);
    clock_.wait_until(never, lock, stop, clock_.now() + delay, [] { return false; });
  }
}

}  // namespace roadstead
