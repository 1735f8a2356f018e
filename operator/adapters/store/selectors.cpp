#include "operator/adapters/store/selectors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace roadstead::store {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

/// Splits at commas outside parentheses.
std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i == text.size() || (text[i] == ',' && depth == 0)) {
      parts.push_back(trimmed(text.substr(begin, i - begin)));
      begin = i + 1;
    } else if (text[i] == '(') {
      ++depth;
    } else if (text[i] == ')') {
      --depth;
    }
  }
  return parts;
}

bool is_word(std::string_view text, bool may_be_empty) {
  if (text.empty()) return may_be_empty;
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.' || c == '/'; });
}

tl::unexpected<Error> unreadable(std::string_view part) {
  return fail(ErrorKind::Invalid, "unable to parse requirement \"{}\" of the label selector", part);
}

}  // namespace

Result<LabelSelector::Requirement> LabelSelector::requirement(std::string_view part) {
  const auto checked = [&](Requirement found) -> Result<Requirement> {
    if (!is_word(found.key, false)) return unreadable(part);
    for (const auto& value : found.values)
      if (!is_word(value, true)) return unreadable(part);
    return found;
  };
  // "a in (x,y)", "a notin (x)"
  if (part.ends_with(')')) {
    const std::size_t open = part.find('(');
    if (open == std::string_view::npos) return unreadable(part);
    const std::string_view head = trimmed(part.substr(0, open));
    const std::size_t space = head.rfind(' ');
    if (space == std::string_view::npos) return unreadable(part);
    const std::string_view word = head.substr(space + 1);
    if (word != "in" && word != "notin") return unreadable(part);
    Requirement found{std::string(trimmed(head.substr(0, space))), word == "in" ? Operator::In : Operator::NotIn, {}};
    for (const std::string_view value : parts_of(part.substr(open + 1, part.size() - open - 2)))
      found.values.emplace_back(value);
    return checked(std::move(found));
  }
  for (const auto& [sign, op] :
       {std::pair<std::string_view, Operator>{"!=", Operator::NotIn}, {"==", Operator::In}, {"=", Operator::In}}) {
    const std::size_t at = part.find(sign);
    if (at == std::string_view::npos) continue;
    return checked(
        {std::string(trimmed(part.substr(0, at))), op, {std::string(trimmed(part.substr(at + sign.size())))}});
  }
  if (part.starts_with('!')) return checked({std::string(trimmed(part.substr(1))), Operator::DoesNotExist, {}});
  return checked({std::string(part), Operator::Exists, {}});
}

Result<LabelSelector> LabelSelector::parse(std::string_view text) {
  LabelSelector selector;
  if (trimmed(text).empty()) return selector;
  for (const std::string_view part : parts_of(text)) {
    auto one = requirement(part);
    if (!one) return tl::unexpected(one.error());
    selector.requirements_.push_back(std::move(*one));
  }
  return selector;
}

bool LabelSelector::matches(const Labels& labels) const {
  return std::all_of(requirements_.begin(), requirements_.end(), [&](const Requirement& wanted) {
    const auto found = labels.find(wanted.key);
    const bool exists = found != labels.end();
    const auto is_listed = [&] {
      return std::find(wanted.values.begin(), wanted.values.end(), found->second) != wanted.values.end();
    };
    switch (wanted.op) {
      case Operator::In:
        return exists && is_listed();
      case Operator::NotIn:
        return !exists || !is_listed();
      case Operator::Exists:
        return exists;
      case Operator::DoesNotExist:
        return !exists;
    }
    return false;
  });
}

namespace {

constexpr std::array kKeyFields = {"metadata.name", "metadata.namespace"};
constexpr std::array kEventFields = {"involvedObject.kind",
                                     "involvedObject.namespace",
                                     "involvedObject.name",
                                     "involvedObject.uid",
                                     "involvedObject.apiVersion",
                                     "involvedObject.resourceVersion",
                                     "involvedObject.fieldPath",
                                     "reason",
                                     "type",
                                     "source",
                                     "reportingComponent"};

template <class List>
bool contains(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string field_of(const nlohmann::json& object, std::string_view path) {
  if (path == "source") path = "source.component";
  const nlohmann::json* at = &object;
  while (!path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    const auto found = at->find(std::string(path.substr(0, dot)));
    if (found == at->end()) return {};
    at = &*found;
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return at->is_string() ? at->get<std::string>() : std::string();
}

}  // namespace

Result<FieldSelector> FieldSelector::parse(std::string_view text, std::string_view kind) {
  FieldSelector selector;
  if (trimmed(text).empty()) return selector;
  for (const std::string_view part : parts_of(text)) {
    const std::size_t sign = part.find('=');
    if (sign == std::string_view::npos || sign == 0)
      return fail(ErrorKind::Invalid, "invalid field selector \"{}\": can't understand it, write FIELD=VALUE", part);
    Requirement one;
    one.equal = part[sign - 1] != '!';
    const std::size_t value = sign + (part.substr(sign).starts_with("==") ? 2 : 1);
    one.field = trimmed(part.substr(0, one.equal ? sign : sign - 1));
    one.value = trimmed(part.substr(value));
    if (kind == "Event" && contains(kEventFields, one.field)) {
      selector.needs_body_ = true;
    } else if (!contains(kKeyFields, one.field)) {
      return fail(ErrorKind::Invalid, "field label not supported: {}", one.field);
    }
    selector.requirements_.push_back(std::move(one));
  }
  return selector;
}

bool FieldSelector::matches(const ObjectKey& key) const {
  return std::all_of(requirements_.begin(), requirements_.end(), [&](const Requirement& one) {
    if (one.field == "metadata.name") return (key.name == one.value) == one.equal;
    if (one.field == "metadata.namespace") return (key.ns == one.value) == one.equal;
    return true;
  });
}

bool FieldSelector::matches_body(const nlohmann::json& object) const {
  return std::all_of(requirements_.begin(), requirements_.end(), [&](const Requirement& one) {
    if (contains(kKeyFields, one.field)) return true;
    return (field_of(object, one.field) == one.value) == one.equal;
  });
}

}  // namespace roadstead::store
