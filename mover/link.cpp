#include "mover/link.h"

#include <openssl/rand.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <list>
#include <mutex>
#include <thread>

#include "mover/address.h"
#include "operator/base/log.h"

namespace roadstead::mover {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kHandshakeLimit = 10s;  ///< TLS and greeting of one connection.
constexpr std::chrono::milliseconds kOthersLimit = 15s;     ///< From the first connection to the last.
/// Both ends are started at the same time: the first calls come soon after each other, later ones more and more seldom.
constexpr std::chrono::milliseconds kFirstCallAgain = 10ms;
constexpr std::chrono::milliseconds kCallAgain = 250ms;
constexpr std::size_t kMaxShakingHands = 64;  ///< At once; more are closed unheard.

Side other(Side side) { return side == Side::Send ? Side::Receive : Side::Send; }

/// The connections that have come so far, and what they agreed on.
class Gathering {
 public:
  Gathering(Purpose purpose, Side side, Session& session) : purpose_(purpose), side_(side), session_(session) {}

  /// Takes the connection if it belongs to the session; else it stays the caller's, to be told why.
  Outcome<void> join(std::unique_ptr<Connection>& connection, const Hello& hello) {
    const std::lock_guard lock(mutex_);
    if (hello.purpose != purpose_ || (purpose_ == Purpose::Copy && hello.side != other(side_)))
      return failed("RoleMismatch", "both movers were given the same part, or different verbs",
                    "give one of the two jobs the role Send and the other Receive");
    if (joined_ == 0) {
      id_ = hello.session;
      connections_.clear();
      connections_.resize(hello.connections);
    }
    if (hello.session != id_ || hello.connections != connections_.size() || connections_[hello.index])
      return failed("KeyUsed", "the key of this transfer is in use by another session",
                    "start the step again, which makes a new key");
    if (auto welcomed = connection->send(FrameType::Welcome); !welcomed) return welcomed;
    connection->attach(session_);
    connections_[hello.index] = std::move(connection);
    ++joined_;
    return {};
  }

  [[nodiscard]] bool begun() const {
    const std::lock_guard lock(mutex_);
    return joined_ > 0;
  }

  [[nodiscard]] bool complete() const {
    const std::lock_guard lock(mutex_);
    return joined_ > 0 && joined_ == connections_.size();
  }

  std::vector<std::unique_ptr<Connection>> take() {
    const std::lock_guard lock(mutex_);
    return std::move(connections_);
  }

 private:
  Purpose purpose_;
  Side side_;
  Session& session_;
  mutable std::mutex mutex_;  // guards what follows
  SessionId id_{};
  std::vector<std::unique_ptr<Connection>> connections_;  ///< By index; empty places have not come yet.
  std::size_t joined_ = 0;
};

/// One accepted socket's way into the gathering.
Outcome<void> welcome(Fd socket, const Tls& tls, Session& shaking, Gathering& gathering) {
  auto connection = Connection::establish(std::move(socket), tls, shaking, kHandshakeLimit);
  if (!connection) return failed(connection.error());
  const auto frame = (*connection)->receive_within(kHandshakeLimit);
  if (!frame) return failed(frame.error());
  if (frame->type != FrameType::Hello) return failed(protocol_error("the peer did not greet"));
  const auto hello = decode_hello(frame->payload);
  auto joined = hello ? gathering.join(*connection, *hello) : failed(hello.error());
  if (!joined) (*connection)->say_goodbye(joined.error());
  return joined;
}

/// Lets every accepted socket try on a thread of its own, so that a slow or false peer holds up nobody. Whoever is
/// still at it in the end is interrupted.
class Greeters {
 public:
  Greeters(const Tls& tls, Gathering& gathering) : tls_(tls), gathering_(gathering) {}
  ~Greeters() { stop_.request_stop(); }

  void greet(Fd socket) {
    std::erase_if(greeters_, [](const Greeter& greeter) { return greeter.done.load(); });
    if (greeters_.size() >= kMaxShakingHands) return;
    Greeter& greeter = greeters_.emplace_back();
    greeter.thread = std::jthread([this, &greeter, accepted = std::move(socket)]() mutable {
      const std::string peer = peer_of(accepted.get());
      if (const auto joined = welcome(std::move(accepted), tls_, shaking_, gathering_); !joined) {
        ++refused_;
        log_warning("a connection was refused", {{"peer", peer}, {"why", joined.error().message}});
      }
      greeter.done.store(true);
    });
  }

  [[nodiscard]] std::size_t refused() const { return refused_.load(); }

 private:
  struct Greeter {
    std::atomic<bool> done{false};
    std::jthread thread;
  };

  const Tls& tls_;
  Gathering& gathering_;
  std::stop_source stop_;
  Session shaking_{stop_.get_token(), std::chrono::hours(24)};  ///< Each handshake has its own limit.
  std::atomic<std::size_t> refused_{0};
  std::list<Greeter> greeters_;  ///< Last: joined first.
};

}  // namespace

Outcome<Listener> Listener::open(const Link& link) {
  auto socket = listen_on(link.address, link.port);
  if (!socket) return failed(socket.error());
  const std::uint16_t port = port_of(socket->get());
  return Listener(std::move(*socket), port);
}

Outcome<Linked> Listener::accept(const Link& link, const Key& key, Purpose purpose, Side side, Session& session) && {
  Linked linked{std::make_unique<Tls>(Tls::End::Server, key, link.transfer), {}};
  Gathering gathering(purpose, side, session);
  Greeters greeters(*linked.tls, gathering);
  auto deadline = Session::Clock::now() + std::chrono::seconds(link.wait_seconds);
  bool begun = false;
  while (!gathering.complete()) {
    if (auto why = session.interruption()) return failed(std::move(*why));
    if (!begun && gathering.begun()) {
      begun = true;
      deadline = Session::Clock::now() + kOthersLimit;
    }
    if (Session::Clock::now() > deadline) {
      if (begun) return failed(connection_lost("not all of the caller's connections came"));
      return failed("ListenExpired",
                    fmt::format("nobody called port {} within {} s ({} connections were refused)", port_,
                                link.wait_seconds, greeters.refused()),
                    "check that the calling mover ran and could reach this port, then run the step again");
    }
    pollfd poll{socket_.get(), POLLIN, 0};
    if (::poll(&poll, 1, 20) <= 0) continue;
    Fd socket(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (socket) greeters.greet(std::move(socket));
  }
  socket_.reset();
  linked.connections = gathering.take();
  return linked;
}

namespace {

/// One try: connect, shake hands, greet, be welcomed.
Outcome<std::unique_ptr<Connection>> call_once(const Link& link, const Tls& tls, const Hello& hello, Session& session) {
  auto socket = connect_to(link.address, link.port, kHandshakeLimit, session);
  if (!socket) return failed(socket.error());
  auto connection = Connection::establish(std::move(*socket), tls, session, kHandshakeLimit);
  if (!connection) return connection;
  if (auto sent = (*connection)->send(FrameType::Hello, encode(hello)); !sent) return failed(sent.error());
  const auto frame = (*connection)->receive_within(kHandshakeLimit);
  if (!frame) return failed(frame.error());
  if (frame->type != FrameType::Welcome) return failed(protocol_error("the peer did not answer the greeting"));
  return connection;
}

bool may_come_later(const Failure& failure) {
  // A published port accepts before the program behind it listens, and closes again.
  return failure.reason == "Unreachable" || failure.reason == "ConnectionLost";
}

void pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  const auto until = Session::Clock::now() + time;
  while (!stop.stop_requested() && Session::Clock::now() < until) std::this_thread::sleep_for(20ms);
}

}  // namespace

Outcome<Linked> call(const Link& link, const Key& key, Purpose purpose, Side side, Session& session) {
  Linked linked{std::make_unique<Tls>(Tls::End::Caller, key, link.transfer), {}};
  Hello hello{.purpose = purpose, .side = side, .connections = static_cast<std::uint8_t>(link.connections)};
  if (RAND_bytes(reinterpret_cast<unsigned char*>(hello.session.data()), static_cast<int>(hello.session.size())) != 1)
    return failed("SystemError", "the system's random generator failed", "look at the host");
  const auto deadline = Session::Clock::now() + std::chrono::seconds(link.wait_seconds);
  auto again = kFirstCallAgain;
  while (linked.connections.size() < hello.connections) {
    hello.index = static_cast<std::uint8_t>(linked.connections.size());
    auto connection = call_once(link, *linked.tls, hello, session);
    if (connection) {
      linked.connections.push_back(std::move(*connection));
      continue;
    }
    if (session.stop().stop_requested()) return failed(cancelled());
    // Only the first is tried again: once it stands, the server is there.
    if (hello.index > 0 || !may_come_later(connection.error()) || Session::Clock::now() + again > deadline)
      return failed(connection.error());
    pause(again, session.stop());
    again = std::min(2 * again, kCallAgain);
  }
  return linked;
}

Outcome<Linked> meet(const Link& link, const Key& key, Purpose purpose, Side side, Session& session) {
  if (link.mode == LinkMode::Call) return call(link, key, purpose, side, session);
  auto listener = Listener::open(link);
  if (!listener) return failed(listener.error());
  return std::move(*listener).accept(link, key, purpose, side, session);
}

}  // namespace roadstead::mover
