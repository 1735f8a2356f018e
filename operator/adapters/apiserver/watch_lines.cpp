#include "operator/adapters/apiserver/watch_lines.h"

#include <nlohmann/json.hpp>

#include "operator/adapters/apiserver/status.h"

namespace roadstead::apiserver {
namespace {

using nlohmann::json;
using SteadyClock = std::chrono::steady_clock;

constexpr std::size_t kChunkBytes = std::size_t{64}
                                    << 10;  // events that wait already go out together, up to about this

const char* word(WatchEvent::Type type) {
  switch (type) {
    case WatchEvent::Type::Added:
      return "ADDED";
    case WatchEvent::Type::Modified:
      return "MODIFIED";
    case WatchEvent::Type::Deleted:
      return "DELETED";
    case WatchEvent::Type::Bookmark:
      return "BOOKMARK";
  }
  return "ERROR";
}

/// Put together from texts: the object is not copied just to be wrapped.
std::string line_of(const char* type, const json& object) {
  return std::string("{\"type\":\"") + type +
         "\",\"object\":" + object.dump(-1, ' ', false, json::error_handler_t::replace) + "}\n";
}

class WatchLines final : public LineStream {
 public:
  WatchLines(std::unique_ptr<Watch> watch, WatchLinesOptions options)
      : watch_(std::move(watch)), options_(std::move(options)), end_(SteadyClock::now() + options_.timeout) {}

  Chunk next(Millis wait, std::stop_token stop) override {
    Chunk chunk;
    const auto left = std::chrono::duration_cast<Millis>(end_ - SteadyClock::now());
    if (left <= Millis(0)) return {"", true};
    wait = std::min(wait, left);
    while (!chunk.last && chunk.text.size() < kChunkBytes) {
      auto event = watch_->next(wait, stop);
      wait = Millis(0);  // only the first is waited for
      if (!event) {
        chunk.text += line_of("ERROR", status_of(event.error(), {}));
        chunk.last = true;
      } else if (!*event) {
        break;
      } else {
        append(**event, chunk.text);
      }
    }
    return chunk;
  }

 private:
  void append(const WatchEvent& event, std::string& text) const {
    const bool bookmark = event.type == WatchEvent::Type::Bookmark;
    if (bookmark && !options_.bookmarks) return;
    if (options_.render)
      text += line_of(word(event.type), options_.render(event.object, bookmark));
    else
      text += line_of(word(event.type), event.object);
  }

  const std::unique_ptr<Watch> watch_;
  const WatchLinesOptions options_;
  const SteadyClock::time_point end_;
};

class OneLine final : public LineStream {
 public:
  explicit OneLine(std::string line) : line_(std::move(line)) {}
  Chunk next(Millis, std::stop_token) override { return {std::move(line_), true}; }

 private:
  std::string line_;
};

}  // namespace

std::unique_ptr<LineStream> watch_lines(std::unique_ptr<Watch> watch, WatchLinesOptions options) {
  return std::make_unique<WatchLines>(std::move(watch), std::move(options));
}

std::unique_ptr<LineStream> failed_watch(const Error& error) {
  return std::make_unique<OneLine>(line_of("ERROR", status_of(error, {})));
}

}  // namespace roadstead::apiserver
