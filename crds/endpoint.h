#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "operator/base/result.h"

namespace roadstead::crds {

struct UnixEndpoint {
  std::string path;  ///< Absolute, short enough for a socket address.
  auto operator<=>(const UnixEndpoint&) const = default;
};

struct SshEndpoint {
  std::string user;
  std::string host;  ///< Name or address, an IPv6 address without its brackets.
  std::uint16_t port = 22;
  std::string socket_path;  ///< The engine's socket on that host; empty: /var/run/docker.sock.
  auto operator<=>(const SshEndpoint&) const = default;
};

using Endpoint = std::variant<UnixEndpoint, SshEndpoint>;

/// Reads "unix:///path" or "ssh://user@host[:port][/path/to/docker.sock]".
/// Errors: Invalid, saying which part is wrong; never repeats a password that somebody put in.
Result<Endpoint> parse_endpoint(std::string_view text);

}  // namespace roadstead::crds
