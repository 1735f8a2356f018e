#pragma once

#include <memory>

#include "crds/endpoint.h"
#include "operator/ports/transport.h"

namespace roadstead::docker {

/// Connections to a Unix socket of this machine. Does not connect yet.
std::shared_ptr<Transport> make_unix_transport(const crds::UnixEndpoint& endpoint);

}  // namespace roadstead::docker
