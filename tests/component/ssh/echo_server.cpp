#include "tests/component/ssh/echo_server.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <stdexcept>
#include <string>

namespace roadstead::test {

SocketServer::SocketServer(std::filesystem::path path, Part part)
    : path_(std::move(path)), part_(part), listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  std::filesystem::remove(path_);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path_.string().copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      ::listen(listener_.get(), 100) != 0)
    throw std::runtime_error("listen on " + path_.string());
  acceptor_ = std::jthread([this](const std::stop_token& stop) { accept_all(stop); });
}

SocketServer::~SocketServer() {
  acceptor_.request_stop();
  acceptor_.join();
  std::filesystem::remove(path_);
}

void SocketServer::accept_all(const std::stop_token& stop) {
  while (wait_for_fd(listener_.get(), POLLIN, std::chrono::hours(1), stop)) {
    UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    ++open_;
    players_.emplace_back(
        [this, fd = connection.release()](const std::stop_token& ended) { play(UniqueFd(fd), ended); });
  }
  players_.clear();
}

void SocketServer::play(UniqueFd connection, const std::stop_token& stop) {
  FdStream stream(std::move(connection), "server");
  Limits limits;
  limits.stop = stop;
  limits.idle = std::chrono::hours(1);
  std::vector<std::byte> piece(64 * 1024);
  if (part_ == Part::SayAndEnd) {
    (void)stream.write_all(std::as_bytes(std::span("bye", 3)), limits);
  } else if (part_ == Part::Pour) {
    while (stream.write_all(piece, limits)) poured_ += piece.size();
  } else {
    for (auto got = stream.read_some(piece, limits); got && *got > 0; got = stream.read_some(piece, limits))
      if (part_ == Part::Echo && !stream.write_all(std::span(piece).first(*got), limits)) break;
  }
  --open_;
}

}  // namespace roadstead::test
