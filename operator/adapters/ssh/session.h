#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "operator/adapters/ssh/connect.h"
#include "operator/base/result.h"
#include "operator/ports/fd_stream.h"
#include "operator/ports/transport.h"

namespace roadstead::ssh {

/// The two ways from an sshd to a socket on its host.
enum class Way { Forward, DialStdio };

/// How the far side of one stream ended; the stream's thread reads what the session's thread wrote.
class StreamEnd {
 public:
  enum class How { NotYet, Orderly, Broken };
  void set(How how, std::string why = {});
  [[nodiscard]] std::pair<How, std::string> get() const;

 private:
  mutable std::mutex mutex_;  // guards both
  How how_ = How::NotYet;
  std::string why_;
};

/// What one open() asks of the session's thread; guarded by the session's mutex.
struct OpenRequest {
  Way way = Way::Forward;
  bool abandoned = false;  // nobody waits any more
  std::optional<Result<std::unique_ptr<ByteStream>>> answer;
};

/// One connection to one sshd. libssh's sessions are not thread-safe: a thread of its own does everything with it, and
/// hands out one end of a socket pair per channel. Once dead it stays dead.
class Session {
 public:
  /// Begins to connect.
  Session(Settings settings, std::chrono::milliseconds connect_limit);
  /// Ends every stream; takes milliseconds.
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  [[nodiscard]] bool dead() const;
  /// Channels that are open.
  [[nodiscard]] std::size_t channels() const { return channels_; }
  /// Errors: as Transport::open(); for DialStdio a success says only that the command was started.
  Result<std::unique_ptr<ByteStream>> open(Way way, const Limits& limits);

 private:
  void run(const std::stop_token& stop);
  void fail_all(const Error& error);

  const Settings settings_;
  const std::chrono::milliseconds connect_limit_;
  UniqueFd wake_;             // eventfd: a request waits, or stop was asked for
  mutable std::mutex mutex_;  // guards the three below and what is in the requests
  std::optional<Error> death_;
  bool connected_ = false;
  std::deque<std::shared_ptr<OpenRequest>> requests_;
  std::condition_variable_any answered_;
  std::atomic<std::size_t> channels_{0};
  std::jthread thread_;  // last: joined first

  friend class Pump;
};

}  // namespace roadstead::ssh
