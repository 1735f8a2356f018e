#include "crds/field_error.h"

#include <fmt/format.h>

#include <algorithm>

#include "operator/base/log.h"

namespace roadstead::crds {
namespace {

constexpr std::size_t kLongestValue = 200;  // bytes of a value that a message shows

bool is_plain_key(std::string_view key) {
  return !key.empty() && std::ranges::all_of(key, [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
  });
}

std::string with_hint(std::string text, const FieldError& error) {
  return error.hint.empty() ? text : fmt::format("{} ({})", text, error.hint);
}

}  // namespace

std::string to_string(const FieldError& error) {
  return error.field.empty() ? error.message : error.field + ": " + error.message;
}

std::string message_with_hint(const FieldError& error) { return with_hint(error.message, error); }

std::string joined(const std::vector<FieldError>& errors) {
  std::vector<std::string> texts;
  texts.reserve(errors.size());
  for (const FieldError& error : errors) texts.push_back(with_hint(to_string(error), error));
  return texts.size() == 1 ? texts.front() : fmt::format("[{}]", fmt::join(texts, ", "));
}

std::string FieldPath::field() const {
  if (parent_ == nullptr) return {};
  const std::string before = parent_->field();
  if (is_index_) return fmt::format("{}[{}]", before, index_);
  if (!is_plain_key(key_)) {
    const std::string text = quoted_value(key_);
    return fmt::format("{}[{}]", before, std::string_view(text).substr(1, text.size() - 2));
  }
  return before.empty() ? std::string(key_) : fmt::format("{}.{}", before, key_);
}

std::string FieldPath::pointer() const {
  if (parent_ == nullptr) return {};
  if (is_index_) return fmt::format("{}/{}", parent_->pointer(), index_);
  std::string out = parent_->pointer() + "/";
  for (const char c : key_) {
    if (c == '~') {
      out += "~0";
    } else if (c == '/') {
      out += "~1";
    } else {
      out += c;
    }
  }
  return out;
}

FieldError invalid_value(const FieldPath& path, std::string_view value, std::string_view why) {
  return {path.field(), "FieldValueInvalid", fmt::format("Invalid value: {}: {}", value, why), path.pointer(), {}};
}

FieldError required_value(const FieldPath& path, std::string_view why) {
  const std::string message = why.empty() ? "Required value" : fmt::format("Required value: {}", why);
  return {path.field(), "FieldValueRequired", message, path.pointer(), {}};
}

std::string quoted_value(std::string_view text) {
  if (text.size() <= kLongestValue) return json_quoted(text);
  std::size_t end = kLongestValue;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not inside of a character
  return json_quoted(std::string(text.substr(0, end)) + "…");
}

}  // namespace roadstead::crds
