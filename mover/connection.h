#pragma once

#include <openssl/ssl.h>

#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "mover/files.h"
#include "mover/outcome.h"
#include "mover/session.h"
#include "mover/throttle.h"
#include "mover/wire.h"

namespace roadstead::mover {

/// The pre-shared key of one transfer.
using Key = std::array<unsigned char, 32>;

/// Reads 64 hex digits.
Outcome<Key> parse_key(std::string_view hex);

/// TLS 1.3 with nothing but one pre-shared key: no certificates, no tickets, no early data. Forward secret (the key
/// exchange is ephemeral). Must outlive its connections; does not move, OpenSSL keeps its address.
class Tls {
 public:
  enum class End { Server, Caller };

  Tls(End end, const Key& key, std::string transfer);
  Tls(const Tls&) = delete;
  Tls& operator=(const Tls&) = delete;

  [[nodiscard]] SSL_CTX* context() const { return context_.get(); }
  [[nodiscard]] End end() const { return end_; }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  static int use_session(SSL* ssl, const EVP_MD* md, const unsigned char** id, std::size_t* length, SSL_SESSION** out);
  static int find_session(SSL* ssl, const unsigned char* id, std::size_t length, SSL_SESSION** out);
  [[nodiscard]] SSL_SESSION* make_session(SSL* ssl) const;

  End end_;
  Key key_;
  std::string transfer_;
  std::unique_ptr<SSL_CTX, Free> context_;
};

/// One frame as it arrived; the payload is valid until the next one is received.
struct Frame {
  FrameType type = FrameType::Alive;
  std::span<const std::byte> payload;
};

/// A connection of a session. Used by one thread at a time. Every wait ends when the session is interrupted.
class Connection {
 public:
  /// Takes a connected socket and makes the TLS handshake within `limit`.
  /// HandshakeFailed: the peer has another key or is no mover. ConnectionLost: it went away meanwhile.
  static Outcome<std::unique_ptr<Connection>> establish(Fd socket, const Tls& tls, Session& session,
                                                        std::chrono::milliseconds limit);

  /// Sends bytes that are whole frames.
  Outcome<void> send(std::span<const std::byte> frames);
  Outcome<void> send(FrameType type, std::span<const std::byte> payload = {}) { return send(frame_of(type, payload)); }

  /// Waits for the next frame. A Failure of the peer is returned as this side's failure, with the peer's reason.
  Outcome<Frame> receive();

  /// The same, but ConnectionLost after `limit`.
  Outcome<Frame> receive_within(std::chrono::milliseconds limit);

  /// Something can be read without waiting (or the end of the stream).
  [[nodiscard]] bool readable() const;

  /// Tells the peer why it ends, if a frame can begin now, and waits shortly for it to hear.
  void say_goodbye(const Failure& failure);

  /// From now on what it sends keeps to this limit, which it may share with others; null: none. Outlives it.
  void limit_by(Throttle* throttle) { throttle_ = throttle; }

  /// How long sending has waited so far, for the line or the peer.
  [[nodiscard]] std::chrono::nanoseconds waited() const { return waited_; }
  /// Bytes of frames in both directions.
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

  /// From now on it belongs to another session.
  void attach(Session& session) { session_ = &session; }

  [[nodiscard]] const std::string& peer() const { return peer_; }
  [[nodiscard]] Session::Clock::time_point last_sent() const { return last_sent_; }

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  using Deadline = std::optional<Session::Clock::time_point>;

  Connection(Fd socket, const Tls& tls, Session& session);
  Outcome<void> handshake(const Tls& tls, Deadline deadline);
  Outcome<Frame> receive_until(Deadline deadline);
  Outcome<void> read_exactly(std::span<std::byte> out, Deadline deadline);
  Outcome<void> wait_for(int ssl_result, Deadline deadline);
  void write_in_batches();
  Outcome<void> wait_to_send(int ssl_result);
  Outcome<void> flush();
  Outcome<void> keep_to_limit(std::size_t bytes);
  [[nodiscard]] Failure broken(int ssl_error);

  Fd socket_;
  Session* session_;
  std::string peer_;
  std::unique_ptr<SSL, Free> ssl_;
  Bytes payload_;
  Throttle* throttle_ = nullptr;
  std::chrono::nanoseconds waited_{0};
  std::uint64_t bytes_ = 0;
  bool between_frames_ = false;  ///< Nothing half sent: a frame may begin.
  Session::Clock::time_point last_sent_;
};

}  // namespace roadstead::mover
