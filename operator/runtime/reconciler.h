#pragma once

#include <optional>
#include <stop_token>

#include "operator/base/clock.h"
#include "operator/base/names.h"
#include "operator/base/result.h"

namespace roadstead {

/// What the queue should do after success.
struct Action {
  std::optional<Millis> requeue_after;
  static Action await_change() { return {}; }
  static Action requeue(Millis after) { return {after}; }
};

/// Level-based: gets a key, never an event. Retry, back-off and counting failures belong to the controller.
class Reconciler {
 public:
  virtual ~Reconciler() = default;
  [[nodiscard]] virtual Result<Action> reconcile(const ObjectKey& key, std::stop_token stop) = 0;
};

}  // namespace roadstead
