#include "operator/adapters/apiserver/api_handler.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "operator/adapters/apiserver/discovery.h"
#include "operator/adapters/apiserver/request_parts.h"
#include "operator/adapters/apiserver/status.h"
#include "operator/adapters/apiserver/watch_lines.h"
#include "operator/base/log.h"

namespace roadstead::apiserver {
namespace {

using nlohmann::json;

constexpr int kMergeAttempts = 5;  // a patch without a version of its own is tried again on the newer object

bool is_public(const std::string& path) {
  return path == "/livez" || path == "/readyz" || path == "/healthz" || path == "/version" || path == "/version/";
}

Response method_not_allowed(const About& about = {}) {
  return failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", about);
}

About about(const Route& route, const std::string& name = {}) { return {route.type, name.empty() ? route.name : name}; }

std::string name_in(const json& object) { return object.at("metadata").value("name", ""); }

/// 400 for what could not be decoded, 422 for what is wrong.
Response refused_write(const Error& error, const Route& route, const std::string& name) {
  const bool undecodable =
      error.kind == ErrorKind::Invalid && error.message.find("strict decoding error") != std::string::npos;
  return undecodable ? bad_request(error.message) : failure_of(error, about(route, name));
}

/// Selectors are the only thing a reader can get wrong.
Response refused_read(const Error& error, const Route& route) {
  if (error.kind == ErrorKind::Invalid) return bad_request(error.message);
  return failure_of(error, about(route));
}

bool has_finalizers(const json& object) {
  const json& metadata = object.at("metadata");
  return metadata.contains("deletionTimestamp") && metadata.contains("finalizers") && !metadata["finalizers"].empty();
}

json deleted_status(const Route& route, const json& object) {
  json details{{"name", route.name}, {"kind", route.type->plural}, {"uid", object.at("metadata").value("uid", "")}};
  if (!route.type->group.empty()) details["group"] = route.type->group;
  return {{"kind", "Status"},
          {"apiVersion", "v1"},
          {"metadata", json::object()},
          {"status", "Success"},
          {"details", std::move(details)}};
}

std::chrono::seconds watch_timeout(const Request& request) {
  constexpr std::chrono::seconds longest{3600};
  const std::string_view text = request.parameter("timeoutSeconds");
  long seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds <= 0) return longest;
  return std::min(longest, std::chrono::seconds(seconds));
}

bool only_wants_what_we_cannot_write(const Request& request) {
  const std::string_view accept = request.header("accept");
  return !accept.empty() && accept.find("json") == std::string_view::npos &&
         accept.find("*/*") == std::string_view::npos && accept.find("application/*") == std::string_view::npos;
}

std::string_view media_type(const Request& request) {
  const std::string_view full = request.header("content-type");
  return full.substr(0, full.find(';'));
}

EventRecord event_record(const json& event) {
  const json object = event.value("involvedObject", json::object());
  EventRecord record;
  record.about = {object.value("kind", ""), object.value("namespace", ""), object.value("name", "")};
  record.about_uid = object.value("uid", "");
  record.warning = event.value("type", "Normal") == "Warning";
  record.reason = event.value("reason", "");
  record.message = event.value("message", "");
  record.component = event.value("reportingComponent", event.value("source", json::object()).value("component", ""));
  return record;
}

}  // namespace

std::optional<Response> ApiHandler::refuse(const Request& head) {
  if (is_public(head.path)) return std::nullopt;
  if (!parts_.authenticator.who(head)) return failure(401, "Unauthorized", "Unauthorized");
  for (const auto& [name, value] : head.headers)
    if (name.rfind("impersonate-", 0) == 0)
      return failure(403, "Forbidden", "impersonation is not offered by this server");
  if (only_wants_what_we_cannot_write(head))
    return failure(406, "NotAcceptable", "only the following media types are accepted: application/json");
  return std::nullopt;
}

Response ApiHandler::handle(const Request& request) {
  try {
    return dispatch(request);
  } catch (const json::exception& wrong) {
    // A field of an unexpected type in a body that was checked for nothing more than being an object.
    return bad_request(fmt::format("the body cannot be read: {}", wrong.what()));
  } catch (const std::exception& broken) {
    log_error("a request broke the server",
              {{"method", request.method}, {"path", request.path}, {"error", broken.what()}});
    return failure(500, "InternalError", "Internal error occurred: see the operator's log");
  }
}

Response ApiHandler::broken(int status, const std::string& why) {
  switch (status) {
    case 413:
      return failure(413, "RequestEntityTooLarge", "the request's body is larger than this server takes");
    case 431:
      return failure(431, "RequestHeaderFieldsTooLarge", "the request's header is larger than this server takes");
    case 429:
      return failure(429, "TooManyRequests", why);
    default:
      return failure(status, "BadRequest", why);
  }
}

Response ApiHandler::dispatch(const Request& request) {
  if (auto page = fixed_page(request)) return std::move(*page);
  const auto route = route_of(request.path, parts_.types);
  if (!route) return page_not_found();
  return route->name.empty() ? collection(request, *route) : item(request, *route);
}

std::optional<Response> ApiHandler::fixed_page(const Request& request) const {
  const std::string& path = request.path;
  std::optional<Response> page;
  if (path == "/livez" || path == "/healthz") {
    page = text_response(200, "ok");
  } else if (path == "/readyz") {
    const std::string reason = parts_.not_ready ? parts_.not_ready() : std::string();
    page = reason.empty() ? text_response(200, "ok") : text_response(503, reason + "\n");
  } else if (path == "/version" || path == "/version/") {
    page = json_response(200, version_info(parts_.version));
  } else if (auto discovered = discovery_page(path, parts_.types)) {
    page = json_response(200, *discovered);
  }
  if (page && request.method != "GET") return method_not_allowed();
  return page;
}

Response ApiHandler::collection(const Request& request, const Route& route) {
  if (request.method == "GET") return flag(request, "watch") ? watch(request, route) : list(request, route);
  if (request.method != "POST") return method_not_allowed(about(route));
  return route.type->group.empty() ? record_event(request, route) : create(request, route);
}

Response ApiHandler::item(const Request& request, const Route& route) {
  if (request.method == "GET") return get(request, route);
  if (route.type->group.empty()) return method_not_allowed(about(route));
  if (request.method == "PUT") return put(request, route);
  if (request.method == "PATCH") return patch(request, route);
  if (request.method == "DELETE" && !route.status) return remove(request, route);
  return method_not_allowed(about(route));
}

Response ApiHandler::get(const Request& request, const Route& route) {
  const auto object = parts_.store.get(route.key());
  if (!object) return failure_of(object.error(), about(route));
  if (!wants_table(request)) return json_response(200, *object);
  const std::string version = object->at("metadata").value("resourceVersion", "");
  return json_response(200, render_table(parts_.crds, route.type->kind, {*object}, version, include_object(request),
                                         parts_.clock.now()));
}

Response ApiHandler::list(const Request& request, const Route& route) {
  auto found = parts_.store.list(route.type->kind, list_options(request, route));
  if (!found) return refused_read(found.error(), route);
  if (wants_table(request))
    return json_response(200, render_table(parts_.crds, route.type->kind, found->items, found->resource_version,
                                           include_object(request), parts_.clock.now()));
  json items = json::array();
  for (json& object : found->items) items.push_back(std::move(object));
  return json_response(200, {{"kind", route.type->kind + "List"},
                             {"apiVersion", route.type->api_version()},
                             {"metadata", {{"resourceVersion", found->resource_version}}},
                             {"items", std::move(items)}});
}

Response ApiHandler::watch(const Request& request, const Route& route) {
  if (flag(request, "sendInitialEvents"))
    return failure(422, "Invalid",
                   "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch by this server",
                   about(route));
  const auto from = resource_version(request);
  if (!from) return bad_request(from.error().message);
  auto followed = parts_.store.watch(route.type->kind, list_options(request, route), *from);
  if (!followed && followed.error().kind != ErrorKind::Expired) return refused_read(followed.error(), route);

  Response response;
  response.headers.emplace_back("Cache-Control", "no-cache, private");
  if (!followed) {
    response.stream = failed_watch(followed.error());
    return response;
  }
  WatchLinesOptions options;
  options.bookmarks = flag(request, "allowWatchBookmarks");
  options.timeout = watch_timeout(request);
  if (wants_table(request))
    options.render = [this, type = route.type, include = include_object(request)](const json& object, bool bookmark) {
      const std::string version = object.at("metadata").value("resourceVersion", "");
      const std::vector<json> rows = bookmark ? std::vector<json>{} : std::vector<json>{object};
      return render_table(parts_.crds, type->kind, rows, version, include, parts_.clock.now());
    };
  response.stream = watch_lines(std::move(*followed), std::move(options));
  return response;
}

Response ApiHandler::create(const Request& request, const Route& route) {
  const auto options = write_options(request);
  if (!options) return bad_request(options.error().message);
  auto body = body_of(request, false).and_then([&](json object) { return placed(std::move(object), route); });
  if (!body) return bad_request(body.error().message);
  if (route.type->namespaced && route.ns.empty())
    return bad_request(fmt::format("a {} is created in a namespace: .../namespaces/NAMESPACE/{}", route.type->kind,
                                   route.type->plural));
  const auto made = parts_.store.create(*body, *options);
  if (!made) return refused_write(made.error(), route, name_in(*body));
  return json_response(201, *made);
}

Response ApiHandler::put(const Request& request, const Route& route) {
  const auto options = write_options(request);
  if (!options) return bad_request(options.error().message);
  auto body = body_of(request, false).and_then([&](json object) { return placed(std::move(object), route); });
  if (!body) return bad_request(body.error().message);
  const auto written =
      route.status ? parts_.store.update_status(*body, *options) : parts_.store.update(*body, *options);
  if (!written) return refused_write(written.error(), route, route.name);
  return json_response(200, *written);
}

Response ApiHandler::patch(const Request& request, const Route& route) {
  const std::string_view type = media_type(request);
  if (type == "application/merge-patch+json") return merge_patch(request, route);
  if (type == "application/apply-patch+yaml" && !route.status) return apply(request, route);
  return failure(415, "UnsupportedMediaType",
                 "the body of the request was in an unknown format - accepted media types include: "
                 "application/merge-patch+json, application/apply-patch+yaml",
                 about(route));
}

Response ApiHandler::merge_patch(const Request& request, const Route& route) {
  const auto options = write_options(request);
  if (!options) return bad_request(options.error().message);
  const auto change = body_of(request, false);
  if (!change) return bad_request(change.error().message);
  const bool has_version = change->contains("metadata") && change->at("metadata").is_object() &&
                           change->at("metadata").contains("resourceVersion");
  for (int attempt = 1;; ++attempt) {
    auto current = parts_.store.get(route.key());
    if (!current) return failure_of(current.error(), about(route));
    current->merge_patch(*change);
    auto wanted = placed(std::move(*current), route);
    if (!wanted) return bad_request(wanted.error().message);
    const auto written =
        route.status ? parts_.store.update_status(*wanted, *options) : parts_.store.update(*wanted, *options);
    if (written) return json_response(200, *written);
    const bool again = written.error().kind == ErrorKind::Conflict && !has_version && attempt < kMergeAttempts;
    if (!again) return refused_write(written.error(), route, route.name);
  }
}

Response ApiHandler::apply(const Request& request, const Route& route) {
  if (request.parameter("fieldManager").empty())
    return failure(
        422, "Invalid",
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch");
  const auto options = write_options(request);
  if (!options) return bad_request(options.error().message);
  auto body = body_of(request, true).and_then([&](json object) { return placed(std::move(object), route); });
  if (!body) return bad_request(body.error().message);
  const auto applied = parts_.store.apply(*body, *options);
  if (!applied) return refused_write(applied.error(), route, route.name);
  return json_response(applied->what == Applied::Created ? 201 : 200, applied->object);
}

Response ApiHandler::remove(const Request& request, const Route& route) {
  const auto asked = write_options(request);
  if (!asked) return bad_request(asked.error().message);
  json options = json::object();
  if (!request.body.empty()) {
    auto body = body_of(request, false);
    if (!body) return bad_request(body.error().message);
    options = std::move(*body);
  }
  const json conditions = options.value("preconditions", json::object());
  const bool dry_run = asked->dry_run || !options.value("dryRun", json::array()).empty();
  const auto gone = dry_run ? parts_.store.get(route.key())
                            : parts_.store.remove(
                                  route.key(), {conditions.value("uid", ""), conditions.value("resourceVersion", "")});
  if (!gone) return failure_of(gone.error(), about(route));
  return json_response(200, has_finalizers(*gone) ? *gone : deleted_status(route, *gone));
}

Response ApiHandler::record_event(const Request& request, const Route& route) {
  auto body = body_of(request, false).and_then([&](json object) { return placed(std::move(object), route); });
  if (!body) return bad_request(body.error().message);
  const auto recorded = parts_.store.record(event_record(*body));
  if (!recorded) return refused_write(recorded.error(), route, name_in(*body));
  return json_response(201, *body);
}

}  // namespace roadstead::apiserver
