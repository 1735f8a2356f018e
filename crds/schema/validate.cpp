// One walk over schema and value for each of: what is wrong, what is missing, what is too much.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "crds/json_io.h"
#include "crds/schema/metadata.h"
#include "crds/schema/node.h"
#include "operator/base/rfc3339.h"

namespace roadstead::crds {
namespace {

constexpr int kMaxValueDepth = 100;
constexpr std::size_t kMostHints = 20;  // comparing names is slow, and nobody reads more

std::string compact(const Json& value) {
  if (value.is_string()) return quoted_value(value.get_ref<const std::string&>());
  if (value.is_object()) return "\"object\"";
  if (value.is_array()) return "\"array\"";
  return value.dump();
}

bool is_whole(const Json& value) {
  if (value.is_number_integer()) return true;
  if (!value.is_number_float()) return false;
  // Beyond 2^53 a double no longer tells neighbours apart: what is written as 1e16 is no exact number.
  const double number = value.get<double>();
  return number == std::floor(number) && std::abs(number) <= 9007199254740992.0;
}

std::string_view type_name(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "object";
    case Json::value_t::array:
      return "array";
    case Json::value_t::string:
      return "string";
    case Json::value_t::boolean:
      return "boolean";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned:
      return "integer";
    case Json::value_t::number_float:
      return "number";
    case Json::value_t::binary:
    case Json::value_t::discarded:
      return "unknown";
  }
  return "unknown";
}

std::string_view type_name(NodeType type) {
  switch (type) {
    case NodeType::Any:
      return "any";
    case NodeType::Object:
      return "object";
    case NodeType::Array:
      return "array";
    case NodeType::String:
      return "string";
    case NodeType::Integer:
      return "integer";
    case NodeType::Number:
      return "number";
    case NodeType::Boolean:
      return "boolean";
    case NodeType::IntOrString:
      return "integer,string";
  }
  return "any";
}

bool has_type(const Json& value, NodeType type) {
  switch (type) {
    case NodeType::Any:
      return true;
    case NodeType::Object:
      return value.is_object();
    case NodeType::Array:
      return value.is_array();
    case NodeType::String:
      return value.is_string();
    case NodeType::Integer:
      return is_whole(value);
    case NodeType::Number:
      return value.is_number();
    case NodeType::Boolean:
      return value.is_boolean();
    case NodeType::IntOrString:
      return is_whole(value) || value.is_string();
  }
  return true;
}

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

/// -1, 0, 1; exact where both are whole numbers of 64 bits.
int compare(const Json& a, const Json& b) { return a < b ? -1 : b < a ? 1 : 0; }

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + quoted_value(word);
  return out;
}

class Validation {
 public:
  explicit Validation(std::vector<FieldError>& errors) : errors_(errors) {}

  void check(const SchemaNode& node, const Json& value, const Json* old, const FieldPath& path) {
    if (value.is_null() && (node.nullable || node.type == NodeType::Any)) return;
    if (!has_type(value, node.type)) return wrong_type(node, value, path);
    check_enum(node, value, path);
    if (value.is_number()) check_number(node, value, path);
    if (value.is_string()) check_string(node, value.get_ref<const std::string&>(), path);
    if (value.is_array()) check_list(node, value, old, path);
    if (value.is_object()) check_object(node, value, old, path);
    check_junctors(node, value, path);
    if (node.immutable && old != nullptr && *old != value) invalid(path, "", *node.immutable);
  }

 private:
  void add(const FieldPath& path, std::string reason, std::string message, std::string hint = {}) {
    errors_.push_back({path.field(), std::move(reason), std::move(message), path.pointer(), std::move(hint)});
  }
  /// `Invalid value: 0: spec.keep in body <why>`; without a value only the reason follows.
  void invalid(const FieldPath& path, std::string_view value, std::string_view why) {
    if (value.empty()) return add(path, "FieldValueInvalid", fmt::format("Invalid value: {}", why));
    add(path, "FieldValueInvalid", fmt::format("Invalid value: {}: {}", value, why));
  }
  void in_body(const FieldPath& path, const Json& value, std::string_view why) {
    invalid(path, compact(value), fmt::format("{} in body {}", path.field(), why));
  }

  void wrong_type(const SchemaNode& node, const Json& value, const FieldPath& path) {
    std::string hint;
    if (node.type == NodeType::String && (value.is_boolean() || value.is_number()))
      hint = "quote it: \"" + value.dump() + "\"";
    const std::string place = path.field().empty() ? std::string() : path.field() + " in body ";
    add(path, "FieldValueTypeInvalid",
        fmt::format("Invalid value: \"{0}\": {1}must be of type {2}: \"{0}\"", type_name(value), place,
                    type_name(node.type)),
        hint);
  }

  void check_enum(const SchemaNode& node, const Json& value, const FieldPath& path) {
    if (node.enums.empty() || std::ranges::find(node.enums, value) != node.enums.end()) return;
    std::string supported;
    for (const Json& allowed : node.enums) supported += (supported.empty() ? "" : ", ") + compact(allowed);
    add(path, "FieldValueNotSupported",
        fmt::format("Unsupported value: {}: supported values: {}", compact(value), supported));
  }

  void check_number(const SchemaNode& node, const Json& value, const FieldPath& path) {
    if (node.minimum) {
      const int order = compare(value, *node.minimum);
      if (order < 0 || (order == 0 && node.exclusive_minimum))
        in_body(path, value,
                fmt::format("should be greater than {}{}", node.exclusive_minimum ? "" : "or equal to ",
                            node.minimum->dump()));
    }
    if (node.maximum) {
      const int order = compare(value, *node.maximum);
      if (order > 0 || (order == 0 && node.exclusive_maximum))
        in_body(path, value,
                fmt::format("should be less than {}{}", node.exclusive_maximum ? "" : "or equal to ",
                            node.maximum->dump()));
    }
    if (node.multiple_of && std::fmod(value.get<double>(), node.multiple_of->get<double>()) != 0)
      in_body(path, value, fmt::format("should be a multiple of {}", node.multiple_of->dump()));
    if (node.format == "int32" && (compare(value, std::numeric_limits<std::int32_t>::min()) < 0 ||
                                   compare(value, std::numeric_limits<std::int32_t>::max()) > 0))
      in_body(path, value, "must be of type int32");
    const bool is_int64 = node.format == "int64" || node.type == NodeType::Integer;
    constexpr auto kMostInt64 = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    const bool beyond = value.is_number_unsigned() && value.get<std::uint64_t>() > kMostInt64;  // wraps in compare()
    if (is_int64 && (beyond || compare(value, std::numeric_limits<std::int64_t>::min()) < 0 ||
                     compare(value, std::numeric_limits<std::int64_t>::max()) > 0))
      in_body(path, value, "must be of type int64");
  }

  void check_string(const SchemaNode& node, const std::string& value, const FieldPath& path) {
    const std::size_t length = code_points(value);
    if (node.max_length && length > *node.max_length)
      return add(path, "FieldValueTooLong",
                 fmt::format("Too long: may not be more than {} characters", *node.max_length));
    if (node.min_length && length < *node.min_length)
      in_body(path, value, fmt::format("should be at least {} chars long", *node.min_length));
    else if (node.pattern && !RE2::PartialMatch(value, *node.pattern))
      in_body(path, value, fmt::format("should match '{}'", node.pattern->pattern()));
    if (node.format == "date-time" && !parse_rfc3339(value))
      in_body(path, value, fmt::format("must be of type date-time: {}", quoted_value(value)));
    if (node.format == "byte" && !is_base64(value))
      in_body(path, value, fmt::format("must be of type byte: {}", quoted_value(value)));
  }

  static bool is_base64(std::string_view text) {
    if (text.size() % 4 != 0) return false;
    if (text.ends_with("=="))
      text.remove_suffix(2);
    else if (text.ends_with('='))
      text.remove_suffix(1);
    return std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '+' || c == '/'; });
  }

  void check_list(const SchemaNode& node, const Json& value, const Json* old, const FieldPath& path) {
    if (node.max_items && value.size() > *node.max_items)
      return add(path, "FieldValueTooMany",
                 fmt::format("Too many: {}: must have at most {} items", value.size(), *node.max_items));
    if (node.min_items && value.size() < *node.min_items)
      invalid(path, std::to_string(value.size()),
              fmt::format("{} in body should have at least {} items", path.field(), *node.min_items));
    if (!node.items) return;
    check_duplicates(node, value, path);
    for (std::size_t i = 0; i < value.size(); ++i)
      check(*node.items, value[i], old_element(node, value[i], old), FieldPath(path, i));
  }

  /// The values of an item's keys, as one JSON list; what makes it the same item as another.
  static Json identity(const SchemaNode& node, const Json& item) {
    if (node.list_type == ListType::Set) return item;
    Json out = Json::object();
    if (!item.is_object()) return out;
    for (const std::string& key : node.map_keys)
      if (item.contains(key)) out[key] = item[key];
    return out;
  }

  /// Items are followed through a change only where they have a name to be known by.
  static const Json* old_element(const SchemaNode& node, const Json& item, const Json* old) {
    if (node.list_type != ListType::Map || old == nullptr || !old->is_array()) return nullptr;
    const Json wanted = identity(node, item);
    const auto found = std::ranges::find_if(*old, [&](const Json& other) { return identity(node, other) == wanted; });
    return found == old->end() ? nullptr : &*found;
  }

  void check_duplicates(const SchemaNode& node, const Json& value, const FieldPath& path) {
    if (node.list_type == ListType::Atomic) return;
    std::set<Json> seen;
    for (std::size_t i = 0; i < value.size(); ++i) {
      Json key = identity(node, value[i]);
      if (seen.insert(key).second) continue;
      const std::string text =
          key.is_object() ? key.dump(-1, ' ', false, Json::error_handler_t::replace) : compact(key);
      add(FieldPath(path, i), "FieldValueDuplicate", "Duplicate value: " + text);
    }
  }

  void check_object(const SchemaNode& node, const Json& value, const Json* old, const FieldPath& path) {
    for (const std::string& name : node.required)
      if (!value.contains(name)) add(FieldPath(path, name), "FieldValueRequired", "Required value");
    if (node.max_properties && value.size() > *node.max_properties)
      add(path, "FieldValueTooMany",
          fmt::format("Too many: {}: must have at most {} items", value.size(), *node.max_properties));
    if (node.min_properties && value.size() < *node.min_properties)
      invalid(path, std::to_string(value.size()),
              fmt::format("{} in body should have at least {} properties", path.field(), *node.min_properties));
    for (const auto& [name, inner] : value.items()) {
      const auto property = node.properties.find(name);
      const SchemaNode* schema = property != node.properties.end() ? &property->second : node.additional.get();
      if (schema == nullptr) continue;
      const Json* before = old != nullptr && old->is_object() && old->contains(name) ? &(*old)[name] : nullptr;
      check(*schema, inner, before, FieldPath(path, name));
    }
  }

  static bool fits(const SchemaNode& node, const Json& value, const FieldPath& path) {
    std::vector<FieldError> errors;
    Validation(errors).check(node, value, nullptr, path);
    return errors.empty();
  }

  /// The names of a union: every branch asks for exactly one field and nothing else. Empty where it is no such union.
  static std::vector<std::string> union_of(const std::vector<SchemaNode>& branches) {
    std::vector<std::string> names;
    for (const SchemaNode& branch : branches) {
      if (branch.required.size() != 1 || !branch.properties.empty() || !branch.enums.empty() || branch.none_of)
        return {};
      names.push_back(branch.required.front());
    }
    return names;
  }

  void check_one_of(const SchemaNode& node, const Json& value, const FieldPath& path) {
    const auto matching =
        std::ranges::count_if(node.one_of, [&](const SchemaNode& branch) { return fits(branch, value, path); });
    if (matching == 1) return;
    const std::vector<std::string> names = union_of(node.one_of);
    if (names.empty()) {
      return invalid(path, compact(value),
                     fmt::format("{} must validate one and only one schema (oneOf). Found {} valid",
                                 quoted_value(path.field()), matching == 0 ? "none" : "several"));
    }
    std::vector<std::string> set;
    for (const std::string& name : names)
      if (value.contains(name)) set.push_back(name);
    const std::string wanted = names.size() == 1 ? quoted_value(names.front()) + " must be set"
                                                 : fmt::format("exactly one of {} must be set, found {}", joined(names),
                                                               set.empty() ? "none" : joined(set));
    invalid(path, compact(value), wanted);
  }

  void check_junctors(const SchemaNode& node, const Json& value, const FieldPath& path) {
    if (!node.one_of.empty()) check_one_of(node, value, path);
    const auto valid = [&](const SchemaNode& branch) { return fits(branch, value, path); };
    if (!node.any_of.empty() && std::ranges::none_of(node.any_of, valid))
      invalid(path, compact(value),
              fmt::format("{} must validate at least one schema (anyOf)", quoted_value(path.field())));
    for (const SchemaNode& branch : node.all_of) check(branch, value, nullptr, path);
    if (node.none_of && valid(*node.none_of))
      invalid(path, compact(value), fmt::format("{} must not validate the schema (not)", quoted_value(path.field())));
  }

  std::vector<FieldError>& errors_;
};

/// Changes of one character that turn `a` into `b`, counted up to `limit` + 1.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t change = diagonal + (std::tolower(static_cast<unsigned char>(a[i - 1])) ==
                                                     std::tolower(static_cast<unsigned char>(b[j - 1]))
                                                 ? 0U
                                                 : 1U);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

template <class Names>
std::string closest(std::string_view wrong, const Names& names) {
  constexpr std::size_t kLongest = 64;
  if (wrong.size() > kLongest) return {};
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, wrong.size() / 3) + 1;
  for (const auto& name : names) {
    const std::size_t d = distance(wrong, name);
    if (d >= best_distance) continue;
    best = name;
    best_distance = d;
  }
  return best.empty() ? best : "did you mean " + quoted_value(best) + "?";
}

FieldError unknown_field(const FieldPath& path, std::string hint) {
  return {path.field(), std::string(kUnknownField), fmt::format("unknown field \"{}\"", path.field()), path.pointer(),
          std::move(hint)};
}

constexpr std::array<std::string_view, 15> kMetadataFields{
    "name",       "generateName",    "namespace",         "selfLink",      "uid",
    "labels",     "annotations",     "resourceVersion",   "generation",    "creationTimestamp",
    "finalizers", "ownerReferences", "deletionTimestamp", "managedFields", "deletionGracePeriodSeconds"};

bool is_object_head(std::string_view name) { return name == "apiVersion" || name == "kind" || name == "metadata"; }

void unknown_in_metadata(const Json& object, const FieldPath& root, std::vector<FieldError>& out) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) return;
  const FieldPath path(root, "metadata");
  for (const auto& [name, unused] : metadata->items())
    if (std::ranges::find(kMetadataFields, name) == kMetadataFields.end())
      out.push_back(unknown_field(FieldPath(path, name), closest(name, kMetadataFields)));
}

}  // namespace

std::vector<FieldError> validate_node(const SchemaNode& node, const Json& value, const Json* old) {
  std::vector<FieldError> errors;
  if (deeper_than(value, kMaxValueDepth)) {
    errors.push_back({"",
                      "FieldValueInvalid",
                      fmt::format("Invalid value: is nested deeper than {} levels", kMaxValueDepth),
                      "",
                      {}});
    return errors;
  }
  Validation(errors).check(node, value, old, FieldPath());
  return errors;
}

void default_node(const SchemaNode& node, Json& value) {
  if (value.is_object()) {
    for (const auto& [name, schema] : node.properties) {
      const auto found = value.find(name);
      const bool missing = found == value.end() || (found->is_null() && !schema.nullable);
      if (missing && schema.default_value) value[name] = *schema.default_value;
      if (const auto there = value.find(name); there != value.end()) default_node(schema, *there);
    }
    if (node.additional)
      for (auto& [name, inner] : value.items()) default_node(*node.additional, inner);
  }
  if (value.is_array() && node.items)
    for (Json& inner : value) default_node(*node.items, inner);
}

void prune_node(const SchemaNode& node, Json& value, bool is_root) {
  if (value.is_array() && node.items)
    for (Json& inner : value) prune_node(*node.items, inner, false);
  if (!value.is_object() || node.any_additional) return;
  for (auto it = value.begin(); it != value.end();) {
    const auto property = node.properties.find(it.key());
    const SchemaNode* schema = property != node.properties.end() ? &property->second : node.additional.get();
    if (is_root && is_object_head(it.key())) {
      ++it;
    } else if (schema != nullptr) {
      prune_node(*schema, *it, false);
      ++it;
    } else {
      it = node.preserve_unknown ? std::next(it) : value.erase(it);
    }
  }
}

void unknown_in_node(const SchemaNode& node, const Json& value, const FieldPath& path, bool is_root,
                     std::vector<FieldError>& out) {
  if (value.is_array() && node.items)
    for (std::size_t i = 0; i < value.size(); ++i)
      unknown_in_node(*node.items, value[i], FieldPath(path, i), false, out);
  if (!value.is_object() || node.any_additional) return;
  for (const auto& [name, inner] : value.items()) {
    if (is_root && is_object_head(name)) continue;
    const auto property = node.properties.find(name);
    const SchemaNode* schema = property != node.properties.end() ? &property->second : node.additional.get();
    if (schema != nullptr) {
      unknown_in_node(*schema, inner, FieldPath(path, name), false, out);
    } else if (!node.preserve_unknown) {
      std::vector<std::string> known;
      if (out.size() < kMostHints)
        for (const auto& [other, unused] : node.properties) known.push_back(other);
      out.push_back(unknown_field(FieldPath(path, name), closest(name, known)));
    }
  }
  if (is_root) unknown_in_metadata(value, path, out);
}

}  // namespace roadstead::crds
