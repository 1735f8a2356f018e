#pragma once

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "operator/ports/transport.h"

namespace roadstead::test {

/// What a connection plays: bytes in pieces, and how it goes on after them.
struct Recording {
  enum class Then { End, Break, Stall };
  std::string bytes;
  std::size_t piece = 1 << 20;  ///< Bytes per read, at most.
  Then then = Then::End;
  std::size_t refuse_writes_after = SIZE_MAX;  ///< Bytes; then writing fails as on a closed connection.
};

/// What was done to the fake connections.
struct Seen {
  std::mutex mutex;
  std::deque<std::string> written;  ///< Per connection, in the order of opening.
  int closed = 0;
};

/// Replays recorded bytes.
class FakeStream final : public ByteStream {
 public:
  FakeStream(Recording recording, std::shared_ptr<Seen> seen, std::size_t index)
      : recording_(std::move(recording)), seen_(std::move(seen)), index_(index) {}
  ~FakeStream() override {
    const std::lock_guard lock(seen_->mutex);
    ++seen_->closed;
  }

  Result<std::size_t> read_some(std::span<std::byte> into, const Limits& limits) override {
    if (limits.stop.stop_requested()) return fail(ErrorKind::Cancelled, "stopped");
    if (at_ == recording_.bytes.size()) {
      if (recording_.then == Recording::Then::End) return std::size_t{0};
      if (recording_.then == Recording::Then::Break) return fail(ErrorKind::Unavailable, "connection lost");
      return fail(ErrorKind::Timeout, "nothing happened for {} ms", limits.idle.count());
    }
    const auto count = std::min({into.size(), recording_.piece, recording_.bytes.size() - at_});
    std::memcpy(into.data(), recording_.bytes.data() + at_, count);
    at_ += count;
    return count;
  }

  Result<void> write_all(std::span<const std::byte> from, const Limits&) override {
    const std::lock_guard lock(seen_->mutex);
    auto& written = seen_->written[index_];
    written.append(reinterpret_cast<const char*>(from.data()), from.size());
    if (written.size() > recording_.refuse_writes_after) return fail(ErrorKind::Unavailable, "Broken pipe");
    return {};
  }

  Result<void> end_of_writes() override { return {}; }

 private:
  const Recording recording_;
  const std::shared_ptr<Seen> seen_;
  const std::size_t index_;
  std::size_t at_ = 0;
};

/// Hands out one recording per connection, in order; refuses more.
class FakeTransport final : public Transport {
 public:
  explicit FakeTransport(std::deque<Recording> recordings) : recordings_(std::move(recordings)) {}

  Result<std::unique_ptr<ByteStream>> open(const Limits&) override {
    const std::lock_guard lock(seen->mutex);
    if (recordings_.empty()) return fail(ErrorKind::Unavailable, "fake: connection refused");
    seen->written.emplace_back();
    auto stream = std::make_unique<FakeStream>(std::move(recordings_.front()), seen, seen->written.size() - 1);
    recordings_.pop_front();
    return stream;
  }
  [[nodiscard]] std::string host_header() const override { return "docker"; }

  const std::shared_ptr<Seen> seen = std::make_shared<Seen>();

 private:
  std::deque<Recording> recordings_;
};

template <class T>
std::optional<ErrorKind> kind_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error().kind);
}

template <class T>
std::string message_of(const Result<T>& result) {
  return result ? "no error" : result.error().message;
}

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

}  // namespace roadstead::test
