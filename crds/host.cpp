#include "crds/host.h"

#include "crds/common_fields.h"
#include "operator/base/quantity.h"

namespace roadstead::crds {

template <class Io>
void fields(Io& io, EngineAccess& value) {
  io.required("endpoint", value.endpoint);
  io.optional("identityRef", value.identity_ref);
  io.optional("knownHostsRef", value.known_hosts_ref);
}

template <class Io>
void fields(Io& io, DataAccess& value) {
  io.required("address", value.address);
  io.optional("ports", value.ports);
}

template <class Io>
void fields(Io& io, Registry& value) {
  io.required("server", value.server);
  io.required("username", value.username);
  io.required("passwordRef", value.password_ref);
}

template <class Io>
void fields(Io& io, RepositoryAccess& value) {
  io.required("volume", value.volume);
}

template <class Io>
void fields(Io& io, HostSpec& value) {
  io.required("engine", value.engine);
  io.optional("data", value.data);
  io.optional("registries", value.registries);
  io.optional("repository", value.repository);
  io.field("protected", value.is_protected);
}

template <class Io>
void fields(Io& io, DataRoot& value) {
  io.optional("path", value.path);
  io.optional("freeBytes", value.free_bytes);
  io.optional("totalBytes", value.total_bytes);
}

template <class Io>
void fields(Io& io, HostVolume& value) {
  io.required("name", value.name);
  io.optional("driver", value.driver);
  io.optional("sizeBytes", value.size_bytes);
  io.optional("policies", value.policies);
}

template <class Io>
void fields(Io& io, UnfinishedRestore& value) {
  io.required("volume", value.volume);
  io.optional("request", value.request);
  io.optional("phase", value.phase);
}

template <class Io>
void fields(Io& io, HostSummary& value) {
  io.optional("free", value.free);
  io.optional("uncovered", value.uncovered);
}

template <class Io>
void fields(Io& io, HostStatus& value) {
  io.optional("observedGeneration", value.observed_generation);
  io.optional("conditions", value.conditions);
  io.optional("engineVersion", value.engine_version);
  io.optional("apiVersion", value.api_version);
  io.optional("operatingSystem", value.operating_system);
  io.optional("architecture", value.architecture);
  io.optional("storageDriver", value.storage_driver);
  io.optional("memoryBytes", value.memory_bytes);
  io.optional("dataRoot", value.data_root);
  io.optional("volumes", value.volumes);
  io.optional("unfinishedRestores", value.unfinished_restores);
  io.optional("lastSeen", value.last_seen);
  io.optional("summary", value.summary);
}

void refresh_summary(HostStatus& status) {
  status.summary.reset();
  if (!status.data_root || !status.data_root->free_bytes || !status.data_root->total_bytes) return;
  const auto text = [](std::int64_t bytes) {
    return human_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(0, bytes)));
  };
  status.summary = HostSummary{text(*status.data_root->free_bytes) + " of " + text(*status.data_root->total_bytes)};
}

template <>
Result<Host> from_json<Host>(const Json& object) {
  return io::read_object<Host>(object);
}

template <>
Json to_json<Host>(const Host& object) {
  return io::write_object(object);
}

}  // namespace roadstead::crds
