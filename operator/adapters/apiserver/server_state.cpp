#include "operator/adapters/apiserver/server_state.h"

namespace roadstead::apiserver {

ServerState::ServerState(const HttpServerOptions& options, std::shared_ptr<Handler> given)
    : limits(options.limits), handler(std::move(given)), workers(options.workers), watches(options.limits.watches) {}

bool ServerState::enter(const std::string& peer) {
  std::lock_guard lock(mutex_);
  const auto known = per_peer_.find(peer);
  const std::size_t from_peer = known == per_peer_.end() ? 0 : known->second;
  if (count_ >= limits.connections || from_peer >= limits.connections_per_peer) return false;
  ++count_;
  per_peer_[peer] = from_peer + 1;
  return true;
}

void ServerState::add(ConnectionBase* who, std::weak_ptr<ConnectionBase> connection) {
  std::lock_guard lock(mutex_);
  open_[who] = std::move(connection);
}

void ServerState::leave(ConnectionBase* who, const std::string& peer) {
  std::lock_guard lock(mutex_);
  open_.erase(who);
  --count_;
  if (--per_peer_[peer] == 0) per_peer_.erase(peer);
  changed_.notify_all();
}

std::size_t ServerState::connections() const {
  std::lock_guard lock(mutex_);
  return count_;
}

std::vector<std::shared_ptr<ConnectionBase>> ServerState::all() const {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<ConnectionBase>> alive;
  for (const auto& [who, connection] : open_)
    if (auto held = connection.lock()) alive.push_back(std::move(held));
  return alive;
}

bool ServerState::wait_until_empty(Millis most) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, most, [&] { return count_ == 0; });
}

void ServerState::set_tls(std::shared_ptr<boost::asio::ssl::context> context) {
  std::lock_guard lock(mutex_);
  tls_ = std::move(context);
}

std::shared_ptr<boost::asio::ssl::context> ServerState::tls() const {
  std::lock_guard lock(mutex_);
  return tls_;
}

}  // namespace roadstead::apiserver
