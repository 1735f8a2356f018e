#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "crds/host.h"
#include "operator/ports/engine_factory.h"
#include "operator/ports/resource_client.h"
#include "operator/ports/secrets.h"

namespace roadstead::reconcilers {

/// A Host and the engine that serves it.
struct HostHandle {
  crds::Host host;
  std::shared_ptr<Engine> engine;
};

/// From a Host's name to its engine. Connections are kept while endpoint and secrets stay the same: only a cache, a
/// restart loses nothing. Safe to use from several threads; keeps references to its collaborators, which outlive it.
class Hosts {
 public:
  Hosts(ResourceClient& api, Secrets& secrets, EngineFactory& engines)
      : api_(api), secrets_(secrets), engines_(engines) {}

  /// Errors: NotFound (no such Host), Invalid (its endpoint), and those of its secrets. Does not connect.
  Result<HostHandle> get(const std::string& name);

  /// The credentials of the registry an image comes from; nothing where the Host names none for it.
  Result<std::optional<RegistryCredentials>> credentials_for(const crds::Host& host, const std::string& image);

 private:
  Result<EngineEndpoint> endpoint_of(const crds::Host& host);

  ResourceClient& api_;
  Secrets& secrets_;
  EngineFactory& engines_;
  std::mutex mutex_;  // guards cache_
  std::map<std::string, std::pair<EngineEndpoint, std::shared_ptr<Engine>>> cache_;
};

/// "10022-10031" → {10022, 10031}; "10022" → {10022, 10022}. Errors: Invalid.
struct PortRange {
  std::uint16_t first = 0, last = 0;
};
Result<PortRange> parse_port_range(const std::string& text);

}  // namespace roadstead::reconcilers
