#include "mover/address.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <memory>

namespace roadstead::mover {
namespace {

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

std::string error_text(int error) {
  char buffer[128];
  return ::strerror_r(error, buffer, sizeof buffer);
}

Outcome<Addresses> resolve(const char* address, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(address, std::to_string(port).c_str(), &hints, &list);
  if (error != 0)
    return failed("Unreachable",
                  fmt::format("resolve {}: {}", address ? address : "any address", ::gai_strerror(error)),
                  "check the host's data address");
  return Addresses(list);
}

std::string text_of(const sockaddr_storage& address, socklen_t length) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  if (::getnameinfo(reinterpret_cast<const sockaddr*>(&address), length, host.data(), host.size(), port.data(),
                    port.size(), NI_NUMERICHOST | NI_NUMERICSERV) != 0)
    return "a peer";
  std::string_view text(host.data());
  constexpr std::string_view kMapped = "::ffff:";  // IPv4 that came in through an IPv6 socket
  if (text.starts_with(kMapped) && text.find('.') != std::string_view::npos) text.remove_prefix(kMapped.size());
  return text.find(':') == std::string_view::npos ? fmt::format("{}:{}", text, port.data())
                                                  : fmt::format("[{}]:{}", text, port.data());
}

/// 0 when connected, else an errno.
int connected_within(int socket, std::chrono::milliseconds limit, const Session& session) {
  const auto deadline = Session::Clock::now() + limit;
  pollfd poll{socket, POLLOUT, 0};
  while (::poll(&poll, 1, 100) <= 0)
    if (Session::Clock::now() > deadline || session.stop().stop_requested()) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof error;
  ::getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

}  // namespace

std::string peer_of(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return "a peer";
  return text_of(address, length);
}

std::uint16_t port_of(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

Outcome<Fd> listen_on(const std::string& address, std::uint16_t port) {
  const auto list = resolve(address.empty() ? nullptr : address.c_str(), port, AI_PASSIVE);
  if (!list) return failed(list.error());
  int error = EADDRNOTAVAIL;
  // An IPv6 socket also takes IPv4, so it is tried first; a host without IPv6 falls back.
  for (const int family : {AF_INET6, AF_INET})
    for (const addrinfo* one = list->get(); one; one = one->ai_next) {
      if (one->ai_family != family) continue;
      Fd socket(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      const int on = 1, off = 0;
      if (socket) ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
      if (socket && family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
      if (socket && ::bind(socket.get(), one->ai_addr, one->ai_addrlen) == 0 && ::listen(socket.get(), 64) == 0)
        return socket;
      error = errno;
    }
  return failed("PortInUse",
                fmt::format("listen on {}:{}: {}", address.empty() ? "*" : address, port, error_text(error)),
                "give the mover another port");
}

Outcome<Fd> connect_to(const std::string& address, std::uint16_t port, std::chrono::milliseconds limit,
                       const Session& session) {
  const auto list = resolve(address.c_str(), port, 0);
  if (!list) return failed(list.error());
  int error = EHOSTUNREACH;
  for (const addrinfo* one = list->get(); one; one = one->ai_next) {
    Fd socket(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!socket) {
      error = errno;
      continue;
    }
    if (::connect(socket.get(), one->ai_addr, one->ai_addrlen) == 0) return socket;
    error = errno == EINPROGRESS ? connected_within(socket.get(), limit, session) : errno;
    if (error == 0) return socket;
    if (session.stop().stop_requested()) return failed(cancelled());
  }
  return failed("Unreachable", fmt::format("connect to {}:{}: {}", address, port, error_text(error)),
                "check the data address, the published port and the firewall between the hosts");
}

}  // namespace roadstead::mover
