#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "operator/adapters/apiserver/http_message.h"
#include "operator/ports/resource_client.h"

namespace roadstead::apiserver {

struct WatchLinesOptions {
  bool bookmarks = false;              ///< The client asked for them.
  std::chrono::seconds timeout{3600};  ///< The stream ends after it with its last chunk.
  /// What is sent in place of an event's object; empty: the object itself.
  std::function<nlohmann::json(const nlohmann::json& object, bool bookmark)> render;
};

/// A watch as JSON lines {"type","object"}. An error is its last line, of type ERROR.
[[nodiscard]] std::unique_ptr<LineStream> watch_lines(std::unique_ptr<Watch> watch, WatchLinesOptions options);

/// A watch that could not begin: one line of type ERROR.
[[nodiscard]] std::unique_ptr<LineStream> failed_watch(const Error& error);

}  // namespace roadstead::apiserver
