#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "operator/base/clock.h"
#include "operator/base/names.h"

namespace roadstead::reconcilers {

/// Keeps a reconciler that writes numbers into status from being woken by its own writes: the watch echoes each, and
/// each look brings new numbers. Only a cache; safe from several threads. A clock that is set back ends a pause, or an
/// object would stand still for as long as it was set back.
class Pace {
 public:
  /// How long to wait still, where the object is the one last written and its next look is not due; else nothing.
  std::optional<Millis> wait(const ObjectKey& key, const std::string& resource_version, Time now) {
    std::lock_guard lock(mutex_);
    const auto known = known_.find(key);
    if (known == known_.end() || known->second.resource_version != resource_version || known->second.due <= now ||
        now < known->second.set_at)
      return std::nullopt;
    return known->second.due - now;
  }

  /// The object was written as `resource_version` and is looked at again after `pause`.
  void set(const ObjectKey& key, std::string resource_version, Time now, Millis pause) {
    std::lock_guard lock(mutex_);
    known_[key] = {std::move(resource_version), now, now + pause};
  }

  void forget(const ObjectKey& key) {
    std::lock_guard lock(mutex_);
    known_.erase(key);
  }

 private:
  struct Known {
    std::string resource_version;
    Time set_at, due;
  };
  std::mutex mutex_;  // guards known_
  std::map<ObjectKey, Known> known_;
};

/// True if `interval` has passed since `last`, or the clock was set back to before it: then nobody knows.
inline bool has_passed(Time last, Millis interval, Time now) { return now < last || now - last >= interval; }

/// When what merely moves is written again: once an interval for each object. Only a cache; safe from several threads.
class Beat {
 public:
  explicit Beat(Millis interval) : interval_(interval) {}

  /// True if it may be written now, which is then taken for written.
  bool is_due(const ObjectKey& key, Time now) {
    std::lock_guard lock(mutex_);
    Time& last = written_[key];
    if (!has_passed(last, interval_, now)) return false;
    last = now;
    return true;
  }

  void forget(const ObjectKey& key) {
    std::lock_guard lock(mutex_);
    written_.erase(key);
  }

 private:
  const Millis interval_;
  std::mutex mutex_;  // guards written_
  std::map<ObjectKey, Time> written_;
};

}  // namespace roadstead::reconcilers
