#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "operator/adapters/ssh/session.h"

namespace roadstead::ssh {

struct EventFree {
  void operator()(ssh_event event) const { ::ssh_event_free(event); }
};

/// Bytes on their way; refilled only when empty, which is what holds a fast side back.
struct InTransit {
  std::vector<char> bytes;
  std::size_t begin = 0, end = 0;
  [[nodiscard]] bool empty() const { return begin == end; }
  [[nodiscard]] std::size_t size() const { return end - begin; }
};

/// One channel and our end of its socket pair.
struct Channel {
  enum class Stage { Opening, Requesting, Open, Finished };
  Stage stage = Stage::Opening;
  Way way = Way::Forward;
  std::shared_ptr<OpenRequest> request;
  ChannelHandle handle;
  UniqueFd local;
  std::shared_ptr<StreamEnd> end;
  InTransit to_local, to_remote;
  bool local_ended = false;   // the stream's owner half-closed
  bool eof_sent = false;      // … and the far side was told
  bool remote_ended = false;  // the far side half-closed
  bool local_told = false;    // … and the stream's owner can read it
  std::string complaints;     // dial-stdio's standard error
};

/// Copies between the channels of a session and their local ends. Lives in the session's thread.
class Pump {
 public:
  Pump(Session& owner, SessionHandle session);
  ~Pump();
  Pump(const Pump&) = delete;
  Pump& operator=(const Pump&) = delete;

  /// Until the session dies or stop is asked for; says why it ended.
  Error run(const std::stop_token& stop);
  /// Ends every channel with this error.
  void break_all(const Error& error);

 private:
  std::optional<Error> work();
  void take_requests();
  void drop_finished();
  bool step(Channel& channel);
  bool open_step(Channel& channel);
  bool request_step(Channel& channel);
  void answer(Channel& channel, Result<std::unique_ptr<ByteStream>> answer);
  void hand_out(Channel& channel);
  bool copy_step(Channel& channel);
  bool read_remote(Channel& channel);
  bool write_local(Channel& channel);
  bool tell_local(Channel& channel);
  bool read_local(Channel& channel);
  bool write_remote(Channel& channel);
  void finish_if_done(Channel& channel);
  void break_channel(Channel& channel, std::string why);
  [[nodiscard]] bool abandoned(const Channel& channel) const;
  std::optional<Error> wait();
  std::optional<Error> keep_alive();
  [[nodiscard]] Error lost(std::string_view why) const;

  Session& owner_;
  const Settings& settings_;
  SessionHandle session_;
  std::unique_ptr<ssh_event_struct, EventFree> event_;
  std::list<Channel> channels_;
  ssh_counter_struct traffic_{};  // libssh counts the socket's bytes here; it reads in many of its calls
  std::uint64_t heard_bytes_ = 0;
  std::chrono::steady_clock::time_point heard_, asked_;  // last bytes of the far side, last keep-alive
};

}  // namespace roadstead::ssh
