#pragma once

#include <memory>

#include "operator/ports/endpoint.h"
#include "operator/ports/transport.h"

namespace roadstead::docker {

/// Connections to a Unix socket of this machine. Does not connect yet.
std::shared_ptr<Transport> make_unix_transport(const UnixEndpoint& endpoint);

}  // namespace roadstead::docker
