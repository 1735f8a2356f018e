#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stop_token>
#include <system_error>
#include <thread>
#include <vector>

#include "mover/sink.h"

namespace roadstead::mover {

/// A thread for each core, up to four, that look at a tree. Work begins in the order in which it is added. Where not
/// one thread can be started, who waits for results does the work.
class Pool {
 public:
  Pool() {
    const unsigned wanted = std::clamp(std::thread::hardware_concurrency(), 1U, kMaxThreads);
    try {
      while (threads_.size() < wanted) threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
    } catch (const std::system_error&) {
      // Fewer will do.
    }
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  /// Waits for what has begun; the rest is not done.
  ~Pool() = default;

  /// What `work` refers to must outlive the pool.
  template <class Work>
  auto add(Work work) -> std::future<decltype(work())> {
    auto task = std::make_shared<std::packaged_task<decltype(work())()>>(std::move(work));
    auto result = task->get_future();
    {
      const std::lock_guard lock(mutex_);
      tasks_.emplace_back([task = std::move(task)] { (*task)(); });
    }
    wake_.notify_one();
    return result;
  }

  /// What the work gave. `tick` is called at least once, and every kTick while it is waited for; its failure is
  /// returned instead.
  template <class Result>
  Outcome<Result> wait(std::future<Outcome<Result>>& coming, const Tick& tick) {
    do {
      if (auto go_on = tick(); !go_on) return failed(go_on.error());
      if (threads_.empty()) do_next();
    } while (coming.wait_for(threads_.empty() ? std::chrono::milliseconds(0) : kTick) != std::future_status::ready);
    return coming.get();
  }

 private:
  static constexpr unsigned kMaxThreads = 4;
  static constexpr std::chrono::milliseconds kTick{100};

  void run(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    while (wake_.wait(lock, stop, [&] { return !tasks_.empty(); }) && !stop.stop_requested()) {
      auto task = std::move(tasks_.front());
      tasks_.pop_front();
      lock.unlock();
      task();
      task = {};  // with what it holds
      lock.lock();
    }
  }

  void do_next() {
    if (tasks_.empty()) return;
    const auto task = std::move(tasks_.front());
    tasks_.pop_front();
    task();
  }

  std::mutex mutex_;  // guards tasks_
  std::condition_variable_any wake_;
  std::deque<std::function<void()>> tasks_;
  std::vector<std::jthread> threads_;
};

}  // namespace roadstead::mover
