#pragma once

#include <memory>
#include <vector>

#include "mover/connection.h"
#include "mover/contract/job.h"

namespace roadstead::mover {

/// The connections of a session, the first one first. Their Tls lives as long as they do.
struct Linked {
  std::unique_ptr<Tls> tls;
  std::vector<std::unique_ptr<Connection>> connections;
};

/// Waits for the session a key is good for: the first connection that knows it says how many there are, exactly that
/// many are accepted, then nobody listens any more. Connections that fail the handshake change nothing.
class Listener {
 public:
  static Outcome<Listener> open(const Link& link);

  [[nodiscard]] std::uint16_t port() const { return port_; }

  /// Failures: ListenExpired (nobody came within link.wait_seconds), ConnectionLost (not all of them came), or the
  /// session's interruption.
  Outcome<Linked> accept(const Link& link, const Key& key, Purpose purpose, Side side, Session& session) &&;

 private:
  Listener(Fd socket, std::uint16_t port) : socket_(std::move(socket)), port_(port) {}
  Fd socket_;
  std::uint16_t port_;
};

/// Makes the session's connections. While nobody listens it tries again until link.wait_seconds are over.
/// Failures: Unreachable, HandshakeFailed, what the server answers (RoleMismatch, KeyUsed, VersionMismatch).
Outcome<Linked> call(const Link& link, const Key& key, Purpose purpose, Side side, Session& session);

/// Either, by the link's mode.
Outcome<Linked> meet(const Link& link, const Key& key, Purpose purpose, Side side, Session& session);

}  // namespace roadstead::mover
