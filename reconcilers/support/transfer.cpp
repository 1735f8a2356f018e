#include "reconcilers/support/transfer.h"

#include "operator/base/hash.h"
#include "reconcilers/support/labels.h"

namespace roadstead::reconcilers {
namespace {

/// The engine's own words for a port that somebody else listens on.
bool says_port_taken(const std::string& message) {
  return message.find("port is already allocated") != std::string::npos ||
         message.find("address already in use") != std::string::npos ||
         message.find("ports are not available") != std::string::npos;
}

std::string port_key() { return std::to_string(kTransferPort) + "/tcp"; }

}  // namespace

std::string transfer_name(const std::string& installation, const ObjectKey& owner, const std::string& item,
                          const std::string& step, int attempt) {
  constexpr std::size_t kLimit = 128;
  return shortened(
      fmt::format("{}/{}/{}/{}/{}/{}/{}", installation, owner.kind, owner.ns, owner.name, item, step, attempt), kLimit);
}

std::string transfer_key(const std::string& installation_secret, const std::string& transfer,
                         const std::string& nonce) {
  constexpr std::size_t kBytes = 32;
  return to_hex(hkdf_sha256(installation_secret, fmt::format("roadstead transfer {} {}", transfer, nonce), kBytes));
}

mover::Link serving_link(const std::string& transfer) {
  mover::Link link;
  link.mode = mover::LinkMode::Serve;
  link.port = kTransferPort;
  link.connections = kTransferConnections;
  link.transfer = transfer;
  return link;
}

mover::Link calling_link(const std::string& transfer, const std::string& address, std::uint16_t port) {
  mover::Link link;
  link.mode = mover::LinkMode::Call;
  link.address = address;
  link.port = port;
  link.connections = kTransferConnections;
  link.transfer = transfer;
  return link;
}

Result<WorkerSeen> ensure_server(Engine& engine, WorkerSpec spec, PortRange ports, const Limits& limits) {
  for (int port = ports.first; port <= ports.last; ++port) {
    spec.container.ports = {{.container = kTransferPort, .host = static_cast<std::uint16_t>(port), .host_ip = {}}};
    auto seen = ensure_worker(engine, spec, limits);
    if (seen || !says_port_taken(seen.error().message)) return seen;
  }
  return fail(ErrorKind::Conflict, "every data port from {} to {} is taken; widen spec.data.ports of the host, or wait",
              ports.first, ports.last);
}

Result<ServerSeen> look_at_server(Engine& engine, const std::string& container, const Limits& limits) {
  auto info = engine.inspect_container(container, limits);
  if (!info) return tl::unexpected(info.error());
  const auto found = info->published_ports.find(port_key());
  if (found == info->published_ports.end())
    return fail(ErrorKind::Conflict, "container {} has no published port", container);
  return ServerSeen{found->second, value_of(info->labels, label::kNonce)};
}

}  // namespace roadstead::reconcilers
