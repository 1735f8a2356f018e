#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "crds/field_error.h"
#include "operator/base/result.h"

namespace roadstead::crds {

struct SchemaNode;

/// A structural OpenAPI v3 schema as apiextensions.k8s.io/v1 has it, checked and compiled once; safe to share between
/// threads. The root stands for a whole object: apiVersion, kind and metadata belong to validate_metadata().
class Schema {
 public:
  /// Errors: Invalid, naming the place: a schema that is not structural, uses a keyword this program does not know, or
  /// a validation rule other than `self == oldSelf`. Nothing is ever ignored in silence.
  [[nodiscard]] static Result<Schema> compile(const nlohmann::json& open_api);

  Schema(Schema&&) noexcept;
  Schema& operator=(Schema&&) noexcept;
  ~Schema();

  /// Everything that is wrong with `value`, in the order of the schema. With `old`, also what must not change did.
  /// Unknown fields are not errors here.
  [[nodiscard]] std::vector<FieldError> validate(const nlohmann::json& value,
                                                 const nlohmann::json* old = nullptr) const;

  /// Puts in the defaults of absent fields, and of nulls where null is not a value.
  void apply_defaults(nlohmann::json& value) const;

  /// Takes away what the schema does not know.
  void prune(nlohmann::json& value) const;

  /// What prune() would take away: reason kUnknownField, message `unknown field "spec.kep"`, with a hint where a name
  /// is close. Fields of metadata are checked as well.
  [[nodiscard]] std::vector<FieldError> unknown_fields(const nlohmann::json& value) const;

 private:
  explicit Schema(std::unique_ptr<SchemaNode> root);
  std::unique_ptr<SchemaNode> root_;
};

}  // namespace roadstead::crds
