#pragma once

#include <memory>

#include "operator/ports/engine_factory.h"

namespace roadstead::docker {

/// Engines behind unix:// by itself, behind ssh:// through the factory it is given. Safe to use from several threads.
class DockerEngineFactory final : public EngineFactory {
 public:
  explicit DockerEngineFactory(TransportFactory ssh) : ssh_(std::move(ssh)) {}
  Result<std::shared_ptr<Engine>> make(const EngineEndpoint& endpoint) override;

 private:
  const TransportFactory ssh_;
};

/// The Engine over any transport; does not connect yet.
std::shared_ptr<Engine> make_engine(std::shared_ptr<Transport> transport);

}  // namespace roadstead::docker
