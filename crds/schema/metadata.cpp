#include "crds/schema/metadata.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <nlohmann/json.hpp>

namespace roadstead::crds {
namespace {

using Json = nlohmann::json;
using Errors = std::vector<FieldError>;

constexpr std::size_t kMaxName = 253;
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxAnnotations = std::size_t{256} << 10;  // bytes of all keys and values together

constexpr const char* kSubdomain = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
constexpr const char* kLabel = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
constexpr const char* kQualified = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?";

constexpr std::string_view kNameRule =
    "a name consists of lower case letters, digits, '-' or '.', and begins and ends with a letter or digit (253 at "
    "most)";
constexpr std::string_view kNamespaceRule =
    "a namespace consists of lower case letters, digits or '-', and begins and ends with a letter or digit (63 at "
    "most)";

bool matches(std::string_view text, const char* pattern) {
  return RE2::FullMatch(re2::StringPiece(text.data(), text.size()), pattern);
}

bool is_qualified_name(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string_view name = slash == text.npos ? text : text.substr(slash + 1);
  if (slash != text.npos && !is_object_name(text.substr(0, slash))) return false;
  return name.size() <= kMaxLabel && matches(name, kQualified);
}

void type_error(const FieldPath& path, const Json& value, std::string_view wanted, Errors& errors) {
  std::string hint;
  if (wanted == "string" && (value.is_boolean() || value.is_number())) hint = "quote it: \"" + value.dump() + "\"";
  errors.push_back({path.field(), "FieldValueTypeInvalid",
                    fmt::format("Invalid value: \"{0}\": {1} in body must be of type {2}: \"{0}\"",
                                value.is_number() ? "number" : value.type_name(), path.field(), wanted),
                    path.pointer(), hint});
}

/// The string `key` of metadata, or null; something else than a string is an error.
const std::string* string_field(const Json& metadata, const char* key, const FieldPath& path, Errors& errors) {
  const auto found = metadata.find(key);
  if (found == metadata.end() || found->is_null()) return nullptr;
  if (found->is_string()) return &found->get_ref<const std::string&>();
  type_error(FieldPath(path, key), *found, "string", errors);
  return nullptr;
}

void check_name(const Json& metadata, const FieldPath& path, Errors& errors) {
  const std::size_t before = errors.size();
  const std::string* name = string_field(metadata, "name", path, errors);
  const std::string* prefix = string_field(metadata, "generateName", path, errors);
  if (errors.size() > before) return;
  const bool named = name != nullptr && !name->empty();
  const bool generated = prefix != nullptr && !prefix->empty();
  if (!named && !generated)
    errors.push_back(required_value(FieldPath(path, "name"), "name or generateName is required"));
  if (named && !is_object_name(*name))
    errors.push_back(invalid_value(FieldPath(path, "name"), quoted_value(*name), kNameRule));
  if (generated && !named && !is_object_name(*prefix + "x"))
    errors.push_back(invalid_value(FieldPath(path, "generateName"), quoted_value(*prefix), kNameRule));
}

void check_namespace(const Json& metadata, Scope scope, const FieldPath& path, Errors& errors) {
  const std::string* ns = string_field(metadata, "namespace", path, errors);
  if (ns == nullptr || ns->empty()) return;
  const FieldPath at(path, "namespace");
  if (scope == Scope::Cluster) {
    errors.push_back({at.field(), "FieldValueForbidden", "Forbidden: not allowed on this type", at.pointer(), {}});
  } else if (!is_namespace_name(*ns)) {
    errors.push_back(invalid_value(at, quoted_value(*ns), kNamespaceRule));
  }
}

void check_labels(const Json& metadata, const char* field, const FieldPath& path, Errors& errors) {
  const auto found = metadata.find(field);
  if (found == metadata.end() || found->is_null()) return;
  const FieldPath at(path, field);
  if (!found->is_object()) return type_error(at, *found, "object", errors);
  const bool labels = std::string_view(field) == "labels";
  std::size_t bytes = 0;
  for (const auto& [key, value] : found->items()) {
    const FieldPath entry(at, key);
    if (!is_qualified_name(key))
      errors.push_back(invalid_value(
          entry, quoted_value(key),
          "a key is a name of at most 63 letters, digits, '-', '_' or '.', with an optional DNS prefix and '/'"));
    if (!value.is_string()) {
      type_error(entry, value, "string", errors);
      continue;
    }
    const auto& text = value.get_ref<const std::string&>();
    bytes += key.size() + text.size();
    if (labels && !text.empty() && (text.size() > kMaxLabel || !matches(text, kQualified)))
      errors.push_back(invalid_value(entry, quoted_value(text),
                                     "a label's value consists of at most 63 letters, digits, '-', '_' or '.', and "
                                     "begins and ends with a letter or digit"));
  }
  if (!labels && bytes > kMaxAnnotations)
    errors.push_back({at.field(),
                      "FieldValueTooLong",
                      fmt::format("Too long: may not be more than {} bytes", kMaxAnnotations),
                      at.pointer(),
                      {}});
}

void check_finalizers(const Json& metadata, const FieldPath& path, Errors& errors) {
  const auto found = metadata.find("finalizers");
  if (found == metadata.end() || found->is_null()) return;
  const FieldPath at(path, "finalizers");
  if (!found->is_array()) return type_error(at, *found, "array", errors);
  for (std::size_t i = 0; i < found->size(); ++i) {
    const Json& value = (*found)[i];
    if (!value.is_string()) {
      type_error(FieldPath(at, i), value, "string", errors);
    } else if (!is_qualified_name(value.get_ref<const std::string&>())) {
      errors.push_back(invalid_value(FieldPath(at, i), quoted_value(value.get_ref<const std::string&>()),
                                     "a finalizer is a qualified name such as roadstead.dev/slot"));
    }
  }
}

/// Whoever reads objects into values needs all four: one that lacks them would be unreadable to every program.
void check_owner(const Json& owner, const FieldPath& path, Errors& errors) {
  if (!owner.is_object()) return type_error(path, owner, "object", errors);
  for (const char* key : {"apiVersion", "kind", "name", "uid"}) {
    const std::size_t before = errors.size();
    const std::string* text = string_field(owner, key, path, errors);
    if (errors.size() == before && (text == nullptr || text->empty()))
      errors.push_back(required_value(FieldPath(path, key)));
  }
  for (const char* key : {"controller", "blockOwnerDeletion"})
    if (const auto found = owner.find(key); found != owner.end() && !found->is_null() && !found->is_boolean())
      type_error(FieldPath(path, key), *found, "boolean", errors);
}

void check_owners(const Json& metadata, const FieldPath& path, Errors& errors) {
  const auto found = metadata.find("ownerReferences");
  if (found == metadata.end() || found->is_null()) return;
  const FieldPath at(path, "ownerReferences");
  if (!found->is_array()) return type_error(at, *found, "array", errors);
  for (std::size_t i = 0; i < found->size(); ++i) check_owner((*found)[i], FieldPath(at, i), errors);
}

}  // namespace

bool is_object_name(std::string_view text) { return text.size() <= kMaxName && matches(text, kSubdomain); }

bool is_namespace_name(std::string_view text) { return text.size() <= kMaxLabel && matches(text, kLabel); }

std::vector<FieldError> validate_metadata(const Json& object, Scope scope) {
  Errors errors;
  const FieldPath root, path(root, "metadata");
  const auto found = object.find("metadata");
  if (found == object.end() || found->is_null()) {
    errors.push_back(required_value(FieldPath(path, "name"), "name or generateName is required"));
    return errors;
  }
  if (!found->is_object()) {
    type_error(path, *found, "object", errors);
    return errors;
  }
  check_name(*found, path, errors);
  check_namespace(*found, scope, path, errors);
  check_labels(*found, "labels", path, errors);
  check_labels(*found, "annotations", path, errors);
  check_finalizers(*found, path, errors);
  check_owners(*found, path, errors);
  return errors;
}

}  // namespace roadstead::crds
