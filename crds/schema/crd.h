#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crds/field_error.h"
#include "crds/json_path.h"
#include "crds/kind.h"
#include "crds/schema/schema.h"
#include "operator/base/result.h"

namespace roadstead::crds {

struct PrinterColumn {
  std::string name;
  std::string type;  ///< string, integer, number, boolean, date
  std::string format;
  std::string description;
  std::int64_t priority = 0;  ///< Above 0: shown with `-o wide` only.
  JsonPath path;
};

/// One CustomResourceDefinition, checked and compiled: all that serving its objects needs.
struct Crd {
  std::string group;
  std::string version;  ///< The one version that is served and stored.
  std::string kind;
  std::string list_kind;
  std::string plural;
  std::string singular;
  std::vector<std::string> short_names;
  std::vector<std::string> categories;
  Scope scope = Scope::Namespaced;
  bool has_status = false;  ///< The status subresource is on.
  std::vector<PrinterColumn> columns;
  std::string open_api;  ///< The schema as JSON text, as it was written.
  Schema schema;

  [[nodiscard]] std::string api_version() const { return group + "/" + version; }
  [[nodiscard]] std::string full_name() const { return plural + "." + group; }  ///< "hosts.roadstead.dev"
};

/// Errors: Invalid, naming the definition and the place. Of several versions the stored one counts; it must be served.
[[nodiscard]] Result<std::shared_ptr<const Crd>> load_crd(const nlohmann::json& definition);

/// All that is wrong with an object as it would be stored, defaults applied: apiVersion and kind, metadata, schema,
/// and, where those found nothing, semantics. With `old`, also what must not change did.
[[nodiscard]] std::vector<FieldError> validate_object(const Crd& crd, const nlohmann::json& object,
                                                      const nlohmann::json* old = nullptr);

/// A definition's file as it was built into the program.
struct EmbeddedCrd {
  std::string_view file;  ///< "host.yaml"
  std::string_view yaml;
};

std::span<const EmbeddedCrd> embedded_crds();

}  // namespace roadstead::crds
