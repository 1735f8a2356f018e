#include "operator/ports/fd_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <optional>

namespace roadstead {
namespace {

using SteadyClock = std::chrono::steady_clock;

int remaining_ms(SteadyClock::time_point deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, INT_MAX));
}

SteadyClock::time_point deadline_after(std::chrono::milliseconds at_most) {
  // A limit of "for ever" must not overflow the clock.
  return SteadyClock::now() + std::min<std::chrono::milliseconds>(at_most, std::chrono::hours(24 * 365));
}

tl::unexpected<Error> lost(const std::string& peer, int error) {
  return fail(ErrorKind::Unavailable, "{}: connection lost: {}", peer, std::strerror(error));
}

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> wait_for_fd(int fd, short events, std::chrono::milliseconds at_most, const std::stop_token& stop) {
  const auto deadline = deadline_after(at_most);
  UniqueFd wake;
  const auto ring = [&wake] { (void)::eventfd_write(wake.get(), 1); };
  std::optional<std::stop_callback<decltype(ring)>> on_stop;  // after `wake`: destroyed before it
  if (stop.stop_possible()) {
    wake = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake) return fail(ErrorKind::Unavailable, "no file descriptor left to wait with: {}", std::strerror(errno));
    on_stop.emplace(stop, ring);
  }
  for (;;) {
    if (stop.stop_requested()) return fail(ErrorKind::Cancelled, "stopped");
    std::array<pollfd, 2> fds{pollfd{fd, events, 0}, pollfd{wake.get(), POLLIN, 0}};
    const int ready = ::poll(fds.data(), fds.size(), remaining_ms(deadline));
    if (ready < 0 && errno != EINTR) return fail(ErrorKind::Internal, "poll: {}", std::strerror(errno));
    if (stop.stop_requested()) return fail(ErrorKind::Cancelled, "stopped");
    if (ready > 0 && fds[0].revents != 0) return {};
    if (SteadyClock::now() >= deadline) return fail(ErrorKind::Timeout, "nothing happened for {} ms", at_most.count());
  }
}

FdStream::FdStream(UniqueFd socket, std::string peer) : socket_(std::move(socket)), peer_(std::move(peer)) {
  ::fcntl(socket_.get(), F_SETFL, ::fcntl(socket_.get(), F_GETFL) | O_NONBLOCK);
}

Result<std::size_t> FdStream::read_some(std::span<std::byte> into, const Limits& limits) {
  for (;;) {
    if (limits.stop.stop_requested()) return fail(ErrorKind::Cancelled, "{}: stopped", peer_);
    const auto got = ::recv(socket_.get(), into.data(), into.size(), 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return lost(peer_, errno);
    if (auto ready = wait_for_fd(socket_.get(), POLLIN, limits.idle, limits.stop); !ready)
      return within(peer_, ready.error());
  }
}

Result<void> FdStream::write_all(std::span<const std::byte> from, const Limits& limits) {
  while (!from.empty()) {
    if (limits.stop.stop_requested()) return fail(ErrorKind::Cancelled, "{}: stopped", peer_);
    const auto put = ::send(socket_.get(), from.data(), from.size(), MSG_NOSIGNAL);
    if (put >= 0) {
      from = from.subspan(static_cast<std::size_t>(put));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return lost(peer_, errno);
    if (auto ready = wait_for_fd(socket_.get(), POLLOUT, limits.idle, limits.stop); !ready)
      return within(peer_, ready.error());
  }
  return {};
}

Result<void> FdStream::end_of_writes() {
  if (::shutdown(socket_.get(), SHUT_WR) != 0 && errno != ENOTCONN) return lost(peer_, errno);
  return {};
}

}  // namespace roadstead
