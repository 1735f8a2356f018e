#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <stop_token>

#include "mover/outcome.h"

namespace roadstead::mover {

/// What the threads of one transfer share: whether to go on. Safe to use from all of them.
class Session {
 public:
  using Clock = std::chrono::steady_clock;

  /// `idle`: silence of the peer, on all connections together, that ends the session.
  Session(std::stop_token stop, std::chrono::milliseconds idle) : stop_(std::move(stop)), idle_(idle) {}

  /// Something arrived from the peer.
  void heard() { last_heard_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed); }

  /// Ends the session. The first failure is kept, but a lost connection gives way to a reason that another thread
  /// hears within a second: a peer that fails says why on one connection and closes them all.
  void fail(Failure failure);

  /// Why work should end now; nothing while all is well.
  [[nodiscard]] std::optional<Failure> interruption() const;

  /// The same for one that has waited for the peer since `since`; silence since then counts too.
  [[nodiscard]] std::optional<Failure> interruption(Clock::time_point since) const;

  /// What went wrong, for the result.
  [[nodiscard]] std::optional<Failure> failure() const;

  [[nodiscard]] const std::stop_token& stop() const { return stop_; }

 private:
  static bool gives_way(const Failure& failure) { return failure.reason == "ConnectionLost"; }

  std::stop_token stop_;
  std::chrono::milliseconds idle_;
  std::atomic<Clock::rep> last_heard_{0};
  std::atomic<bool> failed_{false};  ///< A quick look before the lock.
  mutable std::mutex mutex_;         // guards failure_, failed_at_
  std::optional<Failure> failure_;
  Clock::time_point failed_at_;
};

}  // namespace roadstead::mover
