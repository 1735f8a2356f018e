#pragma once

// How the two movers of a transfer find each other: names, keys, ports.

#include <cstdint>
#include <string>

#include "mover/contract/job.h"
#include "reconcilers/support/hosts.h"
#include "reconcilers/support/worker.h"

namespace roadstead::reconcilers {

/// Inside its container a serving mover listens here; the engine publishes it on one of the host's data ports.
inline constexpr std::uint16_t kTransferPort = 7470;
inline constexpr int kTransferConnections = 4;

/// One attempt of one transfer: both ends get the same. At most 128 bytes.
std::string transfer_name(const std::string& installation, const ObjectKey& owner, const std::string& item,
                          const std::string& step, int attempt);

/// The attempt's key, 64 hex digits: derived, so that no key is stored; of no use for another attempt. The nonce, which
/// stands on the serving container, tells apart objects that were made again under an old name.
std::string transfer_key(const std::string& installation_secret, const std::string& transfer, const std::string& nonce);

mover::Link serving_link(const std::string& transfer);
mover::Link calling_link(const std::string& transfer, const std::string& address, std::uint16_t port);

/// Makes sure the serving worker runs (or has run) with its port published on one of the host's data ports; a port that
/// is taken makes it try the next. Errors: Conflict (every port is taken), and those of ensure_worker().
Result<WorkerSeen> ensure_server(Engine& engine, WorkerSpec spec, PortRange ports, const Limits& limits);

/// A serving worker that runs.
struct ServerSeen {
  std::uint16_t port = 0;  ///< Where it can be reached, on its host.
  std::string nonce;       ///< Its key's.
};
/// Conflict: it has no published port (it does not run any more).
Result<ServerSeen> look_at_server(Engine& engine, const std::string& container, const Limits& limits);

}  // namespace roadstead::reconcilers
