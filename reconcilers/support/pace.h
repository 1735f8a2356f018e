#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "operator/base/clock.h"
#include "operator/base/names.h"

namespace roadstead::reconcilers {

/// Keeps a reconciler that writes numbers into status from being woken by its own writes: the watch echoes each, and
/// each look brings new numbers. Only a cache; safe from several threads.
class Pace {
 public:
  /// How long to wait still, where the object is the one last written and its next look is not due; else nothing.
  std::optional<Millis> wait(const ObjectKey& key, const std::string& resource_version, Time now) {
    std::lock_guard lock(mutex_);
    const auto known = known_.find(key);
    if (known == known_.end() || known->second.resource_version != resource_version || known->second.due <= now)
      return std::nullopt;
    return known->second.due - now;
  }

  /// The object was written as `resource_version` and is looked at again at `due`.
  void set(const ObjectKey& key, std::string resource_version, Time due) {
    std::lock_guard lock(mutex_);
    known_[key] = {std::move(resource_version), due};
  }

  void forget(const ObjectKey& key) {
    std::lock_guard lock(mutex_);
    known_.erase(key);
  }

 private:
  struct Known {
    std::string resource_version;
    Time due;
  };
  std::mutex mutex_;  // guards known_
  std::map<ObjectKey, Known> known_;
};

}  // namespace roadstead::reconcilers
