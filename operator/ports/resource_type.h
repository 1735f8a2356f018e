#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/result.h"

namespace roadstead {

/// One kind as a Kubernetes API names it.
struct ResourceType {
  std::string group;  ///< Empty: the core group.
  std::string version;
  std::string kind;
  std::string plural;
  std::string singular;
  std::vector<std::string> short_names;
  bool namespaced = true;

  [[nodiscard]] std::string api_version() const { return group.empty() ? version : group + "/" + version; }
  /// "restorerequests.roadstead.dev", as messages name it.
  [[nodiscard]] std::string qualified_plural() const { return group.empty() ? plural : plural + "." + group; }
  [[nodiscard]] std::string qualified_singular() const { return group.empty() ? singular : singular + "." + group; }
  /// "/apis/roadstead.dev/v1alpha1/namespaces/default/restorerequests[/NAME]"; all namespaces where `ns` is empty.
  [[nodiscard]] std::string path(std::string_view ns, std::string_view name = {}) const;
};

/// The kinds served or asked for: those of the CRDs, and core/v1 Event.
class ResourceTypes {
 public:
  /// From CustomResourceDefinitions; only the version that is stored counts. Errors: Invalid (no such document).
  [[nodiscard]] static Result<ResourceTypes> from_crds(const std::vector<nlohmann::json>& crds);

  [[nodiscard]] const std::vector<ResourceType>& all() const { return types_; }
  /// By "RestoreRequest". Null: unknown.
  [[nodiscard]] const ResourceType* by_kind(std::string_view kind) const;
  [[nodiscard]] const ResourceType* by_plural(std::string_view group, std::string_view version,
                                              std::string_view plural) const;
  /// As people type it: kind, plural, singular or short name in any case, also "plural.group". Null: unknown.
  [[nodiscard]] const ResourceType* by_word(std::string_view word) const;

 private:
  std::vector<ResourceType> types_;
};

}  // namespace roadstead
