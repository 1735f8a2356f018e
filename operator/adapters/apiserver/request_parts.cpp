#include "operator/adapters/apiserver/request_parts.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "crds/yaml/reader.h"
#include "operator/base/text.h"

namespace roadstead::apiserver {
namespace {

using nlohmann::json;

tl::unexpected<BadRequest> bad(std::string message) { return tl::unexpected(BadRequest{std::move(message)}); }

std::string text(const json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

bool flag(const Request& request, std::string_view name) {
  if (!request.has_parameter(name)) return false;
  const std::string_view value = request.parameter(name);
  return !equal_ignoring_case(value, "false") && value != "0";
}

bool wants_table(const Request& request) { return request.header("accept").find("as=Table") != std::string_view::npos; }

IncludeObject include_object(const Request& request) {
  const std::string_view wanted = request.parameter("includeObject");
  if (wanted == "None") return IncludeObject::None;
  return wanted == "Object" ? IncludeObject::Object : IncludeObject::Metadata;
}

ListOptions list_options(const Request& request, const Route& route) {
  ListOptions options;
  options.ns = route.ns;
  options.label_selector = std::string(request.parameter("labelSelector"));
  options.field_selector = std::string(request.parameter("fieldSelector"));
  return options;
}

Read<std::string> resource_version(const Request& request) {
  const std::string_view value = request.parameter("resourceVersion");
  if (value.empty() || value == "0") return std::string();
  const bool digits =
      value.size() <= 19 && std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) return bad(fmt::format("resourceVersion: Invalid value: \"{}\": not a resource version", value));
  return std::string(value);
}

Read<WriteOptions> write_options(const Request& request) {
  WriteOptions options;
  const std::string_view dry_run = request.parameter("dryRun");
  if (!dry_run.empty() && dry_run != "All")
    return bad(fmt::format("dryRun: Unsupported value: \"{}\": supported values: \"All\"", dry_run));
  options.dry_run = dry_run == "All";
  const std::string_view agent = request.header("user-agent");
  options.field_manager = std::string(request.parameter("fieldManager"));
  if (options.field_manager.empty()) options.field_manager = std::string(agent.substr(0, agent.find('/')));
  if (options.field_manager.empty()) options.field_manager = "unknown";
  return options;
}

Read<json> body_of(const Request& request, bool yaml) {
  const std::size_t first = request.body.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) return bad("the request has no body");
  if (!yaml && request.body[first] != '{') return bad("the body is not a JSON object");
  auto documents = crds::read_manifests(request.body, "body");
  if (!documents) return bad(to_string(documents.error()));
  if (documents->size() != 1 || !documents->front().value.is_object()) return bad("the body is not one object");
  return std::move(documents->front().value);
}

Read<json> placed(json object, const Route& route) {
  const std::string api_version = text(object, "apiVersion");
  const std::string kind = text(object, "kind");
  if (api_version != route.type->api_version() || kind != route.type->kind)
    return bad(fmt::format("the object in the body is a {} in version \"{}\", expected was a {} in version \"{}\"",
                           kind, api_version, route.type->kind, route.type->api_version()));
  if (!object.contains("metadata")) object["metadata"] = json::object();
  json& metadata = object["metadata"];
  if (!metadata.is_object()) return bad("metadata is not an object");
  const std::string ns = text(metadata, "namespace");
  if (!ns.empty() && ns != route.ns)
    return bad("the namespace of the provided object does not match the namespace sent on the request");
  if (!route.ns.empty()) metadata["namespace"] = route.ns;
  const std::string name = text(metadata, "name");
  if (!route.name.empty() && !name.empty() && name != route.name)
    return bad(fmt::format("the name of the object ({}) does not match the name on the URL ({})", name, route.name));
  if (!route.name.empty()) metadata["name"] = route.name;
  return object;
}

}  // namespace roadstead::apiserver
