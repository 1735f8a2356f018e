#pragma once

#include <fmt/format.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace roadstead::mover {

/// How a mover's work ends badly: the words of the WorkerResult. docs/mover.md lists the reasons.
struct Failure {
  std::string reason;      ///< One CamelCase word.
  std::string message;     ///< What and where, without full stop.
  std::string next;        ///< What to do next.
  bool from_peer = false;  ///< The other mover said so.
};

template <class T>
using Outcome = tl::expected<T, Failure>;

/// A failure as the value of an Outcome of any type.
[[nodiscard]] inline tl::unexpected<Failure> failed(std::string_view reason, std::string message,
                                                    std::string_view next) {
  return tl::unexpected<Failure>(Failure{std::string(reason), std::move(message), std::string(next)});
}

/// Passes a failure on.
[[nodiscard]] inline tl::unexpected<Failure> failed(Failure failure) {
  return tl::unexpected<Failure>(std::move(failure));
}

/// The failure of a system call: `what` names the call's object ("write /target/x"), `error` is its errno.
[[nodiscard]] Failure system_failure(int error, std::string_view what);

template <class... Args>
[[nodiscard]] tl::unexpected<Failure> failed_call(int error, fmt::format_string<Args...> what, Args&&... args) {
  return tl::unexpected<Failure>(system_failure(error, fmt::format(what, std::forward<Args>(args)...)));
}

/// SIGTERM, or the operator's cancel.
[[nodiscard]] Failure cancelled();

/// The peer broke the protocol: nothing it said is believed any more.
[[nodiscard]] Failure protocol_error(std::string message);

/// The other end vanished: reset, end of stream, or silence.
[[nodiscard]] Failure connection_lost(std::string message);

/// The source is not what it was when it was listed.
[[nodiscard]] Failure source_changed(std::string message);

}  // namespace roadstead::mover
