#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>

#include "operator/base/result.h"
#include "operator/ports/engine.h"

namespace roadstead::docker {

enum class Channel : std::uint8_t { In = 0, Out = 1, Err = 2 };

/// Takes apart the stream of a container without a terminal: frames of an 8-byte header (channel, three zero bytes,
/// length as 32 bits big-endian) and the bytes. Pieces may be cut anywhere; a frame is never held back until complete.
class MuxReader {
 public:
  /// A part of a frame; `last` on the one that completes it.
  using Sink = std::function<void(Channel, std::span<const std::byte> part, bool last)>;

  /// Errors: Unavailable (the bytes are no such frames).
  Result<void> feed(std::span<const std::byte> piece, const Sink& sink);
  /// False in the middle of a frame: a stream that ends there broke.
  [[nodiscard]] bool between_frames() const { return held_ == 0 && left_ == 0; }

 private:
  std::array<std::byte, 8> header_{};
  std::size_t held_ = 0;    // bytes of the header we have; 0 while inside a frame
  std::uint32_t left_ = 0;  // bytes of the frame that are to come
  Channel channel_ = Channel::Out;
};

/// How far a log was handed on: the engine's newest time stamp (nanoseconds, fixed width) and how many lines had it.
struct LogPosition {
  std::string stamp;
  int lines = 0;
  /// The `since` parameter that reads from this stamp on; empty for the beginning.
  [[nodiscard]] std::string since() const;
};

/// Puts a container's log together, asked for with `timestamps=1`: every frame is one message of the engine, a time
/// stamp first; a long line is several messages, of which only the last ends with a line end.
class LogAssembler {
 public:
  using LineSink = std::function<bool(const LogLine&)>;
  /// A longer line is handed on in parts of this size.
  static constexpr std::size_t kLongestLine = std::size_t{1} << 20;

  /// `terminal`: the container has one, so there are no frames and one stream. Lines up to `after` are left out.
  LogAssembler(bool terminal, LogPosition after, LineSink sink)
      : terminal_(terminal), sink_(std::move(sink)), after_(std::move(after)), position_(after_) {}

  /// False: the sink wants no more. Errors: Unavailable.
  Result<bool> feed(std::span<const std::byte> piece);
  /// Hands on a last line without an end. Errors: Unavailable (the stream ended inside a frame).
  Result<void> finish();
  [[nodiscard]] const LogPosition& position() const { return position_; }
  [[nodiscard]] bool wanted() const { return wanted_; }

 private:
  struct Stream {
    std::string message;  // of the frame being read
    std::string stamp;    // of the line's first message
    LogLine line;         // of the messages before
    bool started = false;
  };
  void take(Channel channel, std::span<const std::byte> part, bool last);
  void take_message(Channel channel, Stream& stream);
  void emit(Channel channel, Stream& stream);

  const bool terminal_;
  const LineSink sink_;
  LogPosition after_;  // its lines are still to be left out
  LogPosition position_;
  bool wanted_ = true;
  MuxReader mux_;
  std::map<Channel, Stream> streams_;
};

}  // namespace roadstead::docker
