#include "operator/adapters/ssh/session.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "operator/adapters/ssh/pump.h"

namespace roadstead::ssh {
namespace {

/// How much longer than connecting itself a caller waits to hear how it ended.
constexpr std::chrono::milliseconds kHearsay{500};

}  // namespace

void StreamEnd::set(How how, std::string why) {
  const std::lock_guard lock(mutex_);
  how_ = how;
  why_ = std::move(why);
}

std::pair<StreamEnd::How, std::string> StreamEnd::get() const {
  const std::lock_guard lock(mutex_);
  return {how_, why_};
}

Session::Session(Settings settings, std::chrono::milliseconds connect_limit)
    : settings_(std::move(settings)),
      connect_limit_(connect_limit),
      wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this](const std::stop_token& stop) { run(stop); }) {}

Session::~Session() {
  thread_.request_stop();
  (void)::eventfd_write(wake_.get(), 1);
}

bool Session::dead() const {
  const std::lock_guard lock(mutex_);
  return death_.has_value();
}

Result<std::unique_ptr<ByteStream>> Session::open(Way way, const Limits& limits) {
  auto request = std::make_shared<OpenRequest>();
  request->way = way;
  std::unique_lock lock(mutex_);
  if (death_) return tl::unexpected(*death_);
  requests_.push_back(request);
  (void)::eventfd_write(wake_.get(), 1);
  const auto deadline = std::chrono::steady_clock::now() + limits.connect + kHearsay;
  answered_.wait_until(lock, limits.stop, deadline, [&] { return request->answer.has_value(); });
  if (request->answer) return std::move(*request->answer);
  request->abandoned = true;
  if (limits.stop.stop_requested()) return fail(ErrorKind::Cancelled, "{}: stopped", settings_.name);
  if (!connected_)
    return fail(ErrorKind::Unavailable, "{}: no connection within {} ms", settings_.name, limits.connect.count());
  return fail(ErrorKind::Timeout, "{}: no channel within {} ms", settings_.name, limits.connect.count());
}

void Session::run(const std::stop_token& stop) {
  // libssh writes to its socket without MSG_NOSIGNAL: a lost connection must not kill the program.
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);

  auto session = connect(settings_, connect_limit_, stop);
  if (!session) return fail_all(session.error());
  {
    const std::lock_guard lock(mutex_);
    connected_ = true;
  }
  Pump pump(*this, std::move(*session));
  const auto end = pump.run(stop);
  fail_all(end);
  pump.break_all(end);
}

void Session::fail_all(const Error& error) {
  const std::lock_guard lock(mutex_);
  death_ = error;
  for (const auto& request : requests_) request->answer = tl::unexpected(error);
  requests_.clear();
  answered_.notify_all();
}

}  // namespace roadstead::ssh
