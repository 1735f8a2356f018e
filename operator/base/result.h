#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace roadstead {

/// What kind of failure: the only thing a loop may branch on. The message is for people.
enum class ErrorKind {
  NotFound,       ///< The thing asked for does not exist.
  AlreadyExists,  ///< A thing of that name exists already.
  Conflict,       ///< Somebody else changed it in between, or it is in use; read again and decide anew.
  Invalid,        ///< The request itself is wrong; repeating it cannot help.
  Forbidden,      ///< Credentials or permissions are missing.
  Unavailable,    ///< Nothing can be known now (host down, connection lost); repeating may help.
  Timeout,        ///< No answer within the limit; it may have happened all the same.
  Cancelled,      ///< Our side asked to stop.
  Expired,        ///< The version asked for is older than what is kept (a watch must list again).
  NoSpace,        ///< A disk is full.
  Internal,       ///< A promise inside the program was broken.
};

/// The CamelCase word for logs and condition reasons.
std::string_view to_string(ErrorKind kind);

/// True where the same call may succeed later without anybody changing anything.
bool is_retryable(ErrorKind kind);

struct Error {
  ErrorKind kind = ErrorKind::Internal;
  std::string message;  ///< One sentence without full stop: what, where, why, e.g. "stop container web on uat:
                        ///< connection refused".
};

template <class T>
using Result = tl::expected<T, Error>;

/// `return fail(ErrorKind::NotFound, "container {}: no such container", name);`
template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorKind kind, fmt::format_string<Args...> text, Args&&... args) {
  return tl::unexpected<Error>(Error{kind, fmt::format(text, std::forward<Args>(args)...)});
}

/// Passes an error on with the place it happened at in front: "read mark on uat: connection refused".
[[nodiscard]] tl::unexpected<Error> within(std::string_view where, Error error);

}  // namespace roadstead
