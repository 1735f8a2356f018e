#include "mover/entry.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace roadstead::mover {
namespace {

constexpr auto kMaxSize = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
constexpr std::size_t kNameBlock = std::size_t{256} << 10;

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

bool is_link_target(std::string_view target) {
  return !target.empty() && target.size() <= kMaxLinkTarget && target.find('\0') == std::string_view::npos;
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

bool are_attributes(const std::vector<Attribute>& attributes) {
  std::size_t bytes = 0;
  std::string_view before;
  for (const Attribute& one : attributes) {
    if (!is_name(one.name) || one.name <= before) return false;
    before = one.name;
    bytes += one.name.size() + one.value.size();
  }
  return bytes <= kMaxAttributeBytes;
}

bool is_device(EntryType type) { return type == EntryType::CharacterDevice || type == EntryType::BlockDevice; }

std::uint64_t bytes_in(const std::vector<Range>& ranges) {
  std::uint64_t bytes = 0;
  for (const Range& range : ranges) bytes += range.length;
  return bytes;
}

/// Without its holes.
std::uint64_t data_bytes_in(const Entry& entry) { return entry.sparse ? bytes_in(entry.ranges) : entry.size; }

std::uint64_t extents_in(const std::vector<Range>& ranges) {
  std::uint64_t extents = 0;
  for (const Range& range : ranges) extents += pieces_in(range);
  return extents;
}

std::uint64_t extents_in(const Entry& entry) {
  return entry.sparse ? extents_in(entry.ranges) : pieces_in({0, entry.size});
}

std::string joined(const std::vector<Attribute>& attributes) {
  std::string text;
  for (const Attribute& one : attributes) text.append(one.name).append(1, '\0').append(one.value).append(1, '\0');
  return text;
}

}  // namespace

Range first_piece_of(const Range& range) {
  const std::uint64_t end = std::min((range.offset / kExtent + 1) * kExtent, range.offset + range.length);
  return {range.offset, end - range.offset};
}

std::uint64_t pieces_in(const Range& range) {
  if (range.length == 0) return 0;
  return (range.offset + range.length - 1) / kExtent - range.offset / kExtent + 1;
}

std::string EntryList::refusal(std::string_view why) const { return fmt::format("entry {} {}", nodes_.size(), why); }

Outcome<void> EntryList::check_place(const Entry& entry) const {
  const auto refuse = [&](std::string_view why) { return failed(protocol_error(refusal(why))); };
  if (nodes_.empty()) {
    if (entry.type != EntryType::Directory || !entry.name.empty() || entry.parent != 0)
      return refuse("is not the root");
    return {};
  }
  if (!is_name(entry.name)) return refuse("has a name that would leave its directory");
  if (entry.parent >= nodes_.size() || nodes_[entry.parent].type != EntryType::Directory)
    return refuse("has no directory as its parent");
  if (nodes_[entry.parent].depth >= kMaxDepth) return refuse("is too deep");
  const bool first_child_of_root = nodes_.size() == 1;
  if (first_child_of_root) return {};
  const Node& before = nodes_.back();
  if (entry.parent < before.parent || (entry.parent == before.parent && entry.name <= before.name()))
    return refuse("is out of order, or of a name that was announced already");
  return {};
}

Outcome<void> EntryList::check_file(const Entry& entry) const {
  const auto refuse = [&](std::string_view why) { return failed(protocol_error(refusal(why))); };
  if (entry.size > kMaxSize) return refuse("has an impossible size");
  if (entry.sparse && !are_ranges(entry.ranges, entry.size)) return refuse("has impossible ranges of data");
  if (entry.sparse && ranges_ + entry.ranges.size() > kMaxAllRanges) return refuse("is one sparse file too many");
  if (data_bytes_in(entry) > kMaxSize - data_bytes_ ||
      extents_in(entry) > std::numeric_limits<std::uint32_t>::max() - extents_)
    return refuse("makes the tree larger than any disk");
  return {};
}

Outcome<void> EntryList::check(const Entry& entry) const {
  const auto refuse = [&](std::string_view why) { return failed(protocol_error(refusal(why))); };
  if (entry.mode > 07777 || entry.mtime_nanos >= 1'000'000'000) return refuse("has an impossible mode or time");
  if (!are_attributes(entry.attributes)) return refuse("has impossible attributes");
  switch (entry.type) {
    case EntryType::Directory:
    case EntryType::CharacterDevice:
    case EntryType::BlockDevice:
    case EntryType::Fifo:
      return {};
    case EntryType::File:
      return check_file(entry);
    case EntryType::SymbolicLink:
      if (!is_link_target(entry.link_target)) return refuse("has an impossible link target");
      return {};
    case EntryType::HardLink:
      if (entry.link_to >= nodes_.size() || nodes_[entry.link_to].type == EntryType::Directory ||
          nodes_[entry.link_to].type == EntryType::HardLink)
        return refuse("is one more name of nothing that may have one");
      return {};
  }
  return refuse("is of an unknown type");
}

Outcome<void> EntryList::add(const Entry& entry) {
  if (nodes_.size() >= kMaxEntries) return failed(protocol_error(refusal("is one more than a tree may have")));
  if (auto placed = check_place(entry); !placed) return placed;
  if (auto checked = check(entry); !checked) return checked;
  const std::uint32_t set = keep_attributes(entry.attributes);
  if (attribute_bytes_ > kMaxAllAttributeBytes)
    return failed(protocol_error(refusal("has more attributes than a tree may have")));
  Node node;
  node.type = entry.type;
  node.mode = static_cast<std::uint16_t>(entry.mode);
  node.parent = entry.parent;
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.mtime_seconds = entry.mtime_seconds;
  node.mtime_nanos = entry.mtime_nanos;
  node.attributes = set;
  node.name_bytes = keep_name(entry.name);
  node.name_length = static_cast<std::uint8_t>(entry.name.size());
  if (is_device(entry.type)) node.size = std::uint64_t{entry.major} << 32 | entry.minor;
  if (entry.type == EntryType::HardLink) node.detail = entry.link_to;
  if (entry.type == EntryType::SymbolicLink) {
    node.detail = static_cast<std::uint32_t>(details_.size());
    details_.push_back({entry.link_target, {}});
  }
  if (entry.type == EntryType::File) {
    keep_file(node, entry);
    ++files_;
  }
  if (!nodes_.empty()) {
    Node& parent = nodes_[entry.parent];
    node.depth = static_cast<std::uint16_t>(parent.depth + 1);
    if (parent.size++ == 0) parent.first_extent = size();
  }
  nodes_.push_back(node);
  return {};
}

void EntryList::keep_file(Node& node, const Entry& entry) {
  node.first_extent = extents_;
  extents_ += static_cast<std::uint32_t>(extents_in(entry));
  node.size = entry.size;
  node.stamp = entry.stamp;
  node.sparse = entry.sparse;
  data_bytes_ += data_bytes_in(entry);
  logical_bytes_ += entry.size;
  if (!entry.sparse) return;
  node.detail = static_cast<std::uint32_t>(details_.size());
  details_.push_back({{}, entry.ranges});
  ranges_ += entry.ranges.size();
}

Outcome<void> EntryList::restate(std::uint32_t id, const Entry& entry) {
  if (id >= nodes_.size() || nodes_[id].type != EntryType::File || entry.type != EntryType::File)
    return failed(protocol_error("what is no file was said to have changed"));
  Node& node = nodes_[id];
  const std::uint64_t data_before = data_bytes_of(id);
  data_bytes_ -= data_before;
  logical_bytes_ -= node.size;
  if (auto checked = check(entry); !checked) {
    data_bytes_ += data_before;
    logical_bytes_ += node.size;
    return checked;
  }
  node.mode = static_cast<std::uint16_t>(entry.mode);
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.mtime_seconds = entry.mtime_seconds;
  node.mtime_nanos = entry.mtime_nanos;
  node.attributes = keep_attributes(entry.attributes);
  if (attribute_bytes_ > kMaxAllAttributeBytes)
    return failed(protocol_error("the files that changed have more attributes than a tree may have"));
  keep_file(node, entry);
  return {};
}

const char* EntryList::keep_name(std::string_view name) {
  const std::size_t bytes = name.size() + 1;
  if (names_left_ < bytes) {
    names_.push_back(std::make_unique<char[]>(kNameBlock));
    names_left_ = kNameBlock;
  }
  char* at = names_.back().get() + (kNameBlock - names_left_);
  std::memcpy(at, name.data(), name.size());
  at[name.size()] = '\0';
  names_left_ -= bytes;
  return at;
}

std::uint32_t EntryList::keep_attributes(const std::vector<Attribute>& attributes) {
  if (attributes.empty()) return 0;
  std::string key = joined(attributes);
  const std::size_t bytes = key.size();
  const auto [known, fresh] =
      known_sets_.try_emplace(std::move(key), static_cast<std::uint32_t>(attribute_sets_.size() + 1));
  if (fresh) {
    attribute_sets_.push_back(attributes);
    attribute_bytes_ += 2 * bytes;
  }
  return known->second;
}

std::uint32_t EntryList::find(std::uint32_t directory, std::string_view name) const {
  const ChildIds ids = children_of(directory);
  const auto begin = nodes_.begin() + ids.first(), end = begin + ids.size();
  const auto found =
      std::lower_bound(begin, end, name, [](const Node& node, std::string_view text) { return node.name() < text; });
  return found != end && found->name() == name ? static_cast<std::uint32_t>(found - nodes_.begin()) : 0;
}

Entry EntryList::entry_of(std::uint32_t id) const {
  const Node& node = nodes_[id];
  Entry entry;
  entry.type = node.type;
  entry.parent = node.parent;
  entry.name = node.name();
  entry.mode = node.mode;
  entry.uid = node.uid;
  entry.gid = node.gid;
  entry.mtime_seconds = node.mtime_seconds;
  entry.mtime_nanos = node.mtime_nanos;
  entry.attributes = attributes_of(id);
  if (node.type == EntryType::HardLink) entry.link_to = node.link_to();
  if (node.type == EntryType::SymbolicLink) entry.link_target = link_target_of(id);
  if (is_device(node.type)) {
    entry.major = node.major_number();
    entry.minor = node.minor_number();
  }
  if (node.type == EntryType::File) {
    entry.size = node.size;
    entry.stamp = node.stamp;
    entry.sparse = node.sparse;
    if (node.sparse) entry.ranges = details_[node.detail].ranges;
  }
  return entry;
}

std::string EntryList::path_of(std::uint32_t id) const {
  if (id == 0) return ".";
  std::string path(nodes_[id].name());
  for (id = nodes_[id].parent; id != 0; id = nodes_[id].parent) path.insert(0, std::string(nodes_[id].name()) + "/");
  return path;
}

const std::string& EntryList::link_target_of(std::uint32_t id) const { return details_[nodes_[id].detail].link_target; }

const std::vector<Attribute>& EntryList::attributes_of(std::uint32_t id) const {
  static const std::vector<Attribute> none;
  const std::uint32_t set = nodes_[id].attributes;
  return set == 0 ? none : attribute_sets_[set - 1];
}

std::vector<Range> EntryList::ranges_of(std::uint32_t id) const {
  const Node& node = nodes_[id];
  if (node.sparse) return details_[node.detail].ranges;
  if (node.size == 0) return {};
  return {{0, node.size}};
}

std::uint64_t EntryList::data_bytes_of(std::uint32_t id) const {
  const Node& node = nodes_[id];
  return node.sparse ? bytes_in(details_[node.detail].ranges) : node.size;
}

std::uint32_t EntryList::extents_of(std::uint32_t id) const {
  const Node& node = nodes_[id];
  return static_cast<std::uint32_t>(node.sparse ? extents_in(details_[node.detail].ranges) : pieces_in({0, node.size}));
}

}  // namespace roadstead::mover
