#pragma once

#include <nlohmann/json.hpp>

#include "crds/catalog.h"
#include "operator/adapters/store/admission.h"

namespace roadstead::store {

/// Admission by the compiled CustomResourceDefinitions: unknown fields are refused, defaults filled in, schema,
/// semantics and immutability checked.
class CrdsAdmission final : public Admission {
 public:
  /// `catalog` must outlive this.
  explicit CrdsAdmission(const crds::Catalog& catalog) : catalog_(catalog) {}

  Result<nlohmann::json> admit(const nlohmann::json& incoming, const nlohmann::json* old, bool dry_run) override;
  nlohmann::json prune(nlohmann::json object) override;

 private:
  [[nodiscard]] const crds::Crd* definition_of(const nlohmann::json& object) const;
  const crds::Catalog& catalog_;
};

}  // namespace roadstead::store
