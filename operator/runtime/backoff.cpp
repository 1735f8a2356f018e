#include "operator/runtime/backoff.h"

#include <algorithm>
#include <random>

namespace roadstead {

Millis delay_after(int failures, const Backoff& backoff, const Jitter& jitter) {
  Millis whole = backoff.first;
  for (int i = 1; i < failures && whole < backoff.longest; ++i) whole *= 2;
  whole = std::min(whole, backoff.longest);
  const double share = 0.5 + jitter() / 2;
  return Millis{static_cast<Millis::rep>(static_cast<double>(whole.count()) * share)};
}

Jitter system_jitter() {
  return [] {
    thread_local std::mt19937 generator{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(generator);
  };
}

}  // namespace roadstead
