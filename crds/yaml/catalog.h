#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "crds/schema/crd.h"

namespace roadstead::crds {

/// The kinds that are known, by each of their names. Filled before it is shared between threads.
class Catalog {
 public:
  /// Errors: AlreadyExists (the kind or the plural is taken).
  [[nodiscard]] Result<void> add(std::shared_ptr<const Crd> crd);

  /// Null where it is not known. `api_version` is "roadstead.dev/v1alpha1".
  [[nodiscard]] const Crd* find(std::string_view api_version, std::string_view kind) const;
  [[nodiscard]] const Crd* find_resource(std::string_view group, std::string_view version,
                                         std::string_view plural) const;
  /// What a person may call it: kind, plural, singular (in any case) or short name, with or without ".group".
  [[nodiscard]] const Crd* find_by_name(std::string_view name) const;

  [[nodiscard]] const std::vector<std::shared_ptr<const Crd>>& all() const { return crds_; }

 private:
  std::vector<std::shared_ptr<const Crd>> crds_;
};

/// The kinds of embedded_crds(). Errors: Internal (the program was built from broken files).
[[nodiscard]] Result<Catalog> builtin_catalog();

/// Adds every definition of a YAML text, for kinds that are not ours. Errors: Invalid with file and line,
/// AlreadyExists.
[[nodiscard]] Result<void> add_definitions(Catalog& catalog, std::string_view text, std::string_view source_name);

}  // namespace roadstead::crds
