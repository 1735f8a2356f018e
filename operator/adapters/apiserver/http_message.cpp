#include "operator/adapters/apiserver/http_message.h"

#include <algorithm>

namespace roadstead::apiserver {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// `plus_is_space`: in a query, not in a path. Nothing for a broken escape or a NUL.
std::optional<std::string> decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus_is_space) {
      c = ' ';
    } else if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = hex_digit(text[i + 1]);
      const int low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return std::nullopt;
    out.push_back(c);
  }
  return out;
}

std::string_view first_of(const std::vector<std::pair<std::string, std::string>>& pairs, std::string_view name) {
  const auto found = std::find_if(pairs.begin(), pairs.end(), [&](const auto& pair) { return pair.first == name; });
  return found == pairs.end() ? std::string_view{} : std::string_view(found->second);
}

/// Takes what stands before the separator, and the separator, off the front.
std::string_view taken_until(std::string_view& rest, char separator) {
  const auto end = std::find(rest.begin(), rest.end(), separator);
  const std::string_view part(rest.begin(), end);
  rest.remove_prefix(std::min(part.size() + 1, rest.size()));
  return part;
}

}  // namespace

std::string_view Request::header(std::string_view name) const { return first_of(headers, name); }

std::string_view Request::parameter(std::string_view name) const { return first_of(query, name); }

bool Request::has_parameter(std::string_view name) const {
  return std::any_of(query.begin(), query.end(), [&](const auto& pair) { return pair.first == name; });
}

Result<void> set_target(Request& request, std::string_view target) {
  if (target.empty() || target.front() != '/') return fail(ErrorKind::Invalid, "the request's target is not a path");
  auto path = decoded(taken_until(target, '?'), false);
  if (!path) return fail(ErrorKind::Invalid, "the request's path has a broken escape");
  request.path = std::move(*path);
  request.query.clear();
  while (!target.empty()) {
    std::string_view value_part = taken_until(target, '&');
    if (value_part.empty()) continue;
    auto name = decoded(taken_until(value_part, '='), true);
    auto value = decoded(value_part, true);
    if (!name || !value) return fail(ErrorKind::Invalid, "the request's query has a broken escape");
    request.query.emplace_back(std::move(*name), std::move(*value));
  }
  return {};
}

}  // namespace roadstead::apiserver
