#pragma once

#include <exception>

#include "mover/connection.h"

namespace roadstead::mover {

/// What `work` gives, or Internal where it throws: out of memory, a broken promise of a library.
template <class Work>
Outcome<void> caught(Work work) {
  try {
    return work();
  } catch (const std::exception& error) {
    return failed("Internal", error.what(), "run the step again; if it happens again, report it with the mover's log");
  }
}

/// Runs one thread's part of a session. Its failure ends the session on this side, and on the other one with the same
/// words unless it came from there.
template <class Work>
Outcome<void> guarded(Session& session, Connection& connection, Work work) {
  Outcome<void> done = caught(std::move(work));
  if (done) return done;
  session.fail(done.error());
  if (!done.error().from_peer && done.error().reason != "ConnectionLost") connection.say_goodbye(done.error());
  return done;
}

}  // namespace roadstead::mover
