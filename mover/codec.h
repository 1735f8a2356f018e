#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <span>

#include "mover/contract/job.h"
#include "mover/outcome.h"
#include "mover/wire.h"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace roadstead::mover {

/// Packs extents with zstd, fast rather than small. One per thread.
class Packer {
 public:
  Packer();
  /// The packed bytes, if they are at most fifteen sixteenths of `plain`; valid until the next call.
  std::optional<std::span<const std::byte>> pack(std::span<const std::byte> plain);

 private:
  struct Free {
    void operator()(ZSTD_CCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_CCtx_s, Free> context_;
  Bytes out_;
};

/// Unpacks what was stored. One per thread.
class Unpacker {
 public:
  Unpacker();
  /// `stored` as it was, of exactly `length` bytes: itself with kPlain, else valid until the next call.
  /// ProtocolError where it is not that.
  Outcome<std::span<const std::byte>> unpack(std::uint8_t codec, std::span<const std::byte> stored, std::size_t length);

 private:
  struct Free {
    void operator()(ZSTD_DCtx_s* context) const;
  };
  std::unique_ptr<ZSTD_DCtx_s, Free> context_;
  Bytes out_;
};

/// Whether packing pays on a connection, found out by doing: while its thread mostly waits for the line, packing is
/// tried for a while and stays on if more bytes of files go through; a trial that does not pay makes the next one
/// later. Now and then it is left off for a moment, because lines change. Time is an argument.
class PackingChoice {
 public:
  using Clock = std::chrono::steady_clock;
  explicit PackingChoice(Compression mode) : mode_(mode), on_(mode == Compression::Zstd) {}

  [[nodiscard]] bool on() const { return on_; }

  /// So many bytes of files have gone out so far; the thread has waited for the line so long so far.
  void sent(Clock::time_point now, std::uint64_t bytes, std::chrono::nanoseconds waited);

  /// An extent that did not shrink: the next ones are not tried.
  void did_not_shrink();
  void did_shrink() { skip_ = failures_ = 0; }
  /// Whether this extent is one to be tried.
  bool tries();

 private:
  static constexpr std::chrono::milliseconds kWindow{200};

  Compression mode_;
  bool on_ = false;
  Clock::time_point since_{};
  Clock::time_point on_since_{};
  std::uint64_t bytes_then_ = 0;
  std::chrono::nanoseconds waited_then_{0};
  double plain_rate_ = 0;
  std::chrono::milliseconds pause_{500};
  Clock::time_point not_before_{};
  int failures_ = 0;  ///< Extents in a row that did not shrink.
  int skip_ = 0;
};

}  // namespace roadstead::mover
