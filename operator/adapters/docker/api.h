#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/result.h"
#include "operator/ports/engine.h"

/// The Docker Engine API's JSON and our values, one function per direction; no I/O.
namespace roadstead::docker {

/// The newest version of the API this code was written for, and the oldest it can use (Docker 20.10).
constexpr std::string_view kNewestApi = "1.51";
constexpr std::string_view kOldestApi = "1.41";

/// The version to speak with an engine that offers `theirs` at most. Errors: Invalid (older than kOldestApi, or
/// unreadable).
Result<std::string> negotiated_version(std::string_view theirs);

/// What an answer of this status means; `body` is the engine's JSON {"message"} or plain text.
Error error_of(int status, std::string_view body);

nlohmann::json create_body(const ContainerSpec& spec, bool engine_remaps_users);

EngineInfo engine_info(const nlohmann::json& info);
ContainerInfo container_info(const nlohmann::json& inspected);
ContainerSummary container_summary(const nlohmann::json& listed);
VolumeInfo volume_info(const nlohmann::json& volume);
ImageInfo image_info(const nlohmann::json& image);
EngineEvent engine_event(const nlohmann::json& event);

/// The `filters` parameter for these labels; "" as value asks for the label alone.
std::string label_filters(const Labels& labels, std::string_view type = {});

/// The X-Registry-Auth header.
std::string registry_auth(const RegistryCredentials& credentials);

/// "repo/name:tag" or "repo/name@sha256:…" → name and tag (or digest); no tag means "latest", never all of them.
struct ImageReference {
  std::string name, tag;
};
ImageReference image_reference(std::string_view reference);

/// The failure in one line of a progress stream (pull, load, import), if it tells one.
Result<void> check_progress(std::string_view line);

/// Cuts a stream into lines, whatever pieces it comes in; empty ones are left out.
class LineSplitter {
 public:
  explicit LineSplitter(std::size_t longest = std::size_t{4} << 20) : longest_(longest) {}
  /// `line` returns false to end it: then false. Errors: what `line` gives; Unavailable (a line longer than `longest`).
  Result<bool> feed(std::span<const std::byte> piece, const std::function<Result<bool>(std::string_view)>& line);
  /// What stands after the last line end.
  [[nodiscard]] const std::string& rest() const { return held_; }

 private:
  std::size_t longest_;
  std::string held_;
};

}  // namespace roadstead::docker
