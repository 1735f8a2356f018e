#pragma once

#include <memory>

#include "operator/base/result.h"
#include "operator/ports/engine_factory.h"
#include "operator/ports/transport.h"

namespace roadstead::ssh {

/// The way to an engine's socket on another host: one ssh session, made at the first open() and again when it has died,
/// with one channel per stream; a few more sessions where the host allows only so many channels. The host must show the
/// key that stands in `known_hosts`; nothing on this machine (configuration, agent, other known hosts) is looked at.
/// Two ways to the socket, remembered once they work: stream-local forwarding, else `docker system dial-stdio`. Does
/// not connect yet. Errors: Invalid (endpoint, identity or known hosts cannot be read).
Result<std::shared_ptr<Transport>> make_ssh_transport(const EngineEndpoint& endpoint);

}  // namespace roadstead::ssh
