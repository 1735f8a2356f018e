#pragma once

#include <atomic>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "operator/ports/fd_stream.h"

namespace roadstead::test {

/// Listens on a Unix socket and plays one part for every connection.
class SocketServer {
 public:
  enum class Part {
    Echo,       ///< Sends back what it reads; ends when the other side does.
    Pour,       ///< Sends without end.
    Silent,     ///< Reads and never answers.
    SayAndEnd,  ///< Sends "bye" and ends, unasked.
  };
  SocketServer(std::filesystem::path path, Part part);
  ~SocketServer();
  SocketServer(const SocketServer&) = delete;
  SocketServer& operator=(const SocketServer&) = delete;
  [[nodiscard]] std::size_t poured() const { return poured_; }
  [[nodiscard]] int connections() const { return open_; }

 private:
  void accept_all(const std::stop_token& stop);
  void play(UniqueFd connection, const std::stop_token& stop);
  const std::filesystem::path path_;
  const Part part_;
  UniqueFd listener_;
  std::atomic<std::size_t> poured_{0};
  std::atomic<int> open_{0};
  std::vector<std::jthread> players_;
  std::jthread acceptor_;
};

}  // namespace roadstead::test
