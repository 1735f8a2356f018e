#pragma once

#include <memory>
#include <vector>

#include "crds/schema/crd.h"
#include "operator/ports/resource_type.h"

namespace roadstead {

/// The CustomResourceDefinitions that this program carries.
struct BuiltInCrds {
  std::vector<std::shared_ptr<const crds::Crd>> compiled;
  ResourceTypes types;
};

/// Read once, at the first call. Throws std::logic_error where one of them is broken: then the build is.
const BuiltInCrds& built_in_crds();

}  // namespace roadstead
