#include "reconcilers/support/wal.h"

#include <algorithm>
#include <charconv>
#include <sstream>

namespace roadstead::reconcilers {
namespace {

constexpr std::size_t kSegmentNameLength = 24;
constexpr std::uint64_t kFourGiB = std::uint64_t{1} << 32;

/// Upper-case hex, the whole text.
std::optional<std::uint64_t> parse_hex(std::string_view text) {
  std::uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [next, error] = std::from_chars(text.data(), end, value, 16);
  if (text.empty() || error != std::errc{} || next != end) return std::nullopt;
  return value;
}

/// The first segment number that the following timeline has, for each timeline that a history file names.
struct TimelineEnd {
  std::uint32_t timeline;
  std::uint64_t segment;
};

/// Lines "<timeline>\t<LSN>\t<reason>", oldest first; empty lines and # comments between them.
Result<std::vector<TimelineEnd>> parse_history(const std::string& text, std::uint64_t segment_bytes) {
  std::vector<TimelineEnd> ends;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') continue;
    std::istringstream words(line);
    std::uint32_t timeline = 0;
    std::string lsn_text;
    words >> timeline >> lsn_text;
    const auto lsn = parse_lsn(lsn_text);
    if (timeline == 0 || !lsn) return fail(ErrorKind::Invalid, "the timeline history line \"{}\" cannot be read", line);
    ends.push_back({timeline, *lsn / segment_bytes});
  }
  return ends;
}

std::uint32_t timeline_of(std::uint64_t number, const std::vector<TimelineEnd>& ends, std::uint32_t last) {
  for (const TimelineEnd& end : ends)
    if (number < end.segment) return end.timeline;
  return last;
}

}  // namespace

std::optional<Lsn> parse_lsn(std::string_view text) {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos || slash > 8 || text.size() - slash - 1 > 8) return std::nullopt;
  const auto high = parse_hex(text.substr(0, slash)), low = parse_hex(text.substr(slash + 1));
  if (!high || !low) return std::nullopt;
  return *high << 32 | *low;
}

std::string format_lsn(Lsn lsn) { return fmt::format("{:X}/{:X}", lsn >> 32, lsn & (kFourGiB - 1)); }

std::optional<WalSegment> parse_segment(std::string_view name, std::uint64_t segment_bytes) {
  if (name.size() != kSegmentNameLength) return std::nullopt;
  const auto timeline = parse_hex(name.substr(0, 8)), log = parse_hex(name.substr(8, 8)),
             within = parse_hex(name.substr(16));
  if (!timeline || *timeline == 0 || !log || !within || *within >= kFourGiB / segment_bytes) return std::nullopt;
  return WalSegment{static_cast<std::uint32_t>(*timeline), *log * (kFourGiB / segment_bytes) + *within};
}

std::string segment_name(const WalSegment& segment, std::uint64_t segment_bytes) {
  const std::uint64_t per_log = kFourGiB / segment_bytes;
  return fmt::format("{:08X}{:08X}{:08X}", segment.timeline, segment.number / per_log, segment.number % per_log);
}

WalSegment segment_of(std::uint32_t timeline, Lsn lsn, std::uint64_t segment_bytes) {
  return {timeline, lsn / segment_bytes};
}

Result<std::vector<WalGap>> find_gaps(std::string_view begin_segment, std::string_view end_segment,
                                      const WalListing& present, std::uint64_t segment_bytes) {
  const auto begin = parse_segment(begin_segment, segment_bytes), end = parse_segment(end_segment, segment_bytes);
  if (!begin || !end)
    return fail(ErrorKind::Invalid, "\"{}\" is no name of a WAL segment", !begin ? begin_segment : end_segment);
  std::vector<TimelineEnd> ends;
  if (begin->timeline != end->timeline) {
    const auto history = present.histories.find(end->timeline);
    if (history == present.histories.end())
      return fail(ErrorKind::NotFound, "the history file {:08X}.history of timeline {} is not in the archive",
                  end->timeline, end->timeline);
    auto parsed = parse_history(history->second, segment_bytes);
    if (!parsed) return tl::unexpected(parsed.error());
    ends = std::move(*parsed);
    const bool leads_on = std::any_of(ends.begin(), ends.end(), [&](const TimelineEnd& left) {
      return left.timeline == begin->timeline && left.segment >= begin->number;
    });
    if (!leads_on)
      return fail(ErrorKind::Invalid,
                  "timeline {} goes on from a point before WAL segment {}, so nothing leads from there to {}",
                  end->timeline, begin_segment, end_segment);
  }
  if (end->number < begin->number)
    return fail(ErrorKind::Invalid, "WAL segment {} lies before {}", end_segment, begin_segment);
  std::vector<WalGap> gaps;
  std::optional<WalSegment> previous;  // the last missing one
  for (std::uint64_t number = begin->number; number <= end->number; ++number) {
    const WalSegment wanted{timeline_of(number, ends, end->timeline), number};
    std::string name = segment_name(wanted, segment_bytes);
    if (present.segments.contains(name)) continue;
    const bool goes_on = previous && previous->timeline == wanted.timeline && previous->number + 1 == number;
    if (!goes_on) gaps.push_back({name, name, 0});
    gaps.back().last = std::move(name);
    ++gaps.back().segments;
    previous = wanted;
  }
  return gaps;
}

std::optional<WalSegment> newest_fork(const WalListing& present, std::uint64_t segment_bytes) {
  if (present.histories.empty()) return std::nullopt;
  const auto& [timeline, text] = *present.histories.rbegin();
  const auto ends = parse_history(text, segment_bytes);
  if (!ends || ends->empty()) return std::nullopt;
  return WalSegment{timeline, ends->back().segment};
}

std::string describe(const WalGap& gap) {
  if (gap.segments == 1) return gap.first;
  return fmt::format("{} to {} ({} segments)", gap.first, gap.last, gap.segments);
}

}  // namespace roadstead::reconcilers
