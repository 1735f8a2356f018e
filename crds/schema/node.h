#pragma once

// Inside of crds/schema only: a compiled schema.

#include <re2/re2.h>

#include <cstdint>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "crds/field_error.h"
#include "operator/base/result.h"

namespace roadstead::crds {

using Json = nlohmann::json;

enum class NodeType { Any, Object, Array, String, Integer, Number, Boolean, IntOrString };
enum class ListType { Atomic, Set, Map };

struct SchemaNode {
  NodeType type = NodeType::Any;
  bool nullable = false;
  bool preserve_unknown = false;
  std::map<std::string, SchemaNode, std::less<>> properties;
  std::unique_ptr<SchemaNode> additional;  ///< Schema of the values of a map.
  bool any_additional = false;             ///< additionalProperties: true
  std::unique_ptr<SchemaNode> items;
  std::vector<std::string> required;
  ListType list_type = ListType::Atomic;
  std::vector<std::string> map_keys;

  std::vector<Json> enums;
  std::optional<Json> minimum, maximum, multiple_of;  ///< Numbers, kept as they were written.
  bool exclusive_minimum = false, exclusive_maximum = false;
  std::optional<std::size_t> min_length, max_length;  ///< Code points.
  std::optional<std::size_t> min_items, max_items, min_properties, max_properties;
  std::unique_ptr<RE2> pattern;
  std::string format;

  std::vector<SchemaNode> one_of, any_of, all_of;
  std::unique_ptr<SchemaNode> none_of;  ///< not

  std::optional<Json> default_value;
  std::optional<std::string> immutable;  ///< The message of the rule `self == oldSelf`.
};

/// Compiles and checks one schema. Errors: Invalid, naming the place.
Result<std::unique_ptr<SchemaNode>> compile_node(const Json& open_api);

std::vector<FieldError> validate_node(const SchemaNode& node, const Json& value, const Json* old);
void default_node(const SchemaNode& node, Json& value);
void prune_node(const SchemaNode& node, Json& value, bool is_root);
void unknown_in_node(const SchemaNode& node, const Json& value, const FieldPath& path, bool is_root,
                     std::vector<FieldError>& out);

}  // namespace roadstead::crds
