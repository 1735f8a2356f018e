#pragma once

// The entries of status.steps: what is read off them, how they are begun, retried and closed, and what the one that
// runs remembers between looks. The same for backups and restores.

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crds/common.h"
#include "operator/base/clock.h"
#include "reconcilers/support/attempt.h"

namespace roadstead::reconcilers {

// ---- what is read off them ----------------------------------------------------------------------------------------

/// The first entry of a step in this state; null where there is none.
const crds::Step* with_state(const std::vector<crds::Step>& steps, std::string_view name, crds::StepState state);
/// The entry of a step that succeeded; null where there is none.
const crds::Step* succeeded(const std::vector<crds::Step>& steps, std::string_view name);
/// Its Running entry; null where there is none.
crds::Step* running(std::vector<crds::Step>& steps, std::string_view name);
bool is_running(const std::vector<crds::Step>& steps, std::string_view name);
/// There is an entry of it, in whatever state.
bool was_begun(const std::vector<crds::Step>& steps, std::string_view name);
int failures_of(const std::vector<crds::Step>& steps, std::string_view name);
/// How long a step whose last attempt failed must still wait, where there are to be `pause` between two; nothing: it
/// may go on. A clock that was set back ends the wait, or the step would stand still for as long as it was set back.
std::optional<Millis> pause_left(const std::vector<crds::Step>& steps, std::string_view name, Millis pause, Time now);

// ---- how they change ----------------------------------------------------------------------------------------------

/// The Running entry of a step, made as its next attempt if there is none.
crds::Step& begin_step(std::vector<crds::Step>& steps, const std::string& name, Time now);
void close(crds::Step& entry, crds::StepState state, std::string message, Time now);

// ---- what a running one remembers -----------------------------------------------------------------------------------

/// The JSON object in its result; an empty one where there is none.
nlohmann::json memory_of(const crds::Step& entry);
void remember(crds::Step& entry, const nlohmann::json& memory);

/// The attempt that the step is at, for its worker of this word ("copy", "look-source").
Attempt attempt_of(const crds::Step& entry, const std::string& word);
/// What a look at the worker of this word has changed: the next attempt, or that the worker `name` was made on `host`.
void remember_attempt(crds::Step& entry, const std::string& word, const Attempt& attempt, const std::string& worker,
                      const std::string& host);
/// The next attempt begins, which counts as no failure: what is remembered of workers of the one before means nothing
/// to it. Its number is `at_least` where that is more.
void next_attempt(crds::Step& entry, int at_least = 0);

}  // namespace roadstead::reconcilers
