#include "operator/adapters/store/store_watch.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

namespace roadstead::store {

bool Filter::wants(const StoredObject& object, const Labels& has) const {
  return object.key.kind == kind && (ns.empty() || object.key.ns == ns) && fields.matches(object.key) &&
         labels.matches(has) && (!fields.needs_body() || fields.matches_body(nlohmann::json::parse(object.bytes)));
}

StoreWatch::StoreWatch(std::shared_ptr<ChangeLog> log, Filter filter, std::string api_version, Place place,
                       const Clock& clock, Millis bookmark_interval)
    : log_(std::move(log)),
      filter_(std::move(filter)),
      api_version_(std::move(api_version)),
      place_(std::move(place)),
      told_(place_.cursor),
      clock_(clock),
      bookmark_interval_(bookmark_interval),
      last_told_(clock.now()) {}

Result<std::optional<WatchEvent>> StoreWatch::next(Millis wait, std::stop_token stop) {
  if (!place_.initial.empty()) {
    const ObjectPtr object = std::move(place_.initial.front());
    place_.initial.pop_front();
    return WatchEvent{WatchEvent::Type::Added, nlohmann::json::parse(object->bytes)};
  }
  const auto deadline = std::chrono::steady_clock::now() + wait;
  while (true) {
    const auto left = std::chrono::ceil<Millis>(deadline - std::chrono::steady_clock::now());
    auto change = log_->next(filter_.kind, place_.cursor, std::max(left, Millis{0}), stop);
    if (!change) return tl::unexpected(change.error());
    if (!*change) return bookmark();
    if (auto event = seen_through_filter(**change)) {
      told_ = (*change)->object->version;
      last_told_ = clock_.now();
      return event;
    }
    if (stop.stop_requested()) return std::nullopt;
  }
}

std::optional<WatchEvent> StoreWatch::seen_through_filter(const Change& change) const {
  using Type = WatchEvent::Type;
  const StoredObject& object = *change.object;
  const bool before = change.type != Change::Type::Added && filter_.wants(object, change.labels_before);
  const bool after = change.type != Change::Type::Deleted && filter_.wants(object, object.labels);
  if (!before && !after) return std::nullopt;
  const Type type = before && after ? Type::Modified : after ? Type::Added : Type::Deleted;
  return WatchEvent{type, nlohmann::json::parse(object.bytes)};
}

std::optional<WatchEvent> StoreWatch::bookmark() {
  const Time now = clock_.now();
  if (place_.cursor == told_ || now < last_told_ + bookmark_interval_) return std::nullopt;
  told_ = place_.cursor;
  last_told_ = now;
  return WatchEvent{WatchEvent::Type::Bookmark,
                    {{"apiVersion", api_version_},
                     {"kind", filter_.kind},
                     {"metadata", {{"resourceVersion", std::to_string(told_)}}}}};
}

}  // namespace roadstead::store
