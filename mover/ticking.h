#pragma once

#include <chrono>
#include <future>

#include "mover/sink.h"

namespace roadstead::mover {

/// Does `work`, which returns an Outcome, on a thread of its own and calls `tick` meanwhile, so that the peer hears
/// that this side is still there. Where tick() fails, its failure is returned, after the work has ended.
template <class Work>
auto while_ticking(const Tick& tick, Work work) -> decltype(work()) {
  auto done = std::async(std::launch::async, std::move(work));
  while (done.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready)
    if (auto go_on = tick(); !go_on) return failed(go_on.error());
  return done.get();
}

}  // namespace roadstead::mover
