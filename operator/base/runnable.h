#pragma once

#include <string>

#include "operator/base/result.h"

namespace roadstead {

/// Something with threads of its own that lives as long as the program.
class Runnable {
 public:
  virtual ~Runnable() = default;
  [[nodiscard]] virtual std::string name() const = 0;
  /// Returns once it is at work. Called once.
  [[nodiscard]] virtual Result<void> start() = 0;
  /// Asks to stop and waits until it did. Safe to repeat, and without a start.
  virtual void stop() = 0;
};

}  // namespace roadstead
