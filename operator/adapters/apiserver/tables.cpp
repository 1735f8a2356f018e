#include "operator/adapters/apiserver/tables.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "operator/base/quantity.h"
#include "operator/base/rfc3339.h"

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

std::string age(const json& event, Time now) {
  for (const char* field : {"lastTimestamp", "eventTime", "firstTimestamp"}) {
    const auto found = event.find(field);
    if (found == event.end() || !found->is_string()) continue;
    if (const auto time = parse_rfc3339(found->get<std::string>()))
      return human_duration(std::chrono::duration_cast<std::chrono::seconds>(now - *time));
  }
  return "<unknown>";
}

std::string about(const json& event) {
  const json object = event.value("involvedObject", json::object());
  std::string kind = object.value("kind", "");
  std::transform(kind.begin(), kind.end(), kind.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return kind + "/" + object.value("name", "");
}

}  // namespace

json row_object(const json& object, IncludeObject include) {
  switch (include) {
    case IncludeObject::None: return nullptr;
    case IncludeObject::Object: return object;
    case IncludeObject::Metadata: break;
  }
  return {{"kind", "PartialObjectMetadata"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", object.value("metadata", json::object())}};
}

json event_table(const std::vector<json>& events, const std::string& resource_version, IncludeObject include, Time now) {
  json rows = json::array();
  for (const json& event : events)
    rows.push_back({{"cells", json::array({age(event, now), event.value("type", ""), event.value("reason", ""),
                                           about(event), event.value("message", "")})},
                    {"object", row_object(event, include)}});
  return {{"kind", "Table"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", {{"resourceVersion", resource_version}}},
          {"columnDefinitions", event_columns()},
          {"rows", std::move(rows)}};
}

}  // namespace roadstead::apiserver
