#pragma once

// What one look at the current step of a backup or a restore gave.

#include <optional>
#include <string>
#include <variant>

#include "crds/common.h"
#include "operator/base/clock.h"
#include "reconcilers/support/attempt.h"
#include "reconcilers/support/progress.h"

namespace roadstead::reconcilers {

/// The step is done; `result` (the text of a JSON object) is kept in its entry.
struct Done {
  std::string result = "{}";
  std::string message;
};

/// It goes on by itself. `again` 0: what it remembers must be stored, then it is asked again at once.
struct Working {
  std::string message;
  Millis again{1'000};
  std::optional<crds::Progress> progress;
};

/// It waits for something named that somebody else changes; looked at again after `again`.
struct Blocked {
  std::string reason, message;
  Millis again{30'000};
};

/// This attempt failed; the next one may not. The third failure is for good, where there is something to fall back to.
struct Retry {
  std::string reason, message, next;
};

/// A host's engine does not answer: nothing is known, nothing is counted.
struct Unreachable {
  std::string host;
  std::string message;
  bool is_source = false;  ///< The host that the data comes from.
};

/// No attempt can help.
struct Failed {
  std::string reason, message, next;
};

/// What one look at the current step gave.
using Outcome = std::variant<Done, Working, Blocked, Retry, Unreachable, Failed>;

/// For visiting one: a function for each alternative.
template <class... Fs>
struct Overloaded : Fs... {
  using Fs::operator()...;
};
template <class... Fs>
Overloaded(Fs...) -> Overloaded<Fs...>;

/// The cause and what to do next as one sentence, without full stop.
inline std::string sentence(std::string message, const std::string& next) {
  while (message.ends_with('.')) message.pop_back();
  return next.empty() ? message : message + "; " + next;
}

inline constexpr Millis kHostRetry{5'000};
inline constexpr Millis kBlockedRetry{30'000};

/// The error of a call to a host's engine as what it means for the step.
Outcome from_error(const Error& error, const HostHandle& host, bool is_source);
/// The error of a lookup (a Host, a BarmanServer, a secret): somebody has to put that right.
Outcome from_lookup(const Error& error);
/// There is no end yet.
Outcome from_underway(const Underway& underway);

/// A worker that ended without a word of its own.
Retry worker_failed(const std::string& worker, const HostHandle& host, const WorkerSeen& seen);
/// What a person is told of a host that is away.
std::string words_of(const Unreachable& lost);

}  // namespace roadstead::reconcilers
