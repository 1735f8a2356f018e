#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "operator/ports/resource_client.h"
#include "operator/runtime/source.h"

namespace roadstead {

/// Turns changes of one kind into keys: every object once at the beginning, then each change.
class WatchSource final : public Source {
 public:
  /// Which keys a changed object concerns.
  using Wakes = std::function<std::vector<ObjectKey>(const nlohmann::json& object)>;

  /// `api` outlives it.
  WatchSource(ResourceClient& api, std::string kind, Wakes wakes)
      : api_(api), kind_(std::move(kind)), wakes_(std::move(wakes)) {}

  [[nodiscard]] std::string name() const override { return "watch " + kind_; }
  /// Ends with the watch's error; run again, it lists anew, so that nothing is missed.
  [[nodiscard]] Result<void> run(const Enqueue& enqueue, std::stop_token stop) override;

 private:
  void pass_on(const nlohmann::json& object, const Enqueue& enqueue) const;

  ResourceClient& api_;
  const std::string kind_;
  const Wakes wakes_;
};

}  // namespace roadstead
