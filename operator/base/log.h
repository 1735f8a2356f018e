#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace roadstead {

enum class LogLevel { Debug, Info, Warning, Error };

/// One fact beside the message: {"host", "uat"}.
using LogField = std::pair<std::string_view, std::string>;

/// Writes one JSON line {"time","level","message",...fields} to standard error, whole even from several threads.
/// Secrets never go in: callers pass names of references, not what they resolve to.
void log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

/// Lines below `level` are dropped. Default: Info.
void set_log_level(LogLevel level);

/// `text` as a JSON string literal with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string json_quoted(std::string_view text);

inline void log_info(std::string_view message, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::Info, message, fields);
}
inline void log_warning(std::string_view message, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::Warning, message, fields);
}
inline void log_error(std::string_view message, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::Error, message, fields);
}
inline void log_debug(std::string_view message, std::initializer_list<LogField> fields = {}) {
  log(LogLevel::Debug, message, fields);
}

}  // namespace roadstead
