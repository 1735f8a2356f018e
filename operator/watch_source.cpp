#include "operator/watch_source.h"

#include <nlohmann/json.hpp>

namespace roadstead {
namespace {

// How long a watch may have nothing to tell before the stop is looked at again.
constexpr Millis kLook{5'000};

}  // namespace

void WatchSource::pass_on(const nlohmann::json& object, const Enqueue& enqueue) const {
  for (const ObjectKey& key : wakes_(object)) enqueue(key);
}

Result<void> WatchSource::run(const Enqueue& enqueue, std::stop_token stop) {
  auto all = api_.list(kind_, {});
  if (!all) return tl::unexpected(all.error());
  for (const nlohmann::json& object : all->items) pass_on(object, enqueue);
  auto watch = api_.watch(kind_, {}, all->resource_version);
  if (!watch) return tl::unexpected(watch.error());
  while (!stop.stop_requested()) {
    auto event = (*watch)->next(kLook, stop);
    if (!event) return tl::unexpected(event.error());
    if (*event && (*event)->type != WatchEvent::Type::Bookmark) pass_on((*event)->object, enqueue);
  }
  return {};
}

}  // namespace roadstead
