#include "operator/cli/yaml_output.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "crds/yaml/scalar.h"

namespace roadstead::cli {
namespace {

using nlohmann::json;

/// Only texts of harmless characters are tried plain; the reader's own rules then say whether they stay text.
bool can_be_plain(const std::string& text) {
  const auto harmless = [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80 ||
           std::string_view(" _-./+@()=;$<>^~\\").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (text.empty() || text.front() == ' ' || text.back() == ' ') return false;
  if (std::string_view("-@~=<>").find(text.front()) != std::string_view::npos) return false;
  // A colon inside of a word ("docker.sock:ro", "unix:///x") is text; before a blank or at the end it is not.
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ':' && i > 0 && i + 1 < text.size() && text[i + 1] != ' ') continue;
    if (!harmless(static_cast<unsigned char>(text[i]))) return false;
  }
  // "2026-11-22T09:41:07Z" and "1:30" are text to our reader, but a time and a number to others.
  if (text.front() >= '0' && text.front() <= '9' && text.find_first_not_of("0123456789:-.+TZ ") == std::string::npos)
    return false;
  const auto read = crds::plain_scalar(text);
  return read && read->is_string();
}

bool is_block_text(const std::string& text) {
  const bool lines =
      text.find('\n') != std::string::npos && text.front() != ' ' && text.front() != '\n' && text.front() != '\t';
  const bool odd =
      std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 && c != '\n' && c != '\t'; });
  return lines && !odd && text.find(" \n") == std::string::npos && text.find("\n\n\n") == std::string::npos &&
         (text.back() != '\n' || text.size() < 2 || text[text.size() - 2] != '\n');
}

std::string block_text(const std::string& text, std::size_t indent) {
  const bool ends = text.back() == '\n';
  std::string out = ends ? "|\n" : "|-\n";
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) out.append(indent, ' ').append(text, at, end - at);
    out.push_back('\n');
    at = end + 1;
  }
  return out;
}

void write(const json& value, std::size_t indent, std::string& out);

/// After "key:" or "-": on the same line for scalars, else below.
void write_value(const json& value, std::size_t indent, std::string& out) {
  if (value.is_string() && !value.get_ref<const std::string&>().empty() &&
      is_block_text(value.get_ref<const std::string&>())) {
    out += " " + block_text(value.get_ref<const std::string&>(), indent + 2);
  } else if (value.is_structured() && !value.empty()) {
    out += "\n";
    write(value, value.is_array() ? indent : indent + 2, out);
  } else {
    out += " ";
    write(value, indent, out);
    out += "\n";
  }
}

std::string scalar(const json& value) {
  if (value.is_string() && can_be_plain(value.get_ref<const std::string&>())) return value.get<std::string>();
  return value.dump(-1, ' ', false, json::error_handler_t::replace);  // JSON's quoting is YAML's double quoting
}

void write(const json& value, std::size_t indent, std::string& out) {
  if (!value.is_structured() || value.empty()) {
    out += scalar(value);
  } else if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      out.append(indent, ' ').append(scalar(key)).append(":");
      write_value(inner, indent, out);
    }
  } else {
    for (const json& inner : value) {
      std::string item;
      if (inner.is_structured() && !inner.empty()) {
        write(inner, indent + 2, item);
        item[indent] = '-';  // in place of the first line's indentation
        out += item;
      } else {
        out.append(indent, ' ').append("-");
        write_value(inner, indent, out);
      }
    }
  }
}

}  // namespace

std::string to_yaml(const json& value) {
  std::string out;
  write(value, 0, out);
  if (out.empty() || out.back() != '\n') out += "\n";
  return out;
}

}  // namespace roadstead::cli
