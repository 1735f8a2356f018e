#include "operator/adapters/kube/kube_client.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "operator/adapters/kube/kube_watch.h"
#include "operator/adapters/kube/status_error.h"
#include "operator/base/hash.h"
#include "operator/base/text.h"

namespace roadstead::kube {
namespace {

using nlohmann::json;

constexpr const char* kJson = "application/json";
constexpr const char* kTable = "application/json;as=Table;v=v1;g=meta.k8s.io";
constexpr const char* kDefaultNamespace = "default";

/// Appends "?name=value" or "&name=value"; nothing for an empty value.
void add_parameter(std::string& target, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  target += target.find('?') == std::string::npos ? '?' : '&';
  target.append(name).append("=").append(url_encoded(value));
}

void add_options(std::string& target, const WriteOptions& options) {
  add_parameter(target, "fieldManager", options.field_manager);
  add_parameter(target, "dryRun", options.dry_run ? "All" : "");
}

void add_options(std::string& target, const ListOptions& options) {
  add_parameter(target, "labelSelector", options.label_selector);
  add_parameter(target, "fieldSelector", options.field_selector);
}

std::string metadata_text(const json& object, const char* field) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) return {};
  const auto found = metadata->find(field);
  return found != metadata->end() && found->is_string() ? found->get<std::string>() : std::string();
}

Result<const ResourceType*> type_of(const ResourceTypes& types, const std::string& kind) {
  if (const ResourceType* type = types.by_kind(kind)) return type;
  return fail(ErrorKind::NotFound, "no kind \"{}\" is known", kind);
}

/// Escaped path of the objects of a namespace; a namespaced kind without a namespace means "default".
std::string collection_path(const ResourceType& type, const std::string& ns) {
  return type.path(url_encoded(ns.empty() ? kDefaultNamespace : ns), "");
}

/// Escaped path of an item. Errors: Invalid (no name: that would be the path of all of them).
Result<std::string> item_path(const ResourceType& type, const std::string& ns, const std::string& name) {
  if (name.empty()) return fail(ErrorKind::Invalid, "a {} without a name was asked for: give metadata.name", type.kind);
  return type.path(url_encoded(ns.empty() ? kDefaultNamespace : ns), url_encoded(name));
}

Result<json> parsed(const HttpsReply& reply, const std::string& what) {
  if (reply.code < 200 || reply.code > 299) return tl::unexpected(error_of(reply.code, reply.body, what));
  json body = json::parse(reply.body, nullptr, false);
  if (!body.is_object()) return fail(ErrorKind::Unavailable, "{}: the answer is not JSON", what);
  return body;
}

Result<json> call(HttpsClient& client, const HttpsRequest& request) {
  const auto reply = client.send(request);
  if (!reply) return tl::unexpected(reply.error());
  return parsed(*reply, request.method + " " + client.server() + request.target);
}

HttpsRequest reading(std::string target, const char* accept = kJson) {
  HttpsRequest request;
  request.target = std::move(target);
  request.accept = accept;
  return request;
}

/// Without what every write changes, and what an apply does not touch.
json comparable(json object) {
  object.erase("status");
  for (const char* field : {"resourceVersion", "generation", "managedFields"}) object["metadata"].erase(field);
  return object;
}

json delete_options(const Preconditions& preconditions) {
  json options{{"apiVersion", "v1"}, {"kind", "DeleteOptions"}, {"propagationPolicy", "Background"}};
  if (!preconditions.uid.empty()) options["preconditions"]["uid"] = preconditions.uid;
  if (!preconditions.resource_version.empty())
    options["preconditions"]["resourceVersion"] = preconditions.resource_version;
  return options;
}

/// Equal events have equal names, so that a server can count them.
std::string event_name(const EventRecord& event) {
  const std::string sameness =
      to_string(event.about) + "\n" + event.about_uid + "\n" + event.reason + "\n" + event.message;
  return shortened(event.about.name, 200) + "." + sha256_hex(sameness).substr(0, 16);
}

json event_object(const EventRecord& event, const ResourceType* about, const std::string& ns) {
  json involved{{"kind", event.about.kind}, {"name", event.about.name}};
  if (about != nullptr) involved["apiVersion"] = about->api_version();
  if (!event.about.ns.empty()) involved["namespace"] = event.about.ns;
  if (!event.about_uid.empty()) involved["uid"] = event.about_uid;
  return {{"apiVersion", "v1"},
          {"kind", "Event"},
          {"metadata", {{"name", event_name(event)}, {"namespace", ns}}},
          {"involvedObject", std::move(involved)},
          {"type", event.warning ? "Warning" : "Normal"},
          {"reason", event.reason},
          {"message", event.message},
          {"source", {{"component", event.component}}},
          {"reportingComponent", event.component}};
}

}  // namespace

KubeClient::KubeClient(std::unique_ptr<HttpsClient> requests, std::unique_ptr<HttpsClient> watches,
                       const ResourceTypes& types)
    : requests_(std::move(requests)), watches_(std::move(watches)), types_(types) {}

KubeClient::~KubeClient() = default;

Result<std::unique_ptr<KubeClient>> KubeClient::make(KubeConfig config, const ResourceTypes& types,
                                                     KubeClientOptions options) {
  auto requests = HttpsClient::make(config, options.timeout);
  if (!requests) return tl::unexpected(requests.error());
  auto watches = HttpsClient::make(std::move(config), options.watch_silence);
  if (!watches) return tl::unexpected(watches.error());
  return std::unique_ptr<KubeClient>(new KubeClient(std::move(*requests), std::move(*watches), types));
}

Result<json> KubeClient::get(const ObjectKey& key) {
  const auto type = type_of(types_, key.kind);
  if (!type) return tl::unexpected(type.error());
  const auto path = item_path(**type, key.ns, key.name);
  if (!path) return tl::unexpected(path.error());
  return call(*requests_, reading(*path));
}

Result<ResourceList> KubeClient::list(const std::string& kind, const ListOptions& options) {
  const auto type = type_of(types_, kind);
  if (!type) return tl::unexpected(type.error());
  std::string target = (*type)->path(url_encoded(options.ns));
  add_options(target, options);
  auto body = call(*requests_, reading(target));
  if (!body) return tl::unexpected(body.error());
  ResourceList list;
  list.resource_version = metadata_text(*body, "resourceVersion");
  for (json& item : (*body)["items"]) {
    // Kubernetes leaves these out in the items of lists of built-in kinds.
    item["apiVersion"] = (*type)->api_version();
    item["kind"] = kind;
    list.items.push_back(std::move(item));
  }
  return list;
}

Result<json> KubeClient::write(const char* method, const json& object, bool status, const WriteOptions& options) {
  const auto type = type_of(types_, object.is_object() ? object.value("kind", "") : "");
  if (!type) return tl::unexpected(Error{ErrorKind::Invalid, type.error().message});
  const std::string ns = metadata_text(object, "namespace");
  const auto path = std::string_view(method) == "POST" ? Result<std::string>(collection_path(**type, ns))
                                                       : item_path(**type, ns, metadata_text(object, "name"));
  if (!path) return tl::unexpected(path.error());
  HttpsRequest request;
  request.method = method;
  request.target = *path;
  if (status) request.target += "/status";
  add_options(request.target, options);
  request.body = object.dump(-1, ' ', false, json::error_handler_t::replace);
  return call(*requests_, request);
}

Result<json> KubeClient::create(const json& object, const WriteOptions& options) {
  return write("POST", object, false, options);
}

Result<json> KubeClient::update(const json& object, const WriteOptions& options) {
  return write("PUT", object, false, options);
}

Result<json> KubeClient::update_status(const json& object, const WriteOptions& options) {
  return write("PUT", object, true, options);
}

Result<ApplyResult> KubeClient::apply(const json& object, const WriteOptions& options) {
  const auto type = type_of(types_, object.is_object() ? object.value("kind", "") : "");
  if (!type) return tl::unexpected(Error{ErrorKind::Invalid, type.error().message});
  const auto path = item_path(**type, metadata_text(object, "namespace"), metadata_text(object, "name"));
  if (!path) return tl::unexpected(path.error());
  // The answer to an apply does not say whether anything changed: that is seen by what was there before.
  const auto before = call(*requests_, reading(*path));
  if (!before && before.error().kind != ErrorKind::NotFound) return tl::unexpected(before.error());
  HttpsRequest request;
  request.method = "PATCH";
  request.target = *path;
  add_options(request.target, options);
  add_parameter(request.target, "force", "true");
  request.content_type = "application/apply-patch+yaml";
  request.body = object.dump(-1, ' ', false, json::error_handler_t::replace);
  auto after = call(*requests_, request);
  if (!after) return tl::unexpected(after.error());
  const Applied what = !before                                     ? Applied::Created
                       : comparable(*before) == comparable(*after) ? Applied::Unchanged
                                                                   : Applied::Configured;
  return ApplyResult{std::move(*after), what};
}

Result<json> KubeClient::remove(const ObjectKey& key, const Preconditions& preconditions) {
  const auto type = type_of(types_, key.kind);
  if (!type) return tl::unexpected(type.error());
  const auto path = item_path(**type, key.ns, key.name);
  if (!path) return tl::unexpected(path.error());
  HttpsRequest request;
  request.target = *path;
  // What is gone at once is answered with a Status: its last state must be read before.
  auto before = call(*requests_, request);
  if (!before) return before;
  request.method = "DELETE";
  request.body = delete_options(preconditions).dump();
  auto answer = call(*requests_, request);
  if (!answer) return answer;
  return answer->value("kind", "") == "Status" ? std::move(before) : std::move(answer);
}

Result<std::unique_ptr<Watch>> KubeClient::open_watch(const std::string& kind, const ListOptions& options,
                                                      const std::string& resource_version, const char* accept) {
  const auto type = type_of(types_, kind);
  if (!type) return tl::unexpected(type.error());
  std::string target = (*type)->path(url_encoded(options.ns));
  add_parameter(target, "watch", "true");
  add_parameter(target, "allowWatchBookmarks", "true");
  add_parameter(target, "resourceVersion", resource_version);
  add_options(target, options);
  auto lines = watches_->open_lines(reading(target, accept));
  if (!lines) return tl::unexpected(lines.error());
  return make_watch(std::move(*lines));
}

Result<std::unique_ptr<Watch>> KubeClient::watch(const std::string& kind, const ListOptions& options,
                                                 const std::string& resource_version) {
  return open_watch(kind, options, resource_version, kJson);
}

Result<void> KubeClient::record(const EventRecord& event) {
  const auto type = type_of(types_, "Event");
  if (!type) return tl::unexpected(type.error());
  const std::string ns = event.about.ns.empty() ? kDefaultNamespace : event.about.ns;
  HttpsRequest request;
  request.method = "POST";
  request.target = (*type)->path(url_encoded(ns));
  request.body =
      event_object(event, types_.by_kind(event.about.kind), ns).dump(-1, ' ', false, json::error_handler_t::replace);
  const auto answer = call(*requests_, request);
  if (!answer) return within("record event " + event.reason + " of " + to_string(event.about), answer.error());
  return {};
}

Result<json> KubeClient::table(const std::string& kind, const std::string& name, const ListOptions& options) {
  const auto type = type_of(types_, kind);
  if (!type) return tl::unexpected(type.error());
  std::string target = (*type)->path(url_encoded(options.ns));
  if (name.empty()) add_options(target, options);
  if (!name.empty()) target = *item_path(**type, options.ns, name);
  return call(*requests_, reading(target, kTable));
}

Result<std::unique_ptr<Watch>> KubeClient::watch_table(const std::string& kind, const ListOptions& options,
                                                       const std::string& resource_version) {
  return open_watch(kind, options, resource_version, kTable);
}

Result<json> KubeClient::server_version() { return call(*requests_, reading("/version")); }

std::string KubeClient::address() const { return requests_->server(); }

}  // namespace roadstead::kube
