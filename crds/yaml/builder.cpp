#include "crds/yaml/builder.h"

#include <fmt/format.h>

#include <utility>

#include "crds/field_error.h"

namespace roadstead::crds {

using Json = nlohmann::json;

namespace {

/// Of a place that is very deep, only the way there: messages are one sentence.
std::string shortened_field(std::string field) {
  constexpr std::size_t kLongest = 200;
  if (field.size() <= kLongest) return field;
  std::size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(field[end]) & 0xc0) == 0x80) --end;  // not inside of a character
  return field.substr(0, end) + "…";
}

}  // namespace

void ValueBuilder::begin_document(Mark mark) {
  document_ = Document{};
  document_.marks[""] = std::move(mark);
  frames_.clear();
  anchors_.clear();
}

Document ValueBuilder::end_document() {
  anchors_.clear();
  return std::exchange(document_, {});
}

bool ValueBuilder::wants_key() const { return !frames_.empty() && frames_.back().is_map && !frames_.back().key; }

std::optional<std::string> ValueBuilder::child_pointer() const {
  if (frames_.empty()) return std::string();
  const Frame& frame = frames_.back();
  if (!frame.is_marked) return std::nullopt;
  const FieldPath root;
  std::string pointer = frame.pointer;
  pointer +=
      frame.is_map ? FieldPath(root, frame.key.value_or("")).pointer() : FieldPath(root, frame.value.size()).pointer();
  if (pointer.size() > kMaxMarkedPointer) return std::nullopt;
  return pointer;
}

std::string ValueBuilder::field() const {
  const FieldPath root;
  std::string out;
  for (const Frame& frame : frames_) {
    if (frame.is_map && !frame.key) break;
    const std::string name =
        frame.is_map ? FieldPath(root, *frame.key).field() : FieldPath(root, frame.value.size()).field();
    if (!out.empty() && !name.starts_with('[')) out += '.';
    out += name;
  }
  return out;
}

void ValueBuilder::refuse(const Mark& mark, std::string message) const {
  throw ReadProblem{mark.line, mark.column, shortened_field(field()), std::move(message)};
}

void ValueBuilder::count(std::size_t nodes, const Mark& mark) {
  nodes_ += nodes;
  if (nodes_ > kMaxNodes) refuse(mark, fmt::format("there are more than {} values", kMaxNodes));
}

void ValueBuilder::place_mark(const Mark& mark) {
  const auto pointer = child_pointer();
  if (!pointer) return;
  // A value in a map is looked for at its key, which has marked the place already; only its wording is new.
  Mark& there = document_.marks[*pointer];
  if (there.line == 0) there = mark;
  there.unquoted = mark.unquoted;
}

void ValueBuilder::keep_anchored(Anchor anchor, const Json& value, std::size_t nodes, const Mark& mark) {
  if (anchor == 0) return;
  anchored_nodes_ += nodes;
  if (anchored_nodes_ > kMaxNodes) refuse(mark, fmt::format("anchors name more than {} values", kMaxNodes));
  anchors_[anchor] = Anchored{value, nodes, false};
}

void ValueBuilder::attach(Json value) {
  if (frames_.empty()) {
    document_.value = std::move(value);
    return;
  }
  Frame& frame = frames_.back();
  if (frame.is_map) {
    frame.value[*frame.key] = std::move(value);
    frame.key.reset();
  } else {
    frame.value.push_back(std::move(value));
  }
}

void ValueBuilder::begin(bool is_map, Mark mark, Anchor anchor) {
  if (wants_key()) refuse(mark, "a list or a map cannot be a key, or a bracket is left open");
  if (frames_.size() >= kMaxDepth)
    refuse(mark, fmt::format("lists and maps are nested deeper than {} levels", kMaxDepth));
  count(1, mark);
  place_mark(mark);
  Frame frame;
  frame.value = is_map ? Json::object() : Json::array();
  frame.is_map = is_map;
  frame.anchor = anchor;
  frame.nodes_before = nodes_ - 1;
  const auto pointer = child_pointer();
  frame.is_marked = pointer.has_value();
  frame.pointer = pointer.value_or("");
  frame.mark = std::move(mark);
  if (anchor != 0) anchors_[anchor] = Anchored{};
  frames_.push_back(std::move(frame));
}

void ValueBuilder::end() {
  Frame frame = std::move(frames_.back());
  frames_.pop_back();
  keep_anchored(frame.anchor, frame.value, nodes_ - frame.nodes_before, frame.mark);
  attach(std::move(frame.value));
}

void ValueBuilder::scalar(Json value, const Mark& mark, Anchor anchor) {
  count(1, mark);
  place_mark(mark);
  keep_anchored(anchor, value, 1, mark);
  attach(std::move(value));
}

void ValueBuilder::key(std::string name, Mark mark) {
  if (name.size() > kMaxKeyBytes) refuse(mark, fmt::format("a key of {} bytes is too long", name.size()));
  Frame& frame = frames_.back();
  const auto [first, is_new] = frame.key_lines.emplace(name, mark.line);
  frame.key = std::move(name);
  if (!is_new)
    refuse(mark, fmt::format("duplicate key {}, the first is on line {}", quoted_value(*frame.key), first->second));
  count(1, mark);
  if (const auto pointer = child_pointer()) document_.marks[*pointer] = std::move(mark);
}

void ValueBuilder::alias(Anchor anchor, Mark mark) {
  const auto found = anchors_.find(anchor);
  if (found == anchors_.end()) refuse(mark, "the alias stands for nothing in this document");
  if (found->second.open) refuse(mark, "the alias stands inside of what it stands for");
  if (wants_key()) {
    if (!found->second.value.is_string()) refuse(mark, "only a string can be a key");
    return key(found->second.value.get<std::string>(), std::move(mark));
  }
  alias_nodes_ += found->second.nodes;
  if (alias_nodes_ > kMaxAliasNodes) refuse(mark, fmt::format("aliases stand for more than {} values", kMaxAliasNodes));
  count(found->second.nodes, mark);
  place_mark(mark);
  attach(found->second.value);
}

}  // namespace roadstead::crds
