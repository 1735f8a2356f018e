#include "crds/schema/schema.h"

#include <utility>

#include "crds/schema/node.h"

namespace roadstead::crds {

Schema::Schema(std::unique_ptr<SchemaNode> root) : root_(std::move(root)) {}
Schema::Schema(Schema&&) noexcept = default;
Schema& Schema::operator=(Schema&&) noexcept = default;
Schema::~Schema() = default;

Result<Schema> Schema::compile(const Json& open_api) {
  auto root = compile_node(open_api);
  if (!root) return tl::unexpected(root.error());
  return Schema(std::move(*root));
}

std::vector<FieldError> Schema::validate(const Json& value, const Json* old) const {
  return validate_node(*root_, value, old);
}

void Schema::apply_defaults(Json& value) const { default_node(*root_, value); }

void Schema::prune(Json& value) const { prune_node(*root_, value, true); }

std::vector<FieldError> Schema::unknown_fields(const Json& value) const {
  std::vector<FieldError> out;
  unknown_in_node(*root_, value, FieldPath(), true, out);
  return out;
}

}  // namespace roadstead::crds
