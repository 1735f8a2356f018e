#include "operator/adapters/docker/unix_transport.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>

#include "operator/ports/fd_stream.h"

namespace roadstead::docker {
namespace {

constexpr std::chrono::milliseconds kFullBacklogPause{10};

class UnixTransport final : public Transport {
 public:
  explicit UnixTransport(const crds::UnixEndpoint& endpoint) : path_(endpoint.path), name_("unix://" + endpoint.path) {}

  Result<std::unique_ptr<ByteStream>> open(const Limits& limits) override {
    const auto deadline = std::chrono::steady_clock::now() + limits.connect;
    UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) return fail(ErrorKind::Unavailable, "{}: {}", name_, std::strerror(errno));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof(address.sun_path) - 1);
    while (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      // EAGAIN: the listener's queue is full. poll(2) cannot wait for room in it.
      if (errno != EAGAIN && errno != EINTR) return refused(errno);
      if (std::chrono::steady_clock::now() >= deadline)
        return fail(ErrorKind::Timeout, "{}: the engine does not accept connections", name_);
      const auto paused = wait_for_fd(-1, 0, kFullBacklogPause, limits.stop);
      if (!paused && paused.error().kind == ErrorKind::Cancelled) return within(name_, paused.error());
    }
    return std::make_unique<FdStream>(std::move(socket), name_);
  }

  [[nodiscard]] std::string host_header() const override { return "docker"; }

 private:
  tl::unexpected<Error> refused(int error) const {
    if (error == EACCES || error == EPERM)
      return fail(ErrorKind::Forbidden, "{}: permission denied: run as root or as a member of the socket's group",
                  name_);
    return fail(ErrorKind::Unavailable, "{}: {}: is the engine running?", name_, std::strerror(error));
  }

  const std::string path_, name_;
};

}  // namespace

std::shared_ptr<Transport> make_unix_transport(const crds::UnixEndpoint& endpoint) {
  return std::make_shared<UnixTransport>(endpoint);
}

}  // namespace roadstead::docker
