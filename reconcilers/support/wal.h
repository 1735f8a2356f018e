#pragma once

// PostgreSQL's write-ahead log by name: positions (LSN), segments, timelines.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "operator/base/result.h"

namespace roadstead::reconcilers {

/// A position in the WAL, in bytes from its beginning.
using Lsn = std::uint64_t;

/// "3A/7F000110". Nothing for what is no LSN.
std::optional<Lsn> parse_lsn(std::string_view text);
std::string format_lsn(Lsn lsn);

inline constexpr std::uint64_t kDefaultWalSegmentBytes = 16u << 20;

/// A segment's file name, "000000010000003A0000007F", taken apart.
struct WalSegment {
  std::uint32_t timeline = 0;
  std::uint64_t number = 0;  ///< Counted from the beginning of the WAL: LSN / segment size.
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the 0 that <=> is compared with for a pointer
  auto operator<=>(const WalSegment&) const = default;
};

/// Nothing for what is no segment's name (a history file, a ".partial"). `segment_bytes` is a power of two from 1 MiB.
std::optional<WalSegment> parse_segment(std::string_view name, std::uint64_t segment_bytes = kDefaultWalSegmentBytes);
std::string segment_name(const WalSegment& segment, std::uint64_t segment_bytes = kDefaultWalSegmentBytes);

/// The segment that holds `lsn`.
WalSegment segment_of(std::uint32_t timeline, Lsn lsn, std::uint64_t segment_bytes = kDefaultWalSegmentBytes);

/// What lies in an archive: complete segments, and the history file of each timeline after the first.
struct WalListing {
  std::set<std::string> segments;                  ///< 24 hex digits each.
  std::set<std::string> receiving;                 ///< Begun, not complete: their names without ".partial".
  std::map<std::uint32_t, std::string> histories;  ///< Timeline → text of its history file.
};

/// Segments of one timeline that are missing, from first to last, both included.
struct WalGap {
  std::string first, last;
  std::uint64_t segments = 0;
  bool operator==(const WalGap&) const = default;
};

/// What is missing between two segments (both needed) for a replay that ends on the end's timeline. Where a timeline
/// ends, the segment in which it was left is needed from the timeline that follows, as PostgreSQL reads it.
/// Errors: Invalid (no segment's name, the end lies before the begin, or the begin's timeline was left before it, so
/// that no way leads from there to the end), NotFound (a history file that is needed is not there, so the way from the
/// one timeline to the other is not known).
Result<std::vector<WalGap>> find_gaps(std::string_view begin_segment, std::string_view end_segment,
                                      const WalListing& present, std::uint64_t segment_bytes = kDefaultWalSegmentBytes);

/// The segment of the newest timeline that begins it, by the history files; nothing where there is none.
std::optional<WalSegment> newest_fork(const WalListing& present, std::uint64_t segment_bytes = kDefaultWalSegmentBytes);

/// "000000010000003A0000007F" or "A … B (12 segments)", for messages.
std::string describe(const WalGap& gap);

}  // namespace roadstead::reconcilers
