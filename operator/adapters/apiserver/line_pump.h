#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "operator/adapters/apiserver/http_message.h"

namespace roadstead::apiserver {

/// Between the thread that follows a watch and the connection that sends it: a queue of whole lines, bounded in bytes.
/// When it is full the thread waits for the connection; a connection that takes nothing for `patience` is given up.
class LinePump {
 public:
  LinePump(std::size_t most_bytes, Millis patience) : most_bytes_(most_bytes), patience_(patience) {}

  /// The thread's work. `notify` is called after every change, on this thread.
  void run(LineStream& stream, const std::stop_token& stop, const std::function<void()>& notify);

  struct Taken {
    std::string text;
    bool last = false;  ///< Nothing follows.
    bool cut = false;   ///< The watcher was too slow: what is missing cannot be sent any more.
  };
  /// All that waits. Never blocks.
  Taken take();

 private:
  const std::size_t most_bytes_;
  const Millis patience_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable_any room_;
  std::string waiting_;
  bool last_ = false;
  bool cut_ = false;
};

}  // namespace roadstead::apiserver
