#pragma once

#include <functional>

#include "operator/base/clock.h"

namespace roadstead {

/// Chance as an argument: a number in [0, 1).
using Jitter = std::function<double()>;

struct Backoff {
  Millis first{500};
  Millis longest{60'000};
};

/// The wait after the `failures`th failure in a row (from 1): doubles from `first` up to `longest`, of which chance
/// takes away up to a half, so that what failed together is not tried together.
Millis delay_after(int failures, const Backoff& backoff, const Jitter& jitter);

/// Chance from the system's generator; safe from several threads.
Jitter system_jitter();

}  // namespace roadstead
