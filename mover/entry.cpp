#include "mover/entry.h"

#include <algorithm>
#include <limits>

namespace roadstead::mover {
namespace {

constexpr auto kMaxSize = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

bool is_link_target(const std::shared_ptr<const std::string>& target) {
  return target && !target->empty() && target->size() <= kMaxLinkTarget && target->find('\0') == std::string::npos;
}

/// Ascending, apart from each other, within the file.
bool are_ranges(const std::vector<Range>& ranges, std::uint64_t size) {
  std::uint64_t end = 0;
  for (const Range& range : ranges) {
    if (range.length == 0 || range.offset < end || range.offset > size || range.length > size - range.offset)
      return false;
    end = range.offset + range.length;
  }
  return ranges.size() <= kMaxRanges;
}

/// Without its holes.
std::uint64_t bytes_of(const Entry& entry) {
  if (!entry.sparse) return entry.size;
  std::uint64_t bytes = 0;
  for (const Range& range : *entry.ranges) bytes += range.length;
  return bytes;
}

}  // namespace

Outcome<void> EntryList::add(Entry entry) {
  const auto refuse = [&](std::string_view why) {
    return failed(protocol_error(fmt::format("entry {} {}", entries_.size(), why)));
  };
  const bool root = entries_.empty();
  if (entries_.size() >= kMaxEntries) return refuse("is one more than a tree may have");
  if (root && (entry.type != EntryType::Directory || !entry.name.empty() || entry.parent != 0))
    return refuse("is not the root");
  if (!root && !is_name(entry.name)) return refuse("has a name that would leave its directory");
  if (!root && (entry.parent >= entries_.size() || entries_[entry.parent].type != EntryType::Directory))
    return refuse("has no directory as its parent");
  if (entry.mode > 07777 || entry.mtime_nanos >= 1'000'000'000) return refuse("has an impossible mode or time");
  entry.depth = root ? std::uint16_t{0} : static_cast<std::uint16_t>(entries_[entry.parent].depth + 1);
  if (entry.depth > kMaxDepth) return refuse("is too deep");
  switch (entry.type) {
    case EntryType::Directory:
      break;
    case EntryType::File:
      if (entry.size > kMaxSize) return refuse("has an impossible size");
      if (entry.sparse && (!entry.ranges || !are_ranges(*entry.ranges, entry.size)))
        return refuse("has impossible ranges of data");
      if (entry.sparse && ranges_ + entry.ranges->size() > kMaxAllRanges) return refuse("is one sparse file too many");
      if (bytes_of(entry) > kMaxSize - data_bytes_) return refuse("makes the tree larger than any disk");
      break;
    case EntryType::SymbolicLink:
      if (!is_link_target(entry.link_target)) return refuse("has an impossible link target");
      break;
    case EntryType::HardLink:
      if (entry.link_to >= entries_.size() || entries_[entry.link_to].type != EntryType::File)
        return refuse("links to no file before it");
      break;
    default:
      return refuse("is of an unknown type");
  }
  entries_.push_back(std::move(entry));
  if (entries_.back().type == EntryType::File) {
    ++files_;
    data_bytes_ += bytes_of(entries_.back());
    if (entries_.back().sparse) ranges_ += entries_.back().ranges->size();
  }
  return {};
}

std::string EntryList::path_of(std::uint32_t id) const {
  if (id == 0) return ".";
  std::string path = entries_[id].name;
  for (id = entries_[id].parent; id != 0; id = entries_[id].parent) path.insert(0, entries_[id].name + "/");
  return path;
}

std::vector<Range> EntryList::ranges_of(std::uint32_t id) const {
  const Entry& entry = entries_[id];
  if (entry.sparse) return *entry.ranges;
  if (entry.size == 0) return {};
  return {{0, entry.size}};
}

std::uint64_t EntryList::data_bytes_of(std::uint32_t id) const { return bytes_of(entries_[id]); }

Outcome<Children> Children::of(const EntryList& entries) {
  Children children;
  children.first_.assign(entries.size() + 2, 0);
  for (std::uint32_t id = 1; id < entries.size(); ++id) ++children.first_[entries[id].parent + 2];
  for (std::size_t i = 1; i < children.first_.size(); ++i) children.first_[i] += children.first_[i - 1];
  children.ids_.resize(entries.size() == 0 ? 0 : entries.size() - 1);
  // first_[d + 1] is used as the place to write next and so becomes the end of d, which is the beginning of d + 1.
  for (std::uint32_t id = 1; id < entries.size(); ++id) children.ids_[children.first_[entries[id].parent + 1]++] = id;
  const auto by_name = [&](std::uint32_t a, std::uint32_t b) { return entries[a].name < entries[b].name; };
  for (std::uint32_t id = 0; id < entries.size(); ++id) {
    if (entries[id].type != EntryType::Directory) continue;
    const auto begin = children.ids_.begin() + static_cast<std::ptrdiff_t>(children.first_[id]);
    const auto end = children.ids_.begin() + static_cast<std::ptrdiff_t>(children.first_[id + 1]);
    std::sort(begin, end, by_name);
    const auto twin = std::adjacent_find(
        begin, end, [&](std::uint32_t a, std::uint32_t b) { return entries[a].name == entries[b].name; });
    if (twin != end) return failed(protocol_error(fmt::format("'{}' was announced twice", entries.path_of(*twin))));
  }
  return children;
}

}  // namespace roadstead::mover
