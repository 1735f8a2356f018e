#include "crds/schema/crd.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "crds/json_io.h"
#include "crds/schema/metadata.h"
#include "crds/semantic.h"

namespace roadstead::crds {
namespace {

constexpr int kMaxDefinitionDepth = 150;

/// Reads a definition; the first thing that is not as it should be is kept and the rest gives empty values.
class DefinitionReader {
 public:
  std::optional<std::string> problem;

  const Json& object(const Json& parent, const char* key) {
    static const Json kEmpty = Json::object();
    const Json* value = find(parent, key);
    if (value != nullptr && value->is_object()) return *value;
    say(fmt::format("{} is not an object", key));
    return kEmpty;
  }
  const Json& list(const Json& parent, const char* key, bool required) {
    static const Json kEmpty = Json::array();
    const Json* value = find(parent, key);
    if (value != nullptr && value->is_array()) return *value;
    if (value != nullptr || required) say(fmt::format("{} is not a list", key));
    return kEmpty;
  }
  std::string text(const Json& parent, const char* key, bool required = true) {
    const Json* value = find(parent, key);
    if (value != nullptr && value->is_string()) return value->get<std::string>();
    if (value != nullptr || required) say(fmt::format("{} is not a string", key));
    return {};
  }
  std::vector<std::string> texts(const Json& parent, const char* key) {
    std::vector<std::string> out;
    for (const Json& value : list(parent, key, false)) {
      if (value.is_string())
        out.push_back(value.get<std::string>());
      else
        say(fmt::format("{} is not a list of strings", key));
    }
    return out;
  }
  bool is_true(const Json& parent, const char* key) {
    const Json* value = find(parent, key);
    return value != nullptr && value->is_boolean() && value->get<bool>();
  }
  void say(std::string what) {
    if (!problem) problem = std::move(what);
  }

 private:
  static const Json* find(const Json& parent, const char* key) {
    if (!parent.is_object()) return nullptr;
    const auto found = parent.find(key);
    return found == parent.end() ? nullptr : &*found;
  }
};

std::vector<PrinterColumn> read_columns(DefinitionReader& reader, const Json& version) {
  static constexpr std::array<std::string_view, 5> kTypes{"string", "integer", "number", "boolean", "date"};
  std::vector<PrinterColumn> out;
  for (const Json& column : reader.list(version, "additionalPrinterColumns", false)) {
    PrinterColumn read;
    read.name = reader.text(column, "name");
    read.type = reader.text(column, "type");
    read.format = reader.text(column, "format", false);
    read.description = reader.text(column, "description", false);
    if (const auto priority = column.find("priority"); priority != column.end() && priority->is_number_integer())
      read.priority = priority->get<std::int64_t>();
    if (std::ranges::find(kTypes, read.type) == kTypes.end())
      reader.say("column " + read.name + " has an unknown type");
    auto path = JsonPath::parse(reader.text(column, "jsonPath"));
    if (path)
      read.path = std::move(*path);
    else
      reader.say("column " + read.name + ": " + path.error().message);
    out.push_back(std::move(read));
  }
  return out;
}

const Json& stored_version(DefinitionReader& reader, const Json& spec) {
  static const Json kEmpty = Json::object();
  for (const Json& version : reader.list(spec, "versions", true))
    if (reader.is_true(version, "storage") && reader.is_true(version, "served")) return version;
  reader.say("no version is both served and stored");
  return kEmpty;
}

void check_head(const Crd& crd, const Json& object, std::vector<FieldError>& errors) {
  const FieldPath root;
  const auto check = [&](const char* name, const std::string& wanted) {
    const FieldPath at(root, name);
    const auto found = object.find(name);
    if (found == object.end()) {
      errors.push_back(required_value(at));
    } else if (!found->is_string() || found->get_ref<const std::string&>() != wanted) {
      const std::string value =
          found->is_string() ? quoted_value(found->get_ref<const std::string&>()) : std::string(found->type_name());
      errors.push_back(invalid_value(at, value, "must be " + wanted));
    }
  };
  check("apiVersion", crd.api_version());
  check("kind", crd.kind);
}

}  // namespace

Result<std::shared_ptr<const Crd>> load_crd(const Json& definition) {
  if (!definition.is_object()) return fail(ErrorKind::Invalid, "a CustomResourceDefinition is an object");
  if (deeper_than(definition, kMaxDefinitionDepth))
    return fail(ErrorKind::Invalid, "a CustomResourceDefinition is nested too deeply");
  DefinitionReader reader;
  const std::string name = reader.text(reader.object(definition, "metadata"), "name");
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorKind::Invalid, "CustomResourceDefinition {}: {}", name, why);
  };
  if (reader.text(definition, "apiVersion") != "apiextensions.k8s.io/v1" ||
      reader.text(definition, "kind") != "CustomResourceDefinition")
    return refuse("apiVersion and kind are not apiextensions.k8s.io/v1 CustomResourceDefinition");
  const Json& spec = reader.object(definition, "spec");
  const Json& names = reader.object(spec, "names");
  const Json& version = stored_version(reader, spec);
  const Json& open_api = reader.object(reader.object(version, "schema"), "openAPIV3Schema");
  const std::string scope = reader.text(spec, "scope");
  if (scope != "Cluster" && scope != "Namespaced") reader.say("scope is neither Cluster nor Namespaced");
  auto columns = read_columns(reader, version);
  if (reader.problem) return refuse(*reader.problem);
  auto schema = Schema::compile(open_api);
  if (!schema) return refuse("schema: " + schema.error().message);
  auto crd = std::make_shared<Crd>(Crd{.schema = std::move(*schema)});
  crd->group = reader.text(spec, "group");
  crd->version = reader.text(version, "name");
  crd->kind = reader.text(names, "kind");
  crd->plural = reader.text(names, "plural");
  crd->singular = reader.text(names, "singular", false);
  crd->list_kind = reader.text(names, "listKind", false);
  if (crd->list_kind.empty()) crd->list_kind = crd->kind + "List";
  crd->short_names = reader.texts(names, "shortNames");
  crd->categories = reader.texts(names, "categories");
  crd->scope = scope == "Cluster" ? Scope::Cluster : Scope::Namespaced;
  crd->has_status = version.contains("subresources") && reader.object(version, "subresources").contains("status");
  crd->columns = std::move(columns);
  crd->open_api = open_api.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (reader.problem) return refuse(*reader.problem);
  if (name != crd->full_name()) return refuse("its name is not " + crd->full_name());
  return crd;
}

std::vector<FieldError> validate_object(const Crd& crd, const Json& object, const Json* old) {
  std::vector<FieldError> errors;
  if (!object.is_object()) {
    errors.push_back({"", "FieldValueTypeInvalid", "Invalid value: an object is wanted", "", {}});
    return errors;
  }
  check_head(crd, object, errors);
  std::ranges::move(validate_metadata(object, crd.scope), std::back_inserter(errors));
  std::ranges::move(crd.schema.validate(object, old), std::back_inserter(errors));
  if (errors.empty()) errors = check_semantics(object, old);
  return errors;
}

}  // namespace roadstead::crds
