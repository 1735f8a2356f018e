#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

namespace roadstead::apiserver {

/// At most so many threads at once, each with its own stop; finished ones are joined when the next starts, the rest by
/// the destructor, which asks them to stop.
class ThreadSet {
 public:
  explicit ThreadSet(std::size_t most) : most_(most) {}
  ~ThreadSet() { stop_and_join(); }

  /// Nothing if `most` run already, or the set was stopped.
  std::optional<std::stop_source> run(std::function<void(std::stop_token)> work) {
    std::lock_guard lock(mutex_);
    threads_.remove_if([](const Entry& entry) { return entry.done->load(); });
    if (stopped_ || threads_.size() >= most_) return std::nullopt;
    auto done = std::make_shared<std::atomic<bool>>(false);
    std::jthread thread([work = std::move(work), done](const std::stop_token& stop) mutable {
      work(stop);
      work = nullptr;  // what it holds goes with its thread, not with the next sweep
      done->store(true);
    });
    std::stop_source source = thread.get_stop_source();
    threads_.push_back(Entry{std::move(done), std::move(thread)});
    return source;
  }

  void stop_and_join() {
    std::list<Entry> last;
    {
      std::lock_guard lock(mutex_);
      stopped_ = true;
      last.swap(threads_);
    }
    for (Entry& entry : last) entry.thread.request_stop();
  }  // joined here, without the lock

 private:
  struct Entry {
    std::shared_ptr<std::atomic<bool>> done;
    std::jthread thread;
  };
  const std::size_t most_;
  std::mutex mutex_;  // guards stopped_, threads_
  bool stopped_ = false;
  std::list<Entry> threads_;
};

}  // namespace roadstead::apiserver
