// From OpenAPI v3 to SchemaNode: the rules of a structural schema, each refused with its place.
#include <algorithm>
#include <array>
#include <set>
#include <string_view>

#include "crds/json_io.h"
#include "crds/schema/node.h"

namespace roadstead::crds {
namespace {

constexpr int kMaxSchemaDepth = 64;

/// What a node may say about values; all that is allowed inside of oneOf, anyOf, allOf and not.
constexpr std::array<std::string_view, 22> kValueKeywords{
    "enum",     "minimum",  "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength",
    "minItems", "maxItems", "pattern", "format",           "required",         "properties", "items",     "oneOf",
    "anyOf",    "allOf",    "not",     "minProperties",    "maxProperties",    "uniqueItems"};

/// What only the structural part may say.
constexpr std::array<std::string_view, 15> kStructureKeywords{"description",
                                                              "title",
                                                              "example",
                                                              "externalDocs",
                                                              "type",
                                                              "nullable",
                                                              "default",
                                                              "additionalProperties",
                                                              "x-kubernetes-preserve-unknown-fields",
                                                              "x-kubernetes-int-or-string",
                                                              "x-kubernetes-list-type",
                                                              "x-kubernetes-list-map-keys",
                                                              "x-kubernetes-map-type",
                                                              "x-kubernetes-validations",
                                                              "x-kubernetes-embedded-resource"};

/// A compilation that fails ends by this, which never leaves compile_node.
struct Refusal {
  std::string message;
};

template <class... Args>
[[noreturn]] void refuse(const FieldPath& path, fmt::format_string<Args...> text, Args&&... args) {
  const std::string field = path.field();
  throw Refusal{
      fmt::format("{}: {}", field.empty() ? "the root" : field, fmt::format(text, std::forward<Args>(args)...))};
}

const Json* find(const Json& schema, const char* key) {
  const auto found = schema.find(key);
  return found == schema.end() ? nullptr : &*found;
}

bool flag(const Json& schema, const char* key, const FieldPath& path) {
  const Json* value = find(schema, key);
  if (value == nullptr) return false;
  if (!value->is_boolean()) refuse(path, "{} is not a boolean", key);
  return value->get<bool>();
}

std::optional<std::string> string_of(const Json& schema, const char* key, const FieldPath& path) {
  const Json* value = find(schema, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) refuse(path, "{} is not a string", key);
  return value->get<std::string>();
}

std::optional<std::size_t> count_of(const Json& schema, const char* key, const FieldPath& path) {
  const Json* value = find(schema, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number_integer() || (!value->is_number_unsigned() && value->get<std::int64_t>() < 0))
    refuse(path, "{} is not a whole number", key);
  return value->get<std::size_t>();
}

std::optional<Json> number_of(const Json& schema, const char* key, const FieldPath& path) {
  const Json* value = find(schema, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) refuse(path, "{} is not a number", key);
  return *value;
}

std::vector<std::string> strings_of(const Json& schema, const char* key, const FieldPath& path) {
  std::vector<std::string> out;
  const Json* list = find(schema, key);
  if (list == nullptr) return out;
  if (!list->is_array()) refuse(path, "{} is not a list", key);
  for (const Json& value : *list) {
    if (!value.is_string()) refuse(path, "{} is not a list of strings", key);
    out.push_back(value.get<std::string>());
  }
  return out;
}

NodeType type_of(const std::string& name, const FieldPath& path) {
  if (name == "object") return NodeType::Object;
  if (name == "array") return NodeType::Array;
  if (name == "string") return NodeType::String;
  if (name == "integer") return NodeType::Integer;
  if (name == "number") return NodeType::Number;
  if (name == "boolean") return NodeType::Boolean;
  refuse(path, "type \"{}\" is not known", name);
}

SchemaNode compile_structure(const Json& schema, const FieldPath& path, int depth);
SchemaNode compile_junctor(const Json& schema, const SchemaNode& structure, const FieldPath& path, int depth);

void compile_limits(const Json& schema, SchemaNode& node, const FieldPath& path) {
  if (const Json* enums = find(schema, "enum")) {
    if (!enums->is_array() || enums->empty()) refuse(path, "enum is not a list of values");
    node.enums = enums->get<std::vector<Json>>();
  }
  node.minimum = number_of(schema, "minimum", path);
  node.maximum = number_of(schema, "maximum", path);
  node.multiple_of = number_of(schema, "multipleOf", path);
  if (node.multiple_of && node.multiple_of->get<double>() <= 0) refuse(path, "multipleOf is not above zero");
  node.exclusive_minimum = flag(schema, "exclusiveMinimum", path);
  node.exclusive_maximum = flag(schema, "exclusiveMaximum", path);
  node.min_length = count_of(schema, "minLength", path);
  node.max_length = count_of(schema, "maxLength", path);
  node.min_items = count_of(schema, "minItems", path);
  node.max_items = count_of(schema, "maxItems", path);
  node.min_properties = count_of(schema, "minProperties", path);
  node.max_properties = count_of(schema, "maxProperties", path);
  node.required = strings_of(schema, "required", path);
  node.format = string_of(schema, "format", path).value_or("");
  if (flag(schema, "uniqueItems", path)) refuse(path, "uniqueItems is not allowed, use x-kubernetes-list-type: set");
  if (const auto pattern = string_of(schema, "pattern", path)) {
    RE2::Options options;
    options.set_log_errors(false);
    node.pattern = std::make_unique<RE2>(*pattern, options);
    if (!node.pattern->ok()) refuse(path, "pattern {}: {}", *pattern, node.pattern->error());
  }
}

void compile_junctors(const Json& schema, SchemaNode& node, const SchemaNode& structure, const FieldPath& path,
                      int depth) {
  const auto list = [&](const char* key, std::vector<SchemaNode>& out) {
    const Json* branches = find(schema, key);
    if (branches == nullptr) return;
    if (!branches->is_array() || branches->empty()) refuse(path, "{} is not a list of schemas", key);
    for (const Json& branch : *branches) out.push_back(compile_junctor(branch, structure, path, depth + 1));
  };
  list("oneOf", node.one_of);
  list("anyOf", node.any_of);
  list("allOf", node.all_of);
  if (const Json* inner = find(schema, "not"))
    node.none_of = std::make_unique<SchemaNode>(compile_junctor(*inner, structure, path, depth + 1));
}

/// A schema inside of oneOf, anyOf, allOf or not: it may only restrict what `structure`, the node around it, declares.
SchemaNode compile_junctor(const Json& schema, const SchemaNode& structure, const FieldPath& path, int depth) {
  if (depth > kMaxSchemaDepth) refuse(path, "the schema is nested too deeply");
  if (!schema.is_object()) refuse(path, "a schema is not an object");
  SchemaNode node;
  for (const auto& [keyword, unused] : schema.items()) {
    // The one pattern that Kubernetes allows a type in: anyOf integer, string.
    if (keyword == "type" && structure.type == NodeType::IntOrString) continue;
    if (std::ranges::find(kValueKeywords, keyword) == kValueKeywords.end())
      refuse(path, "\"{}\" may not stand inside of oneOf, anyOf, allOf or not", keyword);
  }
  if (structure.type == NodeType::IntOrString)
    if (const auto type = string_of(schema, "type", path)) node.type = type_of(*type, path);
  compile_limits(schema, node, path);
  if (const Json* properties = find(schema, "properties")) {
    if (!properties->is_object()) refuse(path, "properties is not an object");
    for (const auto& [name, inner] : properties->items()) {
      const FieldPath at(path, name);
      const auto declared = structure.properties.find(name);
      if (declared == structure.properties.end())
        refuse(at, "stands inside of oneOf, anyOf, allOf or not, but is not declared outside");
      node.properties.emplace(name, compile_junctor(inner, declared->second, at, depth + 1));
    }
  }
  if (const Json* items = find(schema, "items")) {
    if (!structure.items)
      refuse(path, "items stands inside of oneOf, anyOf, allOf or not, but is not declared outside");
    node.items = std::make_unique<SchemaNode>(compile_junctor(*items, *structure.items, path, depth + 1));
  }
  compile_junctors(schema, node, structure, path, depth);
  return node;
}

void compile_type(const Json& schema, SchemaNode& node, const FieldPath& path) {
  if (flag(schema, "x-kubernetes-embedded-resource", path))
    refuse(path, "x-kubernetes-embedded-resource is not supported");
  node.nullable = flag(schema, "nullable", path);
  node.preserve_unknown = flag(schema, "x-kubernetes-preserve-unknown-fields", path);
  const auto type = string_of(schema, "type", path);
  if (flag(schema, "x-kubernetes-int-or-string", path)) {
    if (type) refuse(path, "has both a type and x-kubernetes-int-or-string");
    node.type = NodeType::IntOrString;
  } else if (type) {
    node.type = type_of(*type, path);
  } else if (!node.preserve_unknown) {
    refuse(path, "has no type");
  }
}

void compile_object(const Json& schema, SchemaNode& node, const FieldPath& path, int depth) {
  const Json* properties = find(schema, "properties");
  const Json* additional = find(schema, "additionalProperties");
  if ((properties || additional) && node.type != NodeType::Object && node.type != NodeType::Any)
    refuse(path, "has properties without being an object");
  if (properties && additional) refuse(path, "has both properties and additionalProperties");
  if (properties) {
    if (!properties->is_object()) refuse(path, "properties is not an object");
    for (const auto& [name, inner] : properties->items())
      node.properties.emplace(name, compile_structure(inner, FieldPath(path, name), depth + 1));
  }
  if (additional == nullptr) return;
  if (additional->is_boolean()) {
    node.any_additional = additional->get<bool>();
  } else {
    node.additional = std::make_unique<SchemaNode>(compile_structure(*additional, FieldPath(path, "*"), depth + 1));
  }
}

void compile_list(const Json& schema, SchemaNode& node, const FieldPath& path, int depth) {
  const Json* items = find(schema, "items");
  if (node.type == NodeType::Array && items == nullptr) refuse(path, "is an array without items");
  if (items) {
    if (node.type != NodeType::Array && node.type != NodeType::Any) refuse(path, "has items without being an array");
    node.items = std::make_unique<SchemaNode>(compile_structure(*items, FieldPath(path, "*"), depth + 1));
  }
  node.map_keys = strings_of(schema, "x-kubernetes-list-map-keys", path);
  const std::string list_type = string_of(schema, "x-kubernetes-list-type", path).value_or("atomic");
  if (list_type == "set") node.list_type = ListType::Set;
  if (list_type == "map") node.list_type = ListType::Map;
  if (list_type != "set" && list_type != "map" && list_type != "atomic")
    refuse(path, "x-kubernetes-list-type \"{}\" is not known", list_type);
  if ((node.list_type == ListType::Map) == node.map_keys.empty())
    refuse(path, "x-kubernetes-list-map-keys belongs to x-kubernetes-list-type: map, and only to it");
  for (const std::string& key : node.map_keys) {
    const auto property = node.items ? node.items->properties.find(key) : decltype(node.properties.find(key)){};
    if (!node.items || property == node.items->properties.end())
      refuse(path, "the key \"{}\" is not a property of its items", key);
    if (!property->second.default_value && std::ranges::find(node.items->required, key) == node.items->required.end())
      refuse(path, "the key \"{}\" is neither required nor has it a default", key);
  }
}

void compile_rules(const Json& schema, SchemaNode& node, const FieldPath& path) {
  const Json* rules = find(schema, "x-kubernetes-validations");
  if (rules == nullptr) return;
  if (!rules->is_array()) refuse(path, "x-kubernetes-validations is not a list");
  for (const Json& rule : *rules) {
    if (!rule.is_object()) refuse(path, "a validation rule is not an object");
    const std::string text = string_of(rule, "rule", path).value_or("");
    if (text != "self == oldSelf")
      refuse(path, "the validation rule \"{}\" is not supported, only \"self == oldSelf\" is", text);
    for (const auto& [key, unused] : rule.items())
      if (key != "rule" && key != "message" && key != "reason")
        refuse(path, "\"{}\" in a validation rule is not supported", key);
    node.immutable = string_of(rule, "message", path).value_or("failed rule: self == oldSelf");
  }
}

void compile_default(const Json& schema, SchemaNode& node, const FieldPath& path) {
  const Json* value = find(schema, "default");
  if (value == nullptr) return;
  Json filled = *value;
  default_node(node, filled);
  std::vector<FieldError> unknown;
  unknown_in_node(node, filled, FieldPath(), false, unknown);
  if (!unknown.empty()) refuse(path, "the default has an {}", unknown.front().message);
  if (const auto errors = validate_node(node, filled, nullptr); !errors.empty())
    refuse(path, "the default is not valid: {}", to_string(errors.front()));
  node.default_value = *value;
}

SchemaNode compile_structure(const Json& schema, const FieldPath& path, int depth) {
  if (depth > kMaxSchemaDepth) refuse(path, "the schema is nested too deeply");
  if (!schema.is_object()) refuse(path, "a schema is not an object");
  for (const auto& [keyword, unused] : schema.items())
    if (std::ranges::find(kValueKeywords, keyword) == kValueKeywords.end() &&
        std::ranges::find(kStructureKeywords, keyword) == kStructureKeywords.end())
      refuse(path, "the keyword \"{}\" is not supported", keyword);
  SchemaNode node;
  compile_type(schema, node, path);
  compile_object(schema, node, path, depth);
  compile_list(schema, node, path, depth);
  compile_limits(schema, node, path);
  compile_junctors(schema, node, node, path, depth);
  compile_rules(schema, node, path);
  compile_default(schema, node, path);
  return node;
}

}  // namespace

Result<std::unique_ptr<SchemaNode>> compile_node(const Json& open_api) {
  try {
    auto root = std::make_unique<SchemaNode>(compile_structure(open_api, FieldPath(), 0));
    if (root->type != NodeType::Object) refuse(FieldPath(), "the type of the whole is not object");
    return root;
  } catch (const Refusal& refusal) {
    return fail(ErrorKind::Invalid, "{}", refusal.message);
  }
}

}  // namespace roadstead::crds
