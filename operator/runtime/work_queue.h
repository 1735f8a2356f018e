#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "metrics/metrics.h"
#include "operator/base/names.h"
#include "operator/runtime/monotonic_clock.h"

namespace roadstead {

/// Which keys to look at, and when. Passive: no thread, no clock, no lock; its owner brings all three.
/// Invariants: a key is pending at most once, with the earliest time it was added for; a popped key is not given out
/// again before `done`; what was added while it was out is pending from `done` on.
class WorkQueue {
 public:
  /// `name` is the label of its metrics.
  WorkQueue(const std::string& name, Metrics& metrics);

  void add(const ObjectKey& key, Instant due);
  /// The key longest due, if any is; it counts as in work until `done`.
  std::optional<ObjectKey> pop_due(Instant now);
  void done(const ObjectKey& key, Instant now);

  [[nodiscard]] bool has_due(Instant now) const;
  [[nodiscard]] std::optional<Instant> next_due() const;

  /// Counts a failure of `key`; the number of failures in a row.
  int failed(const ObjectKey& key);
  /// Ends a row of failures.
  void succeeded(const ObjectKey& key);

  /// Sets the gauges that only the moment of looking gives.
  void show(Instant now);

 private:
  using Place = std::pair<Instant, std::uint64_t>;  // due, then in the order added
  std::map<Place, ObjectKey> pending_;
  std::unordered_map<ObjectKey, Place> place_of_;   // the other way round
  std::unordered_map<ObjectKey, Instant> in_work_;  // since when
  std::unordered_map<ObjectKey, Instant> again_;    // in work, and due again at
  std::unordered_map<ObjectKey, int> failures_;
  std::uint64_t next_order_ = 0;

  Counter adds_, retries_;
  Histogram waited_, worked_;
  Gauge depth_, unfinished_, longest_;
};

}  // namespace roadstead
