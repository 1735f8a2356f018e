#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "crds/endpoint.h"
#include "operator/adapters/ssh/handles.h"
#include "operator/base/result.h"
#include "operator/ports/fd_stream.h"

struct addrinfo;

namespace roadstead::ssh {

struct Settings {
  crds::SshEndpoint endpoint;
  std::string identity;     ///< Private key, text.
  std::string known_hosts;  ///< Text; nothing else is trusted.
  std::string name;         ///< For errors: "ssh://user@host:22".
  /// Silence before a keep-alive, and between two.
  std::chrono::milliseconds quiet_before_asking{5'000};
  /// Silence after which the host is taken for gone; two keep-alives stay unanswered in it.
  std::chrono::milliseconds quiet_before_dead{15'000};
};

/// The private key in `identity`. Errors: Invalid.
Result<KeyHandle> read_identity(const std::string& identity);

/// A connection to the first of the addresses that takes one. Each gets its share of the time that is left, so that one
/// that is silent (a name with an IPv6 address that leads nowhere) does not use up the time of the next.
Result<UniqueFd> connect_to_first(const addrinfo* addresses, const Settings& settings,
                                  std::chrono::milliseconds at_most, const std::stop_token& stop);

/// A non-blocking session, host key verified, logged in. The thread that calls it owns the session from then on.
/// Errors: Unavailable (not reached, or lost on the way), Forbidden (host key or identity refused; says what to do),
/// Cancelled within a millisecond (but for the resolution of the host's name).
Result<SessionHandle> connect(const Settings& settings, std::chrono::milliseconds at_most, const std::stop_token& stop);

}  // namespace roadstead::ssh
