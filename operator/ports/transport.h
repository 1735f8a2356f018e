#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>

#include "operator/base/result.h"

namespace roadstead {

/// How long a call may take and how it is cancelled; every blocking call takes one.
struct Limits {
  std::stop_token stop{};                    ///< request_stop() wakes a blocked call: it ends with Cancelled.
  std::chrono::milliseconds connect{5'000};  ///< Longest wait for a connection.
  std::chrono::milliseconds idle{30'000};    ///< Longest silence while a read or write waits; then Timeout.
};

/// One connected, ordered, two-way byte stream. One reader and one writer may work at the same time.
class ByteStream {
 public:
  virtual ~ByteStream() = default;  ///< Closes; never blocks.
  /// Reads at least one byte; 0 means the far side ended in order. A stream that broke gives Unavailable, never 0.
  virtual Result<std::size_t> read_some(std::span<std::byte> into, const Limits& limits) = 0;
  virtual Result<void> write_all(std::span<const std::byte> from, const Limits& limits) = 0;
  /// Half close: the far side reads an orderly end, we go on reading.
  virtual Result<void> end_of_writes() = 0;
};

/// A way to reach one Docker Engine. Safe to use from several threads.
class Transport {
 public:
  virtual ~Transport() = default;
  /// Errors: Unavailable (says host and cause), Forbidden (host key or credentials refused), Timeout, Cancelled.
  virtual Result<std::unique_ptr<ByteStream>> open(const Limits& limits) = 0;
  /// What goes into the HTTP Host header.
  [[nodiscard]] virtual std::string host_header() const = 0;
};

}  // namespace roadstead
