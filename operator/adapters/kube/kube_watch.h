#pragma once

#include <memory>

#include "operator/adapters/kube/https_client.h"
#include "operator/ports/resource_client.h"

namespace roadstead::kube {

/// Lines {"type","object"} as events.
[[nodiscard]] std::unique_ptr<Watch> make_watch(std::unique_ptr<LineReader> lines);

}  // namespace roadstead::kube
