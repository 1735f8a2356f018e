#include "operator/adapters/apiserver/tables.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

namespace roadstead::apiserver {
namespace {

using nlohmann::json;

json column(const char* name, const char* description, const char* format = "") {
  return {{"name", name}, {"type", "string"}, {"format", format}, {"description", description}, {"priority", 0}};
}

json event_columns() {
  return json::array({column("Last Seen", "Time since it was seen last."), column("Type", "Normal or Warning."),
                      column("Reason", "One word for programs."), column("Object", "What it is about."),
                      column("Message", "One sentence for people.")});
}

std::string last_seen(const json& event, Time now) {
  for (const char* field : {"lastTimestamp", "eventTime", "firstTimestamp"}) {
    const auto found = event.find(field);
    if (found != event.end() && found->is_string()) return crds::age_of(found->get_ref<const std::string&>(), now);
  }
  return "<unknown>";
}

std::string about(const json& event) {
  const json object = event.value("involvedObject", json::object());
  std::string kind = object.value("kind", "");
  std::transform(kind.begin(), kind.end(), kind.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return kind + "/" + object.value("name", "");
}

json row_object(const json& event, IncludeObject include) {
  if (include == IncludeObject::None) return nullptr;
  if (include == IncludeObject::Object) return event;
  return {{"kind", "PartialObjectMetadata"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", event.value("metadata", json::object())}};
}

json event_table(const std::vector<json>& events, const std::string& resource_version, IncludeObject include,
                 Time now) {
  json rows = json::array();
  for (const json& event : events)
    rows.push_back({{"cells", json::array({last_seen(event, now), event.value("type", ""), event.value("reason", ""),
                                           about(event), event.value("message", "")})},
                    {"object", row_object(event, include)}});
  return {{"kind", "Table"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", {{"resourceVersion", resource_version}}},
          {"columnDefinitions", event_columns()},
          {"rows", std::move(rows)}};
}

}  // namespace

json render_table(const Crds& crds, const std::string& kind, const std::vector<json>& objects,
                  const std::string& resource_version, IncludeObject include, Time now) {
  for (const auto& crd : crds)
    if (crd->kind == kind) return crds::table_for(*crd, objects, now, resource_version, include);
  return event_table(objects, resource_version, include, now);
}

}  // namespace roadstead::apiserver
