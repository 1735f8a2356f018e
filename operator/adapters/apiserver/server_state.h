#pragma once

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>  // before any Asio header: awaitable.hpp of Boost 1.74 needs it
#include <vector>

#include "operator/adapters/apiserver/http_server.h"
#include "operator/adapters/apiserver/thread_set.h"

namespace roadstead::apiserver {

/// One open connection, as the server sees it.
class ConnectionBase {
 public:
  virtual ~ConnectionBase() = default;
  /// The server stops: close when idle, end a watch, else finish the request in hand. From any thread.
  virtual void drain() = 0;
};

/// What all connections of one server share. Outlives each of them.
class ServerState {
 public:
  ServerState(const HttpServerOptions& options, std::shared_ptr<Handler> handler);

  const ServerLimits limits;
  const std::shared_ptr<Handler> handler;
  std::atomic<bool> draining{false};
  boost::asio::thread_pool workers;
  ThreadSet watches;

  /// False: too many, from everybody or from this peer.
  bool enter(const std::string& peer);
  void add(ConnectionBase* who, std::weak_ptr<ConnectionBase> connection);
  void leave(ConnectionBase* who, const std::string& peer);
  [[nodiscard]] std::size_t connections() const;
  [[nodiscard]] std::vector<std::shared_ptr<ConnectionBase>> all() const;
  /// False: some were left when the time was over.
  bool wait_until_empty(Millis most);

  void set_tls(std::shared_ptr<boost::asio::ssl::context> context);
  [[nodiscard]] std::shared_ptr<boost::asio::ssl::context> tls() const;

 private:
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::size_t count_ = 0;
  std::map<std::string, std::size_t> per_peer_;
  std::map<ConnectionBase*, std::weak_ptr<ConnectionBase>> open_;
  std::shared_ptr<boost::asio::ssl::context> tls_;
};

/// Serve one accepted socket until it is closed; `state` has counted it (enter()). Each in its own file: Beast's
/// templates are slow to compile.
void serve_https(boost::asio::ip::tcp::socket socket, std::string peer, std::shared_ptr<ServerState> state);
void serve_http(boost::asio::ip::tcp::socket socket, std::string peer, std::shared_ptr<ServerState> state);

}  // namespace roadstead::apiserver
