#include "operator/adapters/ssh/ssh_transport.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <vector>

#include "crds/endpoint.h"
#include "operator/adapters/ssh/session.h"

namespace roadstead::ssh {
namespace {

constexpr std::size_t kMostSessions = 4;

/// Which way to the socket has worked: nothing, until one has.
using Remembered = std::atomic<std::optional<Way>>;

/// A stream over `docker system dial-stdio`, whose start says nothing yet: that it works shows in its first byte, and
/// if it does not, the reason why forwarding did not work either belongs to the error.
class TrialStream final : public ByteStream {
 public:
  TrialStream(std::unique_ptr<ByteStream> stream, std::shared_ptr<Remembered> remembered, std::string also)
      : stream_(std::move(stream)), remembered_(std::move(remembered)), also_(std::move(also)) {}

  Result<std::size_t> read_some(std::span<std::byte> into, const Limits& limits) override {
    auto got = stream_->read_some(into, limits);
    if (got && *got > 0 && !works_) {
      works_ = true;
      remembered_->store(Way::DialStdio);
    }
    if (!got && got.error().kind == ErrorKind::Unavailable && !works_ && !also_.empty())
      return fail(ErrorKind::Unavailable, "{}; before it, stream-local forwarding: {}", got.error().message, also_);
    return got;
  }
  Result<void> write_all(std::span<const std::byte> from, const Limits& limits) override {
    return stream_->write_all(from, limits);
  }
  Result<void> end_of_writes() override { return stream_->end_of_writes(); }

 private:
  const std::unique_ptr<ByteStream> stream_;
  const std::shared_ptr<Remembered> remembered_;
  const std::string also_;
  bool works_ = false;
};

class SshTransport final : public Transport {
 public:
  explicit SshTransport(Settings settings) : settings_(std::move(settings)) {}

  Result<std::unique_ptr<ByteStream>> open(const Limits& limits) override {
    auto [session, is_new] = first_session(limits);
    auto stream = open_on(session, limits);
    // A session that was kept may have died unnoticed.
    if (stream || is_new || stream.error().kind != ErrorKind::Unavailable || !session->dead()) return stream;
    return open_on(first_session(limits).first, limits);
  }

  [[nodiscard]] std::string host_header() const override { return "docker"; }

 private:
  using Sessions = std::vector<std::shared_ptr<Session>>;

  /// The first session, and whether it was just begun.
  std::pair<std::shared_ptr<Session>, bool> first_session(const Limits& limits) {
    Sessions dead;  // ended outside the lock
    const std::lock_guard lock(mutex_);
    const auto alive =
        std::stable_partition(sessions_.begin(), sessions_.end(), [](const auto& session) { return !session->dead(); });
    dead.assign(alive, sessions_.end());
    sessions_.erase(alive, sessions_.end());
    if (!sessions_.empty()) return {sessions_.front(), false};
    sessions_.push_back(std::make_shared<Session>(settings_, limits.connect));
    return {sessions_.front(), true};
  }

  /// The session after `full`, begun if need be; null where there are enough.
  std::shared_ptr<Session> session_after(const std::shared_ptr<Session>& full, const Limits& limits) {
    const std::lock_guard lock(mutex_);
    auto next = std::find(sessions_.begin(), sessions_.end(), full);
    if (next != sessions_.end()) ++next;
    if (next != sessions_.end()) return *next;
    if (sessions_.size() >= kMostSessions) return nullptr;
    return sessions_.emplace_back(std::make_shared<Session>(settings_, limits.connect));
  }

  Result<std::unique_ptr<ByteStream>> open_on(const std::shared_ptr<Session>& session, const Limits& limits) {
    if (remembered_->load() == Way::DialStdio) return dial(session, {}, limits);
    auto forwarded = session->open(Way::Forward, limits);
    if (forwarded) remembered_->store(Way::Forward);
    // "No such socket" and "forwarding is not allowed" look the same from here.
    if (forwarded || session->dead() || forwarded.error().kind != ErrorKind::Unavailable) return forwarded;
    return dial(session, forwarded.error().message, limits);
  }

  Result<std::unique_ptr<ByteStream>> dial(std::shared_ptr<Session> session, const std::string& also,
                                           const Limits& limits) {
    auto dialled = session->open(Way::DialStdio, limits);
    // sshd runs only so many commands per session (MaxSessions, 10 unless changed): the next ones go through another.
    while (!dialled && dialled.error().kind == ErrorKind::Unavailable && !session->dead() && session->channels() > 0) {
      session = session_after(session, limits);
      if (!session) break;
      dialled = session->open(Way::DialStdio, limits);
    }
    if (dialled) return std::make_unique<TrialStream>(std::move(*dialled), remembered_, also);
    if (dialled.error().kind != ErrorKind::Unavailable || (session && session->dead())) return dialled;
    return fail(ErrorKind::Unavailable, "{}: docker system dial-stdio: {}{}{}", settings_.name, dialled.error().message,
                also.empty() ? "" : "; before it, stream-local forwarding: ", also);
  }

  const Settings settings_;
  const std::shared_ptr<Remembered> remembered_ = std::make_shared<Remembered>(std::nullopt);
  std::mutex mutex_;  // guards sessions_
  Sessions sessions_;
};

}  // namespace

Result<std::shared_ptr<Transport>> make_ssh_transport(const EngineEndpoint& endpoint) {
  const auto parsed = crds::parse_endpoint(endpoint.endpoint);
  if (!parsed) return tl::unexpected(parsed.error());
  const auto* ssh = std::get_if<crds::SshEndpoint>(&*parsed);
  if (!ssh) return fail(ErrorKind::Invalid, "endpoint {}: not reached by ssh", endpoint.endpoint);
  const auto name = fmt::format("ssh://{}@{}:{}", ssh->user, ssh->host, ssh->port);
  if (endpoint.identity.empty()) return fail(ErrorKind::Invalid, "{}: a private key is missing (identityRef)", name);
  if (endpoint.known_hosts.empty())
    return fail(ErrorKind::Invalid,
                "{}: the host's key is missing (knownHostsRef): compare the fingerprint on the host itself, then "
                "`ssh-keyscan -p {} {} >> known_hosts`",
                name, ssh->port, ssh->host);
  if (auto key = read_identity(endpoint.identity); !key) return within(name, key.error());
  Settings settings;
  settings.endpoint = *ssh;
  settings.identity = endpoint.identity;
  settings.known_hosts = endpoint.known_hosts;
  settings.name = name;
  return std::make_shared<SshTransport>(std::move(settings));
}

}  // namespace roadstead::ssh
