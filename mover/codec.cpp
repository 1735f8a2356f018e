#include "mover/codec.h"

#include <zstd.h>

#include <algorithm>
#include <stdexcept>

namespace roadstead::mover {
namespace {

constexpr int kLevel = 1;
constexpr int kMostSkipped = 32;
constexpr std::chrono::seconds kLongestPause{30};
constexpr std::chrono::seconds kLongestOn{10};

}  // namespace

void Packer::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }
void Unpacker::Free::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

Packer::Packer() : context_(ZSTD_createCCtx()) {
  if (!context_) throw std::bad_alloc();
}

std::optional<std::span<const std::byte>> Packer::pack(std::span<const std::byte> plain) {
  out_.resize(std::max(out_.size(), plain.size()));
  const std::size_t most = plain.size() - plain.size() / 16;
  const std::size_t size = ZSTD_compressCCtx(context_.get(), out_.data(), most, plain.data(), plain.size(), kLevel);
  if (ZSTD_isError(size) != 0) return std::nullopt;  // it did not fit
  return std::span<const std::byte>(out_).first(size);
}

Unpacker::Unpacker() : context_(ZSTD_createDCtx()) {
  if (!context_) throw std::bad_alloc();
}

Outcome<std::span<const std::byte>> Unpacker::unpack(std::uint8_t codec, std::span<const std::byte> stored,
                                                     std::size_t length) {
  const auto wrong = [&] { return failed(protocol_error("an extent is not of the length it should have")); };
  if (codec == kPlain) return stored.size() == length ? Outcome<std::span<const std::byte>>(stored) : wrong();
  if (length > kMaxExtent) return wrong();
  out_.resize(std::max(out_.size(), length));
  const std::size_t size = ZSTD_decompressDCtx(context_.get(), out_.data(), length, stored.data(), stored.size());
  if (ZSTD_isError(size) != 0 || size != length) return wrong();
  return std::span<const std::byte>(out_).first(length);
}

void PackingChoice::sent(Clock::time_point now, std::uint64_t bytes, std::chrono::nanoseconds waited) {
  if (mode_ != Compression::Auto) return;
  if (since_ == Clock::time_point{}) {
    since_ = now;
    bytes_then_ = bytes;
    waited_then_ = waited;
    return;
  }
  const std::chrono::duration<double> time = now - since_;
  if (time < kWindow) return;
  const double rate = static_cast<double>(bytes - bytes_then_) / time.count();
  const double waiting = std::chrono::duration<double>(waited - waited_then_).count() / time.count();
  since_ = now;
  bytes_then_ = bytes;
  waited_then_ = waited;
  constexpr double kMostly = 0.5, kWorthIt = 1.1;
  if (!on_) {
    plain_rate_ = rate;
    if (waiting < kMostly || now < not_before_) return;
    on_ = true;
    on_since_ = now;
    return;
  }
  if (rate >= plain_rate_ * kWorthIt) {
    pause_ = std::chrono::milliseconds(500);
    if (now - on_since_ > kLongestOn) on_ = false;
    return;
  }
  // It does not pay, or no longer: the line became faster, or the data does not shrink.
  on_ = false;
  not_before_ = now + pause_;
  pause_ = std::min<std::chrono::milliseconds>(pause_ * 2, kLongestPause);
}

void PackingChoice::did_not_shrink() {
  failures_ = std::min(failures_ + 1, 5);
  skip_ = std::min(1 << failures_, kMostSkipped);
}

bool PackingChoice::tries() {
  if (!on_) return false;
  if (skip_ == 0) return true;
  --skip_;
  return false;
}

}  // namespace roadstead::mover
