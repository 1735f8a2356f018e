#include "operator/adapters/kube/kube_watch.h"

#include <nlohmann/json.hpp>

#include "operator/adapters/kube/status_error.h"

namespace roadstead::kube {
namespace {

using nlohmann::json;

std::optional<WatchEvent::Type> type_of(const std::string& word) {
  if (word == "ADDED") return WatchEvent::Type::Added;
  if (word == "MODIFIED") return WatchEvent::Type::Modified;
  if (word == "DELETED") return WatchEvent::Type::Deleted;
  if (word == "BOOKMARK") return WatchEvent::Type::Bookmark;
  return std::nullopt;
}

Result<std::optional<WatchEvent>> event_of(const std::string& line) {
  json parsed = json::parse(line, nullptr, false);
  if (!parsed.is_object() || !parsed.contains("object") || !parsed.value("type", json()).is_string())
    return fail(ErrorKind::Unavailable, "watch: a line is no event: {}", line.substr(0, 100));
  const std::string word = parsed["type"];
  json& object = parsed["object"];
  if (const auto type = type_of(word)) return WatchEvent{*type, std::move(object)};
  if (word != "ERROR" || !object.is_object())
    return fail(ErrorKind::Unavailable, "watch: an event of unknown type {}", word);
  const ErrorKind kind = kind_of(object.value("code", 500), object.value("reason", ""));
  return tl::unexpected(Error{kind, object.value("message", "the watch failed")});
}

class KubeWatch final : public Watch {
 public:
  explicit KubeWatch(std::unique_ptr<LineReader> lines) : lines_(std::move(lines)) {}

  Result<std::optional<WatchEvent>> next(Millis wait, std::stop_token stop) override {
    auto line = lines_->next(wait, std::move(stop));
    if (!line) return tl::unexpected(line.error());
    if (!*line) return std::nullopt;
    try {
      return event_of(**line);
    } catch (const json::exception& wrong) {
      return fail(ErrorKind::Unavailable, "watch: an event cannot be read: {}", wrong.what());
    }
  }

 private:
  const std::unique_ptr<LineReader> lines_;
};

}  // namespace

std::unique_ptr<Watch> make_watch(std::unique_ptr<LineReader> lines) {
  return std::make_unique<KubeWatch>(std::move(lines));
}

}  // namespace roadstead::kube
