#include "mover/filter.h"

#include <fnmatch.h>

#include <algorithm>

namespace roadstead::mover {
namespace {

constexpr std::size_t kSegmentName = 24;  // timeline, log and segment, eight hex digits each

bool matches(const std::string& pattern, const std::string& text) {
  return ::fnmatch(pattern.c_str(), text.c_str(), FNM_PATHNAME) == 0;
}

bool is_segment(std::string_view name) {
  return name.size() == kSegmentName && name.find_first_not_of("0123456789ABCDEF") == std::string_view::npos;
}

/// Log and segment number: what orders segments whatever their timeline.
std::string_view position_of(std::string_view segment) { return segment.substr(8); }

}  // namespace

Filter::Filter(const Source& source) : keep_wal_(source.keep_wal) {
  for (const std::string& pattern : source.exclude) {
    if (pattern.find('/') == std::string::npos)
      anywhere_.push_back(pattern);
    else
      from_root_.push_back(pattern[0] == '/' ? pattern.substr(1) : pattern);
  }
}

bool Filter::takes(std::string_view path, bool is_directory) const {
  return !excluded(path) && is_kept_wal(path, is_directory);
}

bool Filter::excluded(std::string_view path) const {
  const std::string whole(path);
  const std::string name = whole.substr(whole.rfind('/') + 1);
  return std::any_of(anywhere_.begin(), anywhere_.end(), [&](const std::string& p) { return matches(p, name); }) ||
         std::any_of(from_root_.begin(), from_root_.end(), [&](const std::string& p) { return matches(p, whole); });
}

bool Filter::is_kept_wal(std::string_view path, bool is_directory) const {
  if (!keep_wal_) return true;
  const std::string_view directory = keep_wal_->directory;
  if (path.size() <= directory.size() || !path.starts_with(directory) || path[directory.size()] != '/') return true;
  const std::string_view name = path.substr(directory.size() + 1);
  if (name.find('/') != std::string_view::npos) return false;
  if (is_directory || name.ends_with(".history")) return true;
  return is_segment(name) && position_of(name) >= position_of(keep_wal_->first) &&
         position_of(name) <= position_of(keep_wal_->last);
}

}  // namespace roadstead::mover
