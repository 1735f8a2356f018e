#include "operator/adapters/ssh/connect.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>

namespace roadstead::ssh {
namespace {

using SteadyClock = std::chrono::steady_clock;
using AddressList = std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)>;

/// What every step of connecting needs to know.
struct Attempt {
  const Settings& settings;
  std::chrono::milliseconds at_most;
  SteadyClock::time_point deadline;
  const std::stop_token& stop;

  [[nodiscard]] std::chrono::milliseconds left() const {
    return std::max(std::chrono::milliseconds{0},
                    std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()));
  }
  /// Waiting failed: too late means that the host cannot be reached.
  [[nodiscard]] tl::unexpected<Error> gave_up(const Error& error, std::string_view doing) const {
    if (error.kind != ErrorKind::Timeout) return within(settings.name, error);
    return fail(ErrorKind::Unavailable, "{}: {}: no answer within {} ms", settings.name, doing, at_most.count());
  }
};

Result<AddressList> resolve(const crds::SshEndpoint& endpoint, const std::string& name) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(endpoint.host.c_str(), std::to_string(endpoint.port).c_str(), &hints, &found);
  if (error != 0)
    return fail(ErrorKind::Unavailable, "{}: the host's name cannot be resolved: {}", name, ::gai_strerror(error));
  return AddressList(found, &::freeaddrinfo);
}

Result<UniqueFd> connect_to(const addrinfo& address, const Attempt& attempt, std::chrono::milliseconds share) {
  UniqueFd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail(ErrorKind::Unavailable, "{}: {}", attempt.settings.name, std::strerror(errno));
  int error = ::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    if (auto ready = wait_for_fd(socket.get(), POLLOUT, share, attempt.stop); !ready)
      return attempt.gave_up(ready.error(), "connect");
    socklen_t size = sizeof(error);
    ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) return fail(ErrorKind::Unavailable, "{}: connect: {}", attempt.settings.name, std::strerror(error));
  const int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return socket;
}

Result<UniqueFd> connect_to_any(const addrinfo* addresses, const Attempt& attempt) {
  int remaining = 0;
  for (const addrinfo* address = addresses; address; address = address->ai_next) ++remaining;
  Result<UniqueFd> socket = fail(ErrorKind::Unavailable, "{}: the host's name has no address", attempt.settings.name);
  for (const addrinfo* address = addresses; address && !socket; address = address->ai_next)
    socket = connect_to(*address, attempt, attempt.left() / remaining--);
  return socket;
}

Result<UniqueFd> connect_tcp(const Attempt& attempt) {
  auto addresses = resolve(attempt.settings.endpoint, attempt.settings.name);
  if (!addresses) return tl::unexpected(addresses.error());
  return connect_to_any(addresses->get(), attempt);
}

/// Repeats a non-blocking call of libssh until it has an answer.
Result<int> finish(const Attempt& attempt, ssh_session session, std::string_view doing, int again,
                   const std::function<int()>& call) {
  for (;;) {
    const int answer = call();
    if (answer != again) return answer;
    const bool writing = (::ssh_get_poll_flags(session) & SSH_WRITE_PENDING) != 0;
    const auto ready = wait_for_fd(::ssh_get_fd(session), static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN),
                                   attempt.left(), attempt.stop);
    if (!ready) return attempt.gave_up(ready.error(), doing);
  }
}

tl::unexpected<Error> refused(const Settings& settings, ssh_session session, std::string_view doing) {
  return fail(ErrorKind::Unavailable, "{}: {}: {}", settings.name, doing, ::ssh_get_error(session));
}

/// "ssh-ed25519 SHA256:…" of the key the host has shown.
std::string shown_key(ssh_session session) {
  ssh_key key = nullptr;
  if (::ssh_get_server_publickey(session, &key) != SSH_OK) return "an unreadable key";
  const KeyHandle owned(key);
  unsigned char* hash = nullptr;
  std::size_t size = 0;
  if (::ssh_get_publickey_hash(key, SSH_PUBLICKEY_HASH_SHA256, &hash, &size) != SSH_OK) return "an unreadable key";
  const TextHandle fingerprint(::ssh_get_fingerprint_hash(SSH_PUBLICKEY_HASH_SHA256, hash, size));
  ::ssh_clean_pubkey_hash(&hash);
  return fmt::format("{} {}", ::ssh_key_type_to_char(::ssh_key_type(key)), fingerprint ? fingerprint.get() : "?");
}

/// Only a key that stands in the known hosts will do; nothing is ever learnt.
Result<void> verify_host_key(const Settings& settings, ssh_session session) {
  const auto& endpoint = settings.endpoint;
  const auto scan = fmt::format("`ssh-keyscan -p {} {} >> known_hosts`", endpoint.port, endpoint.host);
  switch (::ssh_session_is_known_server(session)) {
    case SSH_KNOWN_HOSTS_OK:
      return {};
    case SSH_KNOWN_HOSTS_UNKNOWN:
    case SSH_KNOWN_HOSTS_NOT_FOUND:
      return fail(
          ErrorKind::Forbidden,
          "{}: the host's key {} is not among the known hosts: compare its fingerprint on the host itself, then {}",
          settings.name, shown_key(session), scan);
    case SSH_KNOWN_HOSTS_CHANGED:
    case SSH_KNOWN_HOSTS_OTHER:
      return fail(
          ErrorKind::Forbidden,
          "{}: the host's key has changed, it is now {}: unless the host was installed anew somebody else answers; "
          "compare the fingerprint on the host itself, then remove its old lines and {}",
          settings.name, shown_key(session), scan);
    case SSH_KNOWN_HOSTS_ERROR:
      break;
  }
  return refused(settings, session, "known hosts");
}

Result<void> log_in(const Attempt& attempt, ssh_session session) {
  const auto& settings = attempt.settings;
  const auto key = read_identity(settings.identity);
  if (!key) return tl::unexpected(key.error());
  const auto answer = finish(attempt, session, "log in", SSH_AUTH_AGAIN,
                             [&] { return ::ssh_userauth_publickey(session, nullptr, key->get()); });
  if (!answer) return tl::unexpected(answer.error());
  switch (*answer) {
    case SSH_AUTH_SUCCESS:
      return {};
    case SSH_AUTH_DENIED:
      return fail(
          ErrorKind::Forbidden,
          "{}: the key is not accepted for user {}: add its public half to the user's ~/.ssh/authorized_keys there",
          settings.name, settings.endpoint.user);
    case SSH_AUTH_PARTIAL:
      return fail(
          ErrorKind::Forbidden,
          "{}: the host wants more than a key from user {}: allow the key alone (AuthenticationMethods publickey)",
          settings.name, settings.endpoint.user);
    default:
      return refused(settings, session, "log in");
  }
}

/// A file in memory with the known hosts, which libssh reads by its path.
Result<UniqueFd> known_hosts_file(const std::string& text) {
  UniqueFd file(::memfd_create("known_hosts", MFD_CLOEXEC));
  const auto size = static_cast<ssize_t>(text.size());
  if (!file || ::write(file.get(), text.data(), text.size()) != size || ::write(file.get(), "\n", 1) != 1)
    return fail(ErrorKind::Unavailable, "known hosts: {}", std::strerror(errno));
  return file;
}

}  // namespace

Result<KeyHandle> read_identity(const std::string& identity) {
  ssh_key key = nullptr;
  if (::ssh_pki_import_privkey_base64(identity.c_str(), nullptr, nullptr, nullptr, &key) != SSH_OK)
    return fail(ErrorKind::Invalid, "the identity is no private key in OpenSSH's or PEM format without a passphrase");
  return KeyHandle(key);
}

Result<UniqueFd> connect_to_first(const addrinfo* addresses, const Settings& settings,
                                  std::chrono::milliseconds at_most, const std::stop_token& stop) {
  return connect_to_any(addresses, {settings, at_most, SteadyClock::now() + at_most, stop});
}

Result<SessionHandle> connect(const Settings& settings, std::chrono::milliseconds at_most,
                              const std::stop_token& stop) {
  const Attempt attempt{settings, at_most, SteadyClock::now() + at_most, stop};
  auto socket = connect_tcp(attempt);
  if (!socket) return tl::unexpected(socket.error());
  const auto known_hosts = known_hosts_file(settings.known_hosts);
  if (!known_hosts) return tl::unexpected(known_hosts.error());

  SessionHandle session(::ssh_new());
  const auto& endpoint = settings.endpoint;
  const unsigned port = endpoint.port;
  const auto known_hosts_path = fmt::format("/proc/self/fd/{}", known_hosts->get());
  const bool no = false;
  const auto fd = socket->get();
  const auto set = [&](ssh_options_e option, const void* value) {
    return ::ssh_options_set(session.get(), option, value) == SSH_OK;
  };
  // Nothing of this machine's own ssh may change where we go or whom we trust.
  if (!session || !set(SSH_OPTIONS_PROCESS_CONFIG, &no) || !set(SSH_OPTIONS_HOST, endpoint.host.c_str()) ||
      !set(SSH_OPTIONS_PORT, &port) || !set(SSH_OPTIONS_USER, endpoint.user.c_str()) ||
      !set(SSH_OPTIONS_KNOWNHOSTS, known_hosts_path.c_str()) || !set(SSH_OPTIONS_GLOBAL_KNOWNHOSTS, "/dev/null") ||
      !set(SSH_OPTIONS_FD, &fd))
    return fail(ErrorKind::Internal, "{}: ssh options: {}", settings.name,
                session ? ::ssh_get_error(session.get()) : "no memory");
  ::ssh_set_blocking(session.get(), 0);
  bool handed_over = false;
  const auto connected = finish(attempt, session.get(), "handshake", SSH_AGAIN, [&] {
    const int answer = ::ssh_connect(session.get());
    if (!handed_over) socket->release();  // libssh closes it from here on
    handed_over = true;
    return answer;
  });
  if (!connected) return tl::unexpected(connected.error());
  if (*connected != SSH_OK) return refused(settings, session.get(), "handshake");
  if (auto known = verify_host_key(settings, session.get()); !known) return tl::unexpected(known.error());
  if (auto logged_in = log_in(attempt, session.get()); !logged_in) return tl::unexpected(logged_in.error());
  return session;
}

}  // namespace roadstead::ssh
