#include "operator/runtime/work_queue.h"

#include <algorithm>
#include <chrono>

namespace roadstead {
namespace {

double seconds(Instant::duration duration) { return std::chrono::duration<double>(duration).count(); }

}  // namespace

WorkQueue::WorkQueue(const std::string& name, Metrics& metrics)
    : adds_(metrics.counter(metric::kQueueAdds, {name})),
      retries_(metrics.counter(metric::kQueueRetries, {name})),
      waited_(metrics.histogram(metric::kQueueDuration, {name})),
      worked_(metrics.histogram(metric::kQueueWorkDuration, {name})),
      depth_(metrics.gauge(metric::kQueueDepth, {name})),
      unfinished_(metrics.gauge(metric::kQueueUnfinishedWork, {name})),
      longest_(metrics.gauge(metric::kQueueLongestRunning, {name})) {}

void WorkQueue::add(const ObjectKey& key, Instant due) {
  if (in_work_.contains(key)) {
    const auto [again, is_new] = again_.try_emplace(key, due);
    if (is_new) adds_.add();
    again->second = std::min(again->second, due);
    return;
  }
  if (const auto old = place_of_.find(key); old != place_of_.end()) {
    if (old->second.first <= due) return;
    pending_.erase(old->second);
  } else {
    adds_.add();
  }
  const Place place{due, next_order_++};
  pending_.emplace(place, key);
  place_of_[key] = place;
}

std::optional<ObjectKey> WorkQueue::pop_due(Instant now) {
  if (!has_due(now)) return std::nullopt;
  auto first = pending_.extract(pending_.begin());
  ObjectKey key = std::move(first.mapped());
  waited_.observe(seconds(now - first.key().first));
  place_of_.erase(key);
  in_work_.emplace(key, now);
  return key;
}

void WorkQueue::done(const ObjectKey& key, Instant now) {
  const auto since = in_work_.find(key);
  if (since == in_work_.end()) return;
  worked_.observe(seconds(now - since->second));
  in_work_.erase(since);
  if (auto again = again_.extract(key)) {
    const Place place{again.mapped(), next_order_++};
    pending_.emplace(place, key);
    place_of_[key] = place;
  }
}

bool WorkQueue::has_due(Instant now) const { return !pending_.empty() && pending_.begin()->first.first <= now; }

std::optional<Instant> WorkQueue::next_due() const {
  if (pending_.empty()) return std::nullopt;
  return pending_.begin()->first.first;
}

int WorkQueue::failed(const ObjectKey& key) {
  retries_.add();
  return ++failures_[key];
}

void WorkQueue::succeeded(const ObjectKey& key) { failures_.erase(key); }

void WorkQueue::show(Instant now) {
  double due = 0, sum = 0, longest = 0;
  for (auto it = pending_.begin(); it != pending_.end() && it->first.first <= now; ++it) ++due;
  for (const auto& [key, since] : in_work_) {
    sum += seconds(now - since);
    longest = std::max(longest, seconds(now - since));
  }
  depth_.set(due);
  unfinished_.set(sum);
  longest_.set(longest);
}

}  // namespace roadstead
