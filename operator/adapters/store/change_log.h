#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <vector>

#include "operator/adapters/store/object.h"
#include "operator/base/clock.h"
#include "operator/base/result.h"

namespace roadstead::store {

struct Change {
  enum class Type { Added = 0, Modified = 1, Deleted = 2 };  // as stored in the database
  Type type = Type::Added;
  ObjectPtr object;      ///< Deleted: the last state, with the deletion's version.
  Labels labels_before;  ///< Empty for Added.
  Time at;
};

struct ChangeLimits {
  std::size_t count = 5'000;
  std::size_t bytes = 8 << 20;
  Millis age = std::chrono::hours{1};
};

/// The newest changes of all kinds in the order of their versions; watches read it at their own pace, each with a
/// cursor. What is trimmed away is gone for all: a reader that is still before it hears "too old". Safe from any
/// thread.
class ChangeLog {
 public:
  ChangeLog(ChangeLimits limits, std::uint64_t version, std::uint64_t floor);

  /// Appends, trims, wakes the readers. `version` is the store's newest.
  void append(std::vector<Change> changes, std::uint64_t version, Time now);

  /// Waits up to `wait` for the next change of `kind` after `cursor`, and moves the cursor to it; without one, to the
  /// store's newest version. Errors: Expired (`cursor` is before what is kept), Unavailable (the store has stopped).
  Result<std::optional<Change>> next(std::string_view kind, std::uint64_t& cursor, Millis wait,
                                     const std::stop_token& stop);

  /// Changes up to this version are gone.
  [[nodiscard]] std::uint64_t floor() const;
  /// Ends every reader.
  void close();

 private:
  const Change* find(std::string_view kind, std::uint64_t cursor) const;
  void trim(Time now);

  const ChangeLimits limits_;
  mutable std::mutex mutex_;  // guards everything below
  std::condition_variable_any grown_;
  std::deque<Change> changes_;
  std::size_t bytes_ = 0;  // of all texts in changes_
  std::uint64_t version_, floor_;
  bool closed_ = false;
};

}  // namespace roadstead::store
