#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "operator/adapters/apiserver/http_message.h"
#include "operator/adapters/apiserver/route.h"
#include "operator/adapters/apiserver/tables.h"
#include "operator/ports/resource_client.h"

/// The parts of a request that several verbs read.
namespace roadstead::apiserver {

/// A body that is wrong in itself: becomes 400 BadRequest, where a wrong object becomes 422 Invalid.
struct BadRequest {
  std::string message;
};
template <class T>
using Read = tl::expected<T, BadRequest>;

/// Kubernetes' reading of a boolean parameter: there, and neither "false" nor "0".
[[nodiscard]] bool flag(const Request& request, std::string_view name);

[[nodiscard]] bool wants_table(const Request& request);
[[nodiscard]] IncludeObject include_object(const Request& request);

/// Selectors and namespace.
[[nodiscard]] ListOptions list_options(const Request& request, const Route& route);

/// "" for the newest. Errors: not a number.
[[nodiscard]] Read<std::string> resource_version(const Request& request);

/// dryRun and the field manager (by default the client's name from User-Agent). Errors: another dryRun than All.
[[nodiscard]] Read<WriteOptions> write_options(const Request& request);

/// JSON within limits, or YAML where `yaml`. Errors: not readable, or not an object.
[[nodiscard]] Read<nlohmann::json> body_of(const Request& request, bool yaml);

/// Checks apiVersion, kind, namespace and (unless it is empty on one side) name against the URL, and fills in the
/// namespace and name that are missing.
[[nodiscard]] Read<nlohmann::json> placed(nlohmann::json object, const Route& route);

}  // namespace roadstead::apiserver
