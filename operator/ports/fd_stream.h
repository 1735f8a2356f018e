#pragma once

#include <chrono>
#include <stop_token>
#include <string>
#include <utility>

#include "operator/base/result.h"
#include "operator/ports/transport.h"

namespace roadstead {

/// The one owner of a file descriptor.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~UniqueFd();
  [[nodiscard]] int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  /// Gives it away unclosed.
  int release() { return std::exchange(fd_, -1); }
  void reset() { UniqueFd().swap(*this); }
  void swap(UniqueFd& other) noexcept { std::swap(fd_, other.fd_); }

 private:
  int fd_ = -1;
};

/// Waits until one of poll(2)'s `events` (or an error, or a hang-up) stands on `fd`; a negative `fd` waits for time and
/// stop alone. Errors: Timeout after `at_most`, Cancelled within a millisecond of request_stop().
Result<void> wait_for_fd(int fd, short events, std::chrono::milliseconds at_most, const std::stop_token& stop);

/// A ByteStream over a connected stream socket, which it makes non-blocking.
class FdStream final : public ByteStream {
 public:
  /// `peer` names the far side in errors: "unix:///var/run/docker.sock".
  FdStream(UniqueFd socket, std::string peer);
  Result<std::size_t> read_some(std::span<std::byte> into, const Limits& limits) override;
  Result<void> write_all(std::span<const std::byte> from, const Limits& limits) override;
  Result<void> end_of_writes() override;

 private:
  UniqueFd socket_;
  std::string peer_;
};

}  // namespace roadstead
