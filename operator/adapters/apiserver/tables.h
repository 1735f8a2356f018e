#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "operator/base/clock.h"
#include "operator/ports/resource_type.h"

namespace roadstead::apiserver {

/// What each row's `object` is.
enum class IncludeObject { None, Metadata, Object };

/// Renders tables: columns of custom resources come from their CRDs, core events have their own.
class TableRenderer {
 public:
  virtual ~TableRenderer() = default;
  /// A meta.k8s.io/v1 Table of `objects`; ages as of `now`.
  [[nodiscard]] virtual nlohmann::json render(const ResourceType& type, const std::vector<nlohmann::json>& objects,
                                              const std::string& resource_version, IncludeObject include,
                                              Time now) const = 0;
};

/// Last Seen, Type, Reason, Object, Message.
[[nodiscard]] nlohmann::json event_table(const std::vector<nlohmann::json>& events, const std::string& resource_version,
                                         IncludeObject include, Time now);

/// A row's `object` as asked for.
[[nodiscard]] nlohmann::json row_object(const nlohmann::json& object, IncludeObject include);

}  // namespace roadstead::apiserver
