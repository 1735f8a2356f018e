#include "operator/base/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "operator/base/rfc3339.h"

namespace roadstead {
namespace {

std::atomic<LogLevel> threshold{LogLevel::Info};

constexpr std::array<std::string_view, 4> kNames{"debug", "info", "warning", "error"};

/// Length of the valid UTF-8 sequence at the front of `text`, 0 where there is none.
std::size_t utf8_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = at(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xf0 && lead < 0xf5 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
  if (length == 0 || lead >= 0xf5 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  if ((lead == 0xe0 && at(1) < 0xa0) || (lead == 0xed && at(1) > 0x9f) || (lead == 0xf0 && at(1) < 0x90) ||
      (lead == 0xf4 && at(1) > 0x8f))
    return 0;
  return length;
}

}  // namespace

std::string json_quoted(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char c = text[0];
    if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<std::uint8_t>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out + "\"";
}

void set_log_level(LogLevel level) { threshold = level; }

void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (level < threshold.load()) return;
  const Time now = std::chrono::time_point_cast<Millis>(std::chrono::system_clock::now());
  std::string line = fmt::format("{{\"time\":\"{}\",\"level\":\"{}\",\"message\":{}", format_rfc3339_millis(now),
                                 kNames[static_cast<std::size_t>(level)], json_quoted(message));
  for (const auto& [name, value] : fields) line += fmt::format(",{}:{}", json_quoted(name), json_quoted(value));
  line += "}\n";
  // One write per line: lines of several threads never mix.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace roadstead
