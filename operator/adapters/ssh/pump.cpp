#include "operator/adapters/ssh/pump.h"

#include <libssh/server.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace roadstead::ssh {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::string_view kDefaultSocket = "/var/run/docker.sock";
constexpr std::size_t kInTransit = std::size_t{64} << 10;        // bytes per channel and direction
constexpr std::size_t kLongestComplaint = std::size_t{4} << 10;  // bytes of dial-stdio's standard error

/// The caller's end of a channel. An end of the socket pair says nothing by itself: `end` knows whether the far side
/// ended the stream or the connection broke.
class SshStream final : public ByteStream {
 public:
  SshStream(UniqueFd socket, std::shared_ptr<StreamEnd> end, const std::string& name)
      : stream_(std::move(socket), name), end_(std::move(end)), name_(name) {}

  Result<std::size_t> read_some(std::span<std::byte> into, const Limits& limits) override {
    auto got = stream_.read_some(into, limits);
    if (got ? *got > 0 : got.error().kind != ErrorKind::Unavailable) return got;
    const auto [how, why] = end_->get();
    if (how == StreamEnd::How::Orderly) return std::size_t{0};
    return fail(ErrorKind::Unavailable, "{}", why.empty() ? name_ + ": connection lost" : why);
  }

  Result<void> write_all(std::span<const std::byte> from, const Limits& limits) override {
    auto put = stream_.write_all(from, limits);
    if (put || put.error().kind != ErrorKind::Unavailable) return put;
    const auto [how, why] = end_->get();
    return how == StreamEnd::How::Broken ? Result<void>(fail(ErrorKind::Unavailable, "{}", why)) : put;
  }

  Result<void> end_of_writes() override { return stream_.end_of_writes(); }

 private:
  FdStream stream_;
  const std::shared_ptr<StreamEnd> end_;
  const std::string name_;
};

std::string one_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

Pump::Pump(Session& owner, SessionHandle session)
    : owner_(owner),
      settings_(owner.settings_),
      session_(std::move(session)),
      event_(::ssh_event_new()),
      heard_(SteadyClock::now()),
      asked_(heard_) {
  ::ssh_set_counters(session_.get(), &traffic_, nullptr);
  ::ssh_event_add_session(event_.get(), session_.get());
}

Pump::~Pump() {
  channels_.clear();
  ::ssh_event_remove_session(event_.get(), session_.get());
}

Error Pump::run(const std::stop_token& stop) {
  for (;;) {
    if (stop.stop_requested())
      return {ErrorKind::Unavailable, settings_.name + ": the connection was closed by this side"};
    take_requests();
    if (auto error = work()) return *error;
    if (auto error = wait()) return *error;
  }
}

void Pump::break_all(const Error& error) {
  for (auto& channel : channels_) {
    if (channel.request)
      answer(channel, tl::unexpected(error));
    else if (channel.stage != Channel::Stage::Finished)
      break_channel(channel, error.message);
  }
  channels_.clear();
}

Error Pump::lost(std::string_view why) const {
  return {ErrorKind::Unavailable, fmt::format("{}: connection lost: {}", settings_.name, why)};
}

void Pump::take_requests() {
  const std::lock_guard lock(owner_.mutex_);
  for (auto& request : owner_.requests_) {
    Channel& channel = channels_.emplace_back();
    channel.way = request->way;
    channel.request = std::move(request);
    channel.handle.reset(::ssh_channel_new(session_.get()));
  }
  owner_.requests_.clear();
}

/// Copies until nothing moves any more.
std::optional<Error> Pump::work() {
  for (bool moved = true; moved;) {
    moved = false;
    if (::ssh_event_dopoll(event_.get(), 0) == SSH_ERROR) return lost(::ssh_get_error(session_.get()));
    for (auto& channel : channels_) moved = step(channel) || moved;
    drop_finished();
    if (!::ssh_is_connected(session_.get())) return lost("the host ended it");
  }
  return std::nullopt;
}

void Pump::drop_finished() {
  channels_.remove_if([](const Channel& channel) { return channel.stage == Channel::Stage::Finished; });
  owner_.channels_ = channels_.size();
}

bool Pump::step(Channel& channel) {
  switch (channel.stage) {
    case Channel::Stage::Opening:
      return open_step(channel);
    case Channel::Stage::Requesting:
      return request_step(channel);
    case Channel::Stage::Open:
      return copy_step(channel);
    case Channel::Stage::Finished:
      return false;
  }
  return false;
}

// --- opening

bool Pump::open_step(Channel& channel) {
  const auto& path = settings_.endpoint.socket_path;
  const int opened =
      channel.way == Way::DialStdio
          ? ::ssh_channel_open_session(channel.handle.get())
          : ::ssh_channel_open_forward_unix(channel.handle.get(), path.empty() ? kDefaultSocket.data() : path.c_str(),
                                            "localhost", 0);
  if (opened == SSH_AGAIN) return false;
  if (opened != SSH_OK) {
    answer(channel, fail(ErrorKind::Unavailable, "{}", ::ssh_get_error(session_.get())));
    channel.stage = Channel::Stage::Finished;
  } else if (channel.way == Way::DialStdio) {
    channel.stage = Channel::Stage::Requesting;
  } else {
    hand_out(channel);
  }
  return true;
}

bool Pump::request_step(Channel& channel) {
  // The path holds nothing that means something to a shell (parse_endpoint).
  const auto& path = settings_.endpoint.socket_path;
  const auto command = path.empty() ? std::string("docker system dial-stdio")
                                    : fmt::format("docker -H unix://{} system dial-stdio", path);
  const int started = ::ssh_channel_request_exec(channel.handle.get(), command.c_str());
  if (started == SSH_AGAIN) return false;
  if (started == SSH_OK) {
    hand_out(channel);
  } else {
    answer(channel, fail(ErrorKind::Unavailable, "{}", ::ssh_get_error(session_.get())));
    channel.stage = Channel::Stage::Finished;
  }
  return true;
}

bool Pump::abandoned(const Channel& channel) const {
  const std::lock_guard lock(owner_.mutex_);
  return channel.request->abandoned;
}

void Pump::answer(Channel& channel, Result<std::unique_ptr<ByteStream>> answer) {
  const std::lock_guard lock(owner_.mutex_);
  channel.request->answer = std::move(answer);
  channel.request.reset();
  owner_.answered_.notify_all();
}

void Pump::hand_out(Channel& channel) {
  std::array<int, 2> pair{-1, -1};
  channel.stage = Channel::Stage::Finished;
  if (abandoned(channel)) return;
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.data()) != 0)
    return answer(channel, fail(ErrorKind::Unavailable, "{}: no file descriptor left for a stream", settings_.name));
  channel.stage = Channel::Stage::Open;
  channel.local = UniqueFd(pair[0]);
  channel.end = std::make_shared<StreamEnd>();
  answer(channel, std::make_unique<SshStream>(UniqueFd(pair[1]), channel.end, settings_.name));
}

// --- copying

bool Pump::copy_step(Channel& channel) {
  bool moved = read_remote(channel);
  moved = write_local(channel) || moved;
  moved = tell_local(channel) || moved;
  moved = read_local(channel) || moved;
  moved = write_remote(channel) || moved;
  finish_if_done(channel);
  return moved;
}

bool Pump::read_remote(Channel& channel) {
  if (channel.stage != Channel::Stage::Open || channel.remote_ended || !channel.to_local.empty()) return false;
  auto& transit = channel.to_local;
  transit.bytes.resize(kInTransit);
  const int got = ::ssh_channel_read_nonblocking(channel.handle.get(), transit.bytes.data(), kInTransit, 0);
  if (got > 0) {
    transit.begin = 0;
    transit.end = static_cast<std::size_t>(got);
    return true;
  }
  bool moved = false;
  if (channel.way == Way::DialStdio) {
    std::array<char, 1024> text;
    const int said = ::ssh_channel_read_nonblocking(channel.handle.get(), text.data(), text.size(), 1);
    if (said > 0 && channel.complaints.size() < kLongestComplaint)
      channel.complaints.append(text.data(), static_cast<std::size_t>(said));
    moved = said > 0;
  }
  if (moved || (!::ssh_channel_is_eof(channel.handle.get()) && !::ssh_channel_is_closed(channel.handle.get())))
    return moved;
  channel.remote_ended = true;
  return true;
}

bool Pump::write_local(Channel& channel) {
  auto& transit = channel.to_local;
  bool moved = false;
  while (channel.stage == Channel::Stage::Open && !transit.empty()) {
    const auto put = ::send(channel.local.get(), transit.bytes.data() + transit.begin, transit.size(), MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0 && errno == EAGAIN) return moved;
    if (put < 0) {  // its owner has closed the stream
      channel.stage = Channel::Stage::Finished;
      return true;
    }
    transit.begin += static_cast<std::size_t>(put);
    moved = true;
  }
  return moved;
}

/// Passes the far side's end on once everything before it is delivered.
bool Pump::tell_local(Channel& channel) {
  if (channel.stage != Channel::Stage::Open || !channel.remote_ended || channel.local_told || !channel.to_local.empty())
    return false;
  if (channel.way == Way::DialStdio) {
    // The command's end counts, not its output's: with a status other than 0 nothing was reached.
    const int status = ::ssh_channel_get_exit_status(channel.handle.get());
    if (status == -1 && !::ssh_channel_is_closed(channel.handle.get())) return false;
    if (status != 0) {
      break_channel(channel, fmt::format("{}: docker system dial-stdio: {}{}{}", settings_.name,
                                         status == -1 ? "killed" : fmt::format("exit status {}", status),
                                         channel.complaints.empty() ? "" : ": ", one_line(channel.complaints)));
      return true;
    }
    channel.end->set(StreamEnd::How::Orderly);
  } else {
    // A forwarded socket that ends sends its end; a channel that is only closed was torn down.
    if (::ssh_channel_is_eof(channel.handle.get()))
      channel.end->set(StreamEnd::How::Orderly);
    else
      channel.end->set(StreamEnd::How::Broken, settings_.name + ": the host closed the channel");
  }
  ::shutdown(channel.local.get(), SHUT_WR);
  channel.local_told = true;
  return true;
}

bool Pump::read_local(Channel& channel) {
  auto& transit = channel.to_remote;
  if (channel.stage != Channel::Stage::Open || channel.local_ended || !transit.empty()) return false;
  transit.bytes.resize(kInTransit);
  const auto got = ::recv(channel.local.get(), transit.bytes.data(), kInTransit, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (got <= 0) {
    channel.local_ended = true;
    return true;
  }
  transit.begin = 0;
  transit.end = static_cast<std::size_t>(got);
  return true;
}

bool Pump::write_remote(Channel& channel) {
  if (channel.stage != Channel::Stage::Open) return false;
  auto& transit = channel.to_remote;
  bool moved = false;
  // libssh would take any amount into memory: not more than the window, nor while bytes wait for the socket.
  while (!transit.empty() && (::ssh_get_poll_flags(session_.get()) & SSH_WRITE_PENDING) == 0) {
    const auto room = std::min<std::size_t>(transit.size(), ::ssh_channel_window_size(channel.handle.get()));
    if (room == 0 || ::ssh_channel_is_closed(channel.handle.get())) break;
    const int put = ::ssh_channel_write(channel.handle.get(), transit.bytes.data() + transit.begin,
                                        static_cast<std::uint32_t>(room));
    if (put <= 0) break;
    transit.begin += static_cast<std::size_t>(put);
    moved = true;
  }
  if (channel.local_ended && !channel.eof_sent && transit.empty()) {
    ::ssh_channel_send_eof(channel.handle.get());
    channel.eof_sent = true;
    moved = true;
  }
  return moved;
}

void Pump::finish_if_done(Channel& channel) {
  if (channel.stage != Channel::Stage::Open || !channel.local_told) return;
  // A closed channel takes no more bytes: the writer learns it from its socket.
  if (channel.eof_sent || ::ssh_channel_is_closed(channel.handle.get())) channel.stage = Channel::Stage::Finished;
}

void Pump::break_channel(Channel& channel, std::string why) {
  if (channel.end) channel.end->set(StreamEnd::How::Broken, std::move(why));
  channel.stage = Channel::Stage::Finished;
  channel.local.reset();
}

// --- waiting

std::optional<Error> Pump::wait() {
  std::vector<pollfd> fds;
  const bool writing = (::ssh_get_poll_flags(session_.get()) & SSH_WRITE_PENDING) != 0;
  fds.push_back({::ssh_get_fd(session_.get()), static_cast<short>(writing ? POLLIN | POLLOUT : POLLIN), 0});
  fds.push_back({owner_.wake_.get(), POLLIN, 0});
  std::vector<Channel*> waiting;
  for (auto& channel : channels_) {
    if (channel.stage != Channel::Stage::Open) continue;
    const bool reads = !channel.local_ended && channel.to_remote.empty();
    const bool writes = !channel.to_local.empty();
    // A socket whose both directions ended reports it without end: it is not asked while the far side holds us back.
    const bool mute = channel.local_told && !reads && !writes;
    fds.push_back(
        {mute ? -1 : channel.local.get(), static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)), 0});
    waiting.push_back(&channel);
  }
  const int ready = ::poll(fds.data(), fds.size(), static_cast<int>(settings_.quiet_before_asking.count()));
  if (ready < 0 && errno != EINTR) return lost("poll");
  if (fds[1].revents != 0) {
    eventfd_t ignored = 0;
    (void)::eventfd_read(owner_.wake_.get(), &ignored);
  }
  for (std::size_t i = 0; i < waiting.size(); ++i) {
    // Hung up though we have not ended it: the owner has closed the stream.
    const bool closed = (fds[i + 2].revents & (POLLHUP | POLLERR)) != 0 && !waiting[i]->local_told;
    if (closed) waiting[i]->stage = Channel::Stage::Finished;
  }
  drop_finished();
  return keep_alive();
}

std::optional<Error> Pump::keep_alive() {
  const auto now = SteadyClock::now();
  if (std::exchange(heard_bytes_, traffic_.in_bytes) != traffic_.in_bytes) heard_ = now;
  if (now - heard_ > settings_.quiet_before_dead)
    return lost(fmt::format("the host has been silent for {} ms", settings_.quiet_before_dead.count()));
  if (now - heard_ < settings_.quiet_before_asking || now - asked_ < settings_.quiet_before_asking) return std::nullopt;
  asked_ = now;
  // The first call only collects the answer to the last one, if there was one.
  (void)::ssh_send_keepalive(session_.get());
  (void)::ssh_send_keepalive(session_.get());
  return std::nullopt;
}

}  // namespace roadstead::ssh
