#include "crds/schema/table.h"

#include <nlohmann/json.hpp>

#include "operator/base/quantity.h"
#include "operator/base/rfc3339.h"

namespace roadstead::crds {
namespace {

using Json = nlohmann::json;

std::string compact(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json column_definition(std::string_view name, std::string_view type, std::string_view format,
                       std::string_view description, std::int64_t priority) {
  return {{"name", name}, {"type", type}, {"format", format}, {"description", description}, {"priority", priority}};
}

const PrinterColumn& age_column() {
  static const PrinterColumn kAge = [] {
    PrinterColumn age;
    age.name = "Age";
    age.type = "date";
    age.description = "Time since the object was made.";
    if (auto path = JsonPath::parse(".metadata.creationTimestamp")) age.path = std::move(*path);
    return age;
  }();
  return kAge;
}

std::vector<const PrinterColumn*> columns_of(const Crd& crd) {
  std::vector<const PrinterColumn*> out;
  for (const PrinterColumn& column : crd.columns) out.push_back(&column);
  if (out.empty()) out.push_back(&age_column());
  return out;
}

Json embedded(const Json& object, IncludeObject include) {
  if (include == IncludeObject::None) return nullptr;
  if (include == IncludeObject::Object) return object;
  Json metadata = object.contains("metadata") ? object["metadata"] : Json::object();
  return {{"kind", "PartialObjectMetadata"}, {"apiVersion", "meta.k8s.io/v1"}, {"metadata", std::move(metadata)}};
}

}  // namespace

std::string age_of(std::string_view text, Time now) {
  const auto time = parse_rfc3339(text);
  if (!time) return "<invalid>";
  const auto age = std::chrono::floor<std::chrono::seconds>(now - *time);
  // Clocks of two machines differ a little; what lies further ahead has no age.
  if (age < std::chrono::seconds{-1}) return "<invalid>";
  return human_duration(age);
}

Json table_cell(const PrinterColumn& column, const Json& object, Time now) {
  const Json* value = column.path.first(object);
  if (value == nullptr || value->is_null()) return nullptr;
  if (column.type == "integer") return value->is_number_integer() ? *value : Json();
  if (column.type == "number") return value->is_number() ? *value : Json();
  if (column.type == "boolean") return value->is_boolean() ? *value : Json();
  if (column.type == "date")
    return value->is_string() ? Json(age_of(value->get_ref<const std::string&>(), now)) : Json("<invalid>");
  return value->is_string() ? *value : Json(compact(*value));
}

Json table_for(const Crd& crd, std::span<const Json> objects, Time now, std::string_view resource_version,
               IncludeObject include) {
  const auto columns = columns_of(crd);
  Json definitions = Json::array();
  definitions.push_back(
      column_definition("Name", "string", "name", "Name of the object, unique among its kind and namespace.", 0));
  for (const PrinterColumn* column : columns)
    definitions.push_back(
        column_definition(column->name, column->type, column->format, column->description, column->priority));
  static const JsonPath kName = JsonPath::parse(".metadata.name").value_or(JsonPath{});
  Json rows = Json::array();
  for (const Json& object : objects) {
    const Json* name = kName.first(object);
    Json cells = Json::array({name == nullptr ? Json() : *name});
    for (const PrinterColumn* column : columns) cells.push_back(table_cell(*column, object, now));
    rows.push_back({{"cells", std::move(cells)}, {"object", embedded(object, include)}});
  }
  return {{"kind", "Table"},
          {"apiVersion", "meta.k8s.io/v1"},
          {"metadata", {{"resourceVersion", resource_version}}},
          {"columnDefinitions", std::move(definitions)},
          {"rows", std::move(rows)}};
}

}  // namespace roadstead::crds
