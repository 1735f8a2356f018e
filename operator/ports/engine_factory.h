#pragma once

#include <functional>
#include <memory>
#include <string>

#include "operator/base/result.h"
#include "operator/ports/engine.h"
#include "operator/ports/transport.h"

namespace roadstead {

/// How one engine is reached, secrets resolved.
struct EngineEndpoint {
  std::string endpoint;     ///< unix:///path | ssh://user@host[:port][/path/to/docker.sock]
  std::string identity;     ///< Private key text (ssh).
  std::string known_hosts;  ///< known_hosts text (ssh); nothing else is ever trusted.
  auto operator<=>(const EngineEndpoint&) const = default;
};

/// Makes the way to an engine of one scheme; does not connect yet. Errors: Invalid.
using TransportFactory = std::function<Result<std::shared_ptr<Transport>>(const EngineEndpoint&)>;

class EngineFactory {
 public:
  virtual ~EngineFactory() = default;
  /// Does not connect yet. Errors: Invalid (the endpoint cannot be read).
  virtual Result<std::shared_ptr<Engine>> make(const EngineEndpoint& endpoint) = 0;
};

}  // namespace roadstead
