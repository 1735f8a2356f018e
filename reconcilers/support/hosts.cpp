#include "reconcilers/support/hosts.h"

#include <charconv>

#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers {
namespace {

/// "ghcr.io/vimc/montagu-db:main" → "ghcr.io"; a name without a registry belongs to the engine's default one.
std::string registry_of(const std::string& image) {
  const auto slash = image.find('/');
  if (slash == std::string::npos) return {};
  const std::string first = image.substr(0, slash);
  const bool is_host = first == "localhost" || first.find_first_of(".:") != std::string::npos;
  return is_host ? first : std::string();
}

}  // namespace

Result<PortRange> parse_port_range(const std::string& text) {
  PortRange range;
  const char* end = text.data() + text.size();
  auto read = std::from_chars(text.data(), end, range.first);
  range.last = range.first;
  if (read.ec == std::errc{} && read.ptr != end && *read.ptr == '-')
    read = std::from_chars(read.ptr + 1, end, range.last);
  if (read.ec != std::errc{} || read.ptr != end || range.first == 0 || range.last < range.first)
    return fail(ErrorKind::Invalid, "\"{}\" is no port range such as 10022-10031", text);
  return range;
}

Result<EngineEndpoint> Hosts::endpoint_of(const crds::Host& host) {
  EngineEndpoint endpoint{host.spec.engine.endpoint, {}, {}};
  if (const auto& ref = host.spec.engine.identity_ref) {
    auto value = secrets_.resolve(*ref);
    if (!value) return within("host " + host.metadata.name, value.error());
    endpoint.identity = std::move(*value);
  }
  if (const auto& ref = host.spec.engine.known_hosts_ref) {
    auto value = secrets_.resolve_public(*ref);
    if (!value) return within("host " + host.metadata.name, value.error());
    endpoint.known_hosts = std::move(*value);
  }
  return endpoint;
}

Result<HostHandle> Hosts::get(const std::string& name) {
  auto host = reconcilers::get<crds::Host>(api_, {}, name);
  if (!host) return tl::unexpected(host.error());
  auto endpoint = endpoint_of(*host);
  if (!endpoint) return tl::unexpected(endpoint.error());
  std::lock_guard lock(mutex_);
  auto& slot = cache_[name];
  if (!slot.second || slot.first != *endpoint) {
    auto engine = engines_.make(*endpoint);
    if (!engine) return within("host " + name, engine.error());
    slot = {std::move(*endpoint), std::move(*engine)};
  }
  return HostHandle{std::move(*host), slot.second};
}

Result<std::optional<RegistryCredentials>> Hosts::credentials_for(const crds::Host& host, const std::string& image) {
  const std::string server = registry_of(image);
  for (const auto& registry : host.spec.registries) {
    if (registry.server != server) continue;
    auto password = secrets_.resolve(registry.password_ref);
    if (!password) return within("registry " + server + " of host " + host.metadata.name, password.error());
    return RegistryCredentials{server, registry.username, std::move(*password)};
  }
  return std::nullopt;
}

}  // namespace roadstead::reconcilers
