#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "mover/files.h"
#include "mover/outcome.h"
#include "mover/session.h"

namespace roadstead::mover {

/// "192.0.2.7:10022" of the other end of a connected socket; "a peer" where it cannot be told.
std::string peer_of(int socket);

/// A socket that listens. `address` empty: on all addresses, IPv6 and IPv4. `port` 0: any free one.
Outcome<Fd> listen_on(const std::string& address, std::uint16_t port);

/// The port a listening socket got.
std::uint16_t port_of(int socket);

/// Connects to the first of the name's addresses that answers, trying each for at most `limit`.
/// Failures: Unreachable (may work later), or why the session was interrupted.
Outcome<Fd> connect_to(const std::string& address, std::uint16_t port, std::chrono::milliseconds limit,
                       const Session& session);

}  // namespace roadstead::mover
