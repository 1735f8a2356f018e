#include "operator/adapters/store/change_log.h"

#include <algorithm>
#include <chrono>

namespace roadstead::store {

ChangeLog::ChangeLog(ChangeLimits limits, std::uint64_t version, std::uint64_t floor)
    : limits_(limits), version_(version), floor_(floor) {}

void ChangeLog::append(std::vector<Change> changes, std::uint64_t version, Time now) {
  {
    std::lock_guard lock(mutex_);
    for (Change& change : changes) {
      bytes_ += change.object->bytes.size();
      changes_.push_back(std::move(change));
    }
    version_ = version;
    trim(now);
  }
  grown_.notify_all();
}

void ChangeLog::trim(Time now) {
  while (!changes_.empty() &&
         (changes_.size() > limits_.count || bytes_ > limits_.bytes || changes_.front().at < now - limits_.age)) {
    bytes_ -= changes_.front().object->bytes.size();
    floor_ = changes_.front().object->version;
    changes_.pop_front();
  }
}

const Change* ChangeLog::find(std::string_view kind, std::uint64_t cursor) const {
  auto it = std::upper_bound(changes_.begin(), changes_.end(), cursor,
                             [](std::uint64_t at, const Change& change) { return at < change.object->version; });
  it = std::find_if(it, changes_.end(), [&](const Change& change) { return change.object->key.kind == kind; });
  return it == changes_.end() ? nullptr : &*it;
}

Result<std::optional<Change>> ChangeLog::next(std::string_view kind, std::uint64_t& cursor, Millis wait,
                                              const std::stop_token& stop) {
  const auto deadline = std::chrono::steady_clock::now() + wait;
  std::unique_lock lock(mutex_);
  while (true) {
    if (closed_) return fail(ErrorKind::Unavailable, "the store has stopped");
    if (cursor < floor_) return fail(ErrorKind::Expired, "too old resource version: {} ({})", cursor, floor_ + 1);
    if (const Change* change = find(kind, cursor)) {
      cursor = change->object->version;
      return *change;
    }
    cursor = std::max(cursor, version_);
    const std::uint64_t seen = version_;
    if (!grown_.wait_until(lock, stop, deadline, [&] { return closed_ || version_ != seen; })) return std::nullopt;
  }
}

std::uint64_t ChangeLog::floor() const {
  std::lock_guard lock(mutex_);
  return floor_;
}

void ChangeLog::close() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  grown_.notify_all();
}

}  // namespace roadstead::store
