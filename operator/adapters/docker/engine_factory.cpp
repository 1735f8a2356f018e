#include "operator/adapters/docker/engine_factory.h"

#include "crds/endpoint.h"
#include "operator/adapters/docker/docker_engine.h"
#include "operator/adapters/docker/unix_transport.h"

namespace roadstead::docker {

Result<std::shared_ptr<Engine>> DockerEngineFactory::make(const EngineEndpoint& endpoint) {
  const auto parsed = crds::parse_endpoint(endpoint.endpoint);
  if (!parsed) return tl::unexpected(parsed.error());
  if (const auto* local = std::get_if<crds::UnixEndpoint>(&*parsed)) return make_engine(make_unix_transport(*local));
  if (!ssh_) return fail(ErrorKind::Invalid, "endpoint {}: ssh is not available in this program", endpoint.endpoint);
  auto transport = ssh_(endpoint);
  if (!transport) return tl::unexpected(transport.error());
  return make_engine(std::move(*transport));
}

std::shared_ptr<Engine> make_engine(std::shared_ptr<Transport> transport) {
  return std::make_shared<DockerEngine>(std::move(transport));
}

}  // namespace roadstead::docker
