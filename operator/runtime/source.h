#pragma once

#include <functional>
#include <stop_token>
#include <string>

#include "operator/base/names.h"
#include "operator/base/result.h"

namespace roadstead {

using Enqueue = std::function<void(const ObjectKey& key)>;

/// Where keys come from: a watch over a kind, a host's engine events.
class Source {
 public:
  virtual ~Source() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  /// Calls `enqueue` for each key that should be looked at, until stopped. What changed while it did not run must be
  /// enqueued when it runs again (usually: everything). After an error it is run again with growing delays.
  [[nodiscard]] virtual Result<void> run(const Enqueue& enqueue, std::stop_token stop) = 0;
};

}  // namespace roadstead
