#include "operator/adapters/apiserver/line_pump.h"

#include <chrono>

namespace roadstead::apiserver {
namespace {
constexpr Millis kLook{1'000};  // how long one look at the watch may take
}

void LinePump::run(LineStream& stream, const std::stop_token& stop, const std::function<void()>& notify) {
  bool last = false;
  while (!last && !stop.stop_requested()) {
    LineStream::Chunk chunk = stream.next(kLook, stop);
    last = chunk.last;
    if (chunk.text.empty() && !last) continue;
    {
      std::unique_lock lock(mutex_);
      const bool taken = room_.wait_for(lock, stop, patience_, [&] { return waiting_.size() < most_bytes_; });
      if (stop.stop_requested()) return;
      if (taken) {
        waiting_ += chunk.text;
      } else {
        cut_ = last = true;
      }
      last_ = last;
    }
    notify();
  }
}

LinePump::Taken LinePump::take() {
  Taken taken;
  {
    std::lock_guard lock(mutex_);
    taken.text.swap(waiting_);
    taken.last = last_;
    taken.cut = cut_;
  }
  room_.notify_all();
  return taken;
}

}  // namespace roadstead::apiserver
