#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "crds/schema/table.h"
#include "operator/base/clock.h"

namespace roadstead::apiserver {

using Crds = std::vector<std::shared_ptr<const crds::Crd>>;
using crds::IncludeObject;

/// A meta.k8s.io/v1 Table of objects of `kind`: the columns of custom resources come from their CRDs, core events have
/// Last Seen, Type, Reason, Object, Message. Ages as of `now`.
[[nodiscard]] nlohmann::json render_table(const Crds& crds, const std::string& kind,
                                          const std::vector<nlohmann::json>& objects,
                                          const std::string& resource_version, IncludeObject include, Time now);

}  // namespace roadstead::apiserver
