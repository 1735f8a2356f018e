#include "mover/session.h"

#include <algorithm>

namespace roadstead::mover {
namespace {

constexpr std::chrono::seconds kGrace{1};

}  // namespace

void Session::fail(Failure failure) {
  const std::lock_guard lock(mutex_);
  if (failure_ && !(gives_way(*failure_) && !gives_way(failure))) return;
  if (!failure_) failed_at_ = Clock::now();
  failure_ = std::move(failure);
  failed_.store(true);
}

std::optional<Failure> Session::interruption() const {
  if (stop_.stop_requested()) return cancelled();
  if (failed_.load()) {
    const std::lock_guard lock(mutex_);
    if (!gives_way(*failure_) || Clock::now() - failed_at_ > kGrace) return failure_;
  }
  return std::nullopt;
}

std::optional<Failure> Session::interruption(Clock::time_point since) const {
  if (auto why = interruption()) return why;
  const Clock::time_point heard{Clock::duration(last_heard_.load(std::memory_order_relaxed))};
  const auto silent = Clock::now() - std::max(since, heard);
  if (silent <= idle_) return std::nullopt;
  return connection_lost(fmt::format("the other mover was silent for {} s",
                                     std::chrono::duration_cast<std::chrono::seconds>(silent).count()));
}

std::optional<Failure> Session::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

}  // namespace roadstead::mover
