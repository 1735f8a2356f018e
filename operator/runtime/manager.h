#pragma once

#include <vector>

#include "operator/base/runnable.h"

namespace roadstead {

/// Starts in the order added, stops in the reverse: what others need comes first.
class Manager {
 public:
  Manager() = default;
  ~Manager();
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;

  /// `runnable` must outlive this.
  void add(Runnable& runnable);
  /// If one does not start, those before it are stopped again and its error is returned.
  [[nodiscard]] Result<void> start();
  void stop();

 private:
  std::vector<Runnable*> runnables_;
  std::size_t started_ = 0;  // how many of them, from the front
};

}  // namespace roadstead
