#include "crds/json_path.h"

#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>

namespace roadstead::crds {

using Json = nlohmann::json;

/// Reads one path from left to right.
class JsonPath::Parser {
 public:
  explicit Parser(std::string_view text) : whole_(text), rest_(text) {}

  Result<JsonPath> parse() {
    if (rest_.starts_with('{') && rest_.ends_with('}')) rest_ = rest_.substr(1, rest_.size() - 2);
    take('$');
    JsonPath path;
    while (!rest_.empty()) {
      Segment segment;
      const bool ok = take('.') ? field(segment) : take('[') && bracket(segment);
      if (!ok) return fail(ErrorKind::Invalid, "the JSONPath \"{}\" is not understood at \"{}\"", whole_, rest_);
      path.segments_.push_back(std::move(segment));
    }
    return path;
  }

 private:
  bool take(std::string_view wanted) {
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }
  bool take(char wanted) { return take(std::string_view(&wanted, 1)); }
  void skip_blanks() {
    while (take(' ')) {
    }
  }

  bool name(std::string& out) {
    while (!rest_.empty() && std::string_view(".[]()=!<> ").find(rest_[0]) == std::string_view::npos) {
      if (rest_[0] == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      out += rest_[0];
      rest_.remove_prefix(1);
    }
    return !out.empty();
  }

  bool field(Segment& segment) {
    if (take('*')) {
      segment.type = Segment::Type::All;
      return true;
    }
    return name(segment.key);
  }

  /// 'text' or "text"; a backslash takes the next character as it is.
  bool quoted_text(std::string& out) {
    const char quote = rest_.empty() ? '\0' : rest_[0];
    if (quote != '\'' && quote != '"') return false;
    rest_.remove_prefix(1);
    while (!rest_.empty() && rest_[0] != quote) {
      if (rest_[0] == '\\' && rest_.size() > 1) rest_.remove_prefix(1);
      out += rest_[0];
      rest_.remove_prefix(1);
    }
    return take(quote);
  }

  bool number(long& out) {
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), out);
    if (error != std::errc{}) return false;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return true;
  }

  bool bracket(Segment& segment) {
    if (take('*')) {
      segment.type = Segment::Type::All;
    } else if (take("?(")) {
      segment.type = Segment::Type::Filter;
      if (!filter(segment) || !take(')')) return false;
    } else if (!quoted_text(segment.key)) {
      segment.type = Segment::Type::Index;
      if (!number(segment.index)) return false;
    }
    return take(']');
  }

  /// @.type=="Ready", @.ports[..] is not needed: a way of plain names, then optionally a comparison.
  bool filter(Segment& segment) {
    skip_blanks();
    if (!take('@')) return false;
    while (take('.')) {
      if (!name(segment.filter_keys.emplace_back())) return false;
    }
    skip_blanks();
    segment.has_operator = true;
    if (take("==")) {
      segment.wanted_equal = true;
    } else if (take("!=")) {
      segment.wanted_equal = false;
    } else {
      segment.has_operator = false;
      return !segment.filter_keys.empty();
    }
    skip_blanks();
    const bool ok = literal(segment.literal);
    skip_blanks();
    return ok;
  }

  bool literal(std::string& out) {
    std::string text;
    if (quoted_text(text)) {
      out = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
      return true;
    }
    const std::size_t end = rest_.find_first_of(" )");
    if (end == std::string_view::npos) return false;
    const Json value = Json::parse(rest_.substr(0, end), nullptr, false);
    if (value.is_discarded() || value.is_structured()) return false;
    out = value.dump();
    rest_.remove_prefix(end);
    return true;
  }

  std::string_view whole_;
  std::string_view rest_;
};

Result<JsonPath> JsonPath::parse(std::string_view text) { return Parser(text).parse(); }

bool JsonPath::passes(const Segment& filter, const Json& element) {
  const Json* at = &element;
  for (const std::string& key : filter.filter_keys) {
    if (!at->is_object()) return false;
    const auto found = at->find(key);
    if (found == at->end()) return false;
    at = &*found;
  }
  if (!filter.has_operator) return true;
  if (at->is_structured()) return false;
  return (at->dump(-1, ' ', false, Json::error_handler_t::replace) == filter.literal) == filter.wanted_equal;
}

std::vector<const Json*> JsonPath::find(const Json& value) const {
  std::vector<const Json*> here{&value};
  for (const Segment& segment : segments_) {
    std::vector<const Json*> next;
    for (const Json* at : here) {
      switch (segment.type) {
        case Segment::Type::Key:
          if (at->is_object() && at->contains(segment.key)) next.push_back(&(*at)[segment.key]);
          break;
        case Segment::Type::Index: {
          if (!at->is_array()) break;
          const long size = static_cast<long>(at->size());
          const long index = segment.index < 0 ? segment.index + size : segment.index;
          if (index >= 0 && index < size) next.push_back(&(*at)[static_cast<std::size_t>(index)]);
          break;
        }
        case Segment::Type::All:
          if (at->is_structured())
            for (const Json& child : *at) next.push_back(&child);
          break;
        case Segment::Type::Filter:
          if (at->is_array())
            for (const Json& child : *at)
              if (passes(segment, child)) next.push_back(&child);
          break;
      }
    }
    here = std::move(next);
  }
  return here;
}

const Json* JsonPath::first(const Json& value) const {
  const auto all = find(value);
  return all.empty() ? nullptr : all.front();
}

}  // namespace roadstead::crds
