#include "crds/endpoint.h"

#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace roadstead::crds {
namespace {

constexpr std::string_view kForms = "unix:///path or ssh://user@host[:port][/path/to/docker.sock]";
constexpr std::size_t kLongestSocketPath = sizeof(sockaddr_un::sun_path) - 1;

bool is_alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool consists_of(std::string_view text, std::string_view others) {
  return std::all_of(text.begin(), text.end(), [&](char c) { return is_alnum(c) || others.find(c) != others.npos; });
}

Result<void> check_socket_path(std::string_view path, std::string_view where) {
  if (path.empty() || path.front() != '/' || path == "/")
    return fail(ErrorKind::Invalid, "endpoint {}: the socket's path must be absolute, like /var/run/docker.sock",
                where);
  if (path.size() > kLongestSocketPath)
    return fail(ErrorKind::Invalid, "endpoint {}: the socket's path is longer than {} bytes", where,
                kLongestSocketPath);
  return {};
}

Result<Endpoint> parse_unix(std::string_view path, std::string_view whole) {
  if (auto ok = check_socket_path(path, whole); !ok) return tl::unexpected(ok.error());
  if (path.find('\0') != path.npos) return fail(ErrorKind::Invalid, "endpoint unix: the path holds a zero byte");
  return UnixEndpoint{std::string(path)};
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

struct HostPort {
  std::string_view host, port;  // port: empty where none is given
  bool bracketed = false;
};

std::optional<HostPort> split_host_port(std::string_view text) {
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == text.npos) return std::nullopt;
    const auto rest = text.substr(close + 1);
    if (!rest.empty() && (rest.front() != ':' || rest.size() == 1)) return std::nullopt;
    return HostPort{text.substr(1, close - 1), rest.empty() ? rest : rest.substr(1), true};
  }
  const auto colon = text.find(':');
  if (colon == text.npos) return HostPort{text, {}, false};
  if (colon + 1 == text.size()) return std::nullopt;
  return HostPort{text.substr(0, colon), text.substr(colon + 1), false};
}

Result<Endpoint> parse_ssh(std::string_view rest) {
  const auto slash = rest.find('/');
  const auto authority = rest.substr(0, slash);
  const auto path = slash == rest.npos ? std::string_view{} : rest.substr(slash);
  const auto at = authority.rfind('@');
  if (at == authority.npos || at == 0)
    return fail(ErrorKind::Invalid, "endpoint ssh://{}: the user is missing, write ssh://user@host", rest);
  const auto user = authority.substr(0, at);
  if (user.find(':') != user.npos)
    return fail(ErrorKind::Invalid, "endpoint ssh://…@{}: a password has no place in it, use identityRef",
                authority.substr(at + 1));
  const auto host = split_host_port(authority.substr(at + 1));
  // The user and the path also go to a shell on the far side: only characters that mean nothing there.
  if (!consists_of(user, "._-") || user.front() == '-')
    return fail(ErrorKind::Invalid, "endpoint ssh://{}: \"{}\" is no user's name", rest, user);
  if (!host || host->host.empty() || host->host.front() == '-' ||
      !consists_of(host->host, host->bracketed ? ":.%-_" : ".-_"))
    return fail(ErrorKind::Invalid, "endpoint ssh://{}: the host cannot be read, expected {}", rest, kForms);
  SshEndpoint endpoint{std::string(user), std::string(host->host), 22, {}};
  if (!host->port.empty()) {
    const auto port = parse_port(host->port);
    if (!port) return fail(ErrorKind::Invalid, "endpoint ssh://{}: \"{}\" is no port (1 to 65535)", rest, host->port);
    endpoint.port = *port;
  }
  if (!path.empty() && path != "/") {
    const auto whole = "ssh://" + std::string(rest);
    if (auto ok = check_socket_path(path, whole); !ok) return tl::unexpected(ok.error());
    if (!consists_of(path, "/._-+@:,"))
      return fail(ErrorKind::Invalid,
                  "endpoint {}: the socket's path may hold letters, digits and / . _ - + @ : , only", whole);
    endpoint.socket_path = path;
  }
  return endpoint;
}

}  // namespace

Result<Endpoint> parse_endpoint(std::string_view text) {
  const auto colon = text.find("://");
  if (colon == text.npos) return fail(ErrorKind::Invalid, "endpoint \"{}\": expected {}", text, kForms);
  const auto scheme = text.substr(0, colon);
  const auto rest = text.substr(colon + 3);
  if (scheme == "unix") return parse_unix(rest, text);
  if (scheme == "ssh") return parse_ssh(rest);
  if (scheme == "tcp" || scheme == "http" || scheme == "https")
    return fail(ErrorKind::Invalid, "endpoint {}: engines behind {}:// are not supported yet, use ssh://user@host",
                text, scheme);
  return fail(ErrorKind::Invalid, "endpoint {}: unknown scheme \"{}\", expected {}", text, scheme, kForms);
}

}  // namespace roadstead::crds
