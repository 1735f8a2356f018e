#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "crds/schema/crd.h"
#include "operator/adapters/store/admission.h"

namespace roadstead::store {

/// Admission by the compiled CustomResourceDefinitions: unknown fields are refused, defaults filled in, schema,
/// semantics and immutability checked.
class CrdsAdmission final : public Admission {
 public:
  using Definitions = std::vector<std::shared_ptr<const crds::Crd>>;
  explicit CrdsAdmission(Definitions definitions) : definitions_(std::move(definitions)) {}

  Result<nlohmann::json> admit(const nlohmann::json& incoming, const nlohmann::json* old, bool dry_run) override;
  nlohmann::json prune(nlohmann::json object) override;

 private:
  [[nodiscard]] const crds::Crd* definition_of(const nlohmann::json& object) const;
  const Definitions definitions_;
};

}  // namespace roadstead::store
