#include "operator/adapters/docker/mux.h"

#include <algorithm>
#include <cstring>

#include "operator/base/rfc3339.h"

namespace roadstead::docker {
namespace {

std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Result<void> MuxReader::feed(std::span<const std::byte> piece, const Sink& sink) {
  while (!piece.empty()) {
    if (left_ > 0) {
      const auto count = std::min<std::size_t>(left_, piece.size());
      left_ -= static_cast<std::uint32_t>(count);
      sink(channel_, piece.first(count), left_ == 0);
      piece = piece.subspan(count);
      continue;
    }
    const auto count = std::min(header_.size() - held_, piece.size());
    std::memcpy(header_.data() + held_, piece.data(), count);
    held_ += count;
    piece = piece.subspan(count);
    if (held_ < header_.size()) return {};
    held_ = 0;
    const auto byte = [this](std::size_t at) { return std::to_integer<std::uint32_t>(header_[at]); };
    if (byte(0) > 2 || byte(1) != 0 || byte(2) != 0 || byte(3) != 0)
      return fail(ErrorKind::Unavailable, "the engine's stream is not made of frames");
    channel_ = static_cast<Channel>(byte(0));
    left_ = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
  }
  return {};
}

std::string LogPosition::since() const {
  const auto time = parse_rfc3339(stamp);
  if (!time) return {};
  const auto dot = stamp.find('.');
  const auto digits =
      dot == stamp.npos
          ? std::string()
          : stamp.substr(dot + 1, std::min<std::size_t>(9, stamp.find_first_not_of("0123456789", dot + 1) - dot - 1));
  return fmt::format("{}.{:0<9}", std::chrono::floor<std::chrono::seconds>(*time).time_since_epoch().count(), digits);
}

Result<bool> LogAssembler::feed(std::span<const std::byte> piece) {
  if (terminal_) {
    while (!piece.empty() && wanted_) {  // one line is one message
      const auto end = text_of(piece).find('\n');
      const auto count = end == std::string_view::npos ? piece.size() : end + 1;
      take(Channel::Out, piece.first(count), end != std::string_view::npos);
      piece = piece.subspan(count);
    }
    return wanted_;
  }
  const auto fed = mux_.feed(
      piece, [this](Channel channel, std::span<const std::byte> part, bool last) { take(channel, part, last); });
  if (!fed) return tl::unexpected(fed.error());
  return wanted_;
}

Result<void> LogAssembler::finish() {
  if (!mux_.between_frames()) return fail(ErrorKind::Unavailable, "the engine's log was cut short");
  for (auto& [channel, stream] : streams_) {
    if (!stream.message.empty()) take_message(channel, stream);
    if (stream.started) emit(channel, stream);
  }
  return {};
}

void LogAssembler::take(Channel channel, std::span<const std::byte> part, bool last) {
  auto& stream = streams_[channel];
  stream.message += text_of(part);
  if (last || stream.message.size() > kLongestLine) take_message(channel, stream);
}

void LogAssembler::take_message(Channel channel, Stream& stream) {
  std::string_view message = stream.message;
  const auto space = message.find(' ');
  if (const auto time = space == message.npos ? Result<Time>(fail(ErrorKind::Invalid, ""))
                                              : parse_rfc3339(message.substr(0, space))) {
    if (!stream.started) {
      stream.line.time = *time;
      stream.stamp = message.substr(0, space);
    }
    message.remove_prefix(space + 1);
  }
  stream.started = true;
  bool ended = false;
  if (message.ends_with('\n')) {
    message.remove_suffix(1);
    if (message.ends_with('\r')) message.remove_suffix(1);
    ended = true;
  }
  stream.line.text += message;
  stream.message.clear();
  if (ended || stream.line.text.size() > kLongestLine) emit(channel, stream);
}

void LogAssembler::emit(Channel channel, Stream& stream) {
  stream.line.error_stream = channel == Channel::Err;
  const bool known = after_.lines > 0 && stream.stamp == after_.stamp;
  if (known) {
    --after_.lines;
  } else if (wanted_) {
    if (position_.stamp < stream.stamp) position_ = {stream.stamp, 0};
    if (position_.stamp == stream.stamp) ++position_.lines;
    wanted_ = sink_(stream.line);
  }
  stream.line = LogLine{};
  stream.stamp.clear();
  stream.started = false;
}

}  // namespace roadstead::docker
