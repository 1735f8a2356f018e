#include "reconcilers/support/steps.h"

#include <algorithm>

namespace roadstead::reconcilers {
namespace {

using crds::Step;
using crds::StepState;
using Json = nlohmann::json;

constexpr const char* kWorkers = "workers";  // In a step's memory: worker's word → the attempt whose worker was made.

}  // namespace

// ---- what is read off them ----------------------------------------------------------------------------------------

const Step* with_state(const std::vector<Step>& steps, std::string_view name, StepState state) {
  const auto found =
      std::ranges::find_if(steps, [&](const Step& step) { return step.name == name && step.state == state; });
  return found == steps.end() ? nullptr : &*found;
}

const Step* succeeded(const std::vector<Step>& steps, std::string_view name) {
  return with_state(steps, name, StepState::Succeeded);
}

Step* running(std::vector<Step>& steps, std::string_view name) {
  const auto found = std::ranges::find_if(
      steps, [&](const Step& step) { return step.name == name && step.state == StepState::Running; });
  return found == steps.end() ? nullptr : &*found;
}

bool is_running(const std::vector<Step>& steps, std::string_view name) {
  return with_state(steps, name, StepState::Running) != nullptr;
}

bool was_begun(const std::vector<Step>& steps, std::string_view name) {
  return std::ranges::find(steps, name, &Step::name) != steps.end();
}

int failures_of(const std::vector<Step>& steps, std::string_view name) {
  return static_cast<int>(std::ranges::count_if(
      steps, [&](const Step& step) { return step.name == name && step.state == StepState::Failed; }));
}

std::optional<Millis> pause_left(const std::vector<Step>& steps, std::string_view name, Millis pause, Time now) {
  const auto last = std::find_if(steps.rbegin(), steps.rend(), [&](const Step& step) { return step.name == name; });
  if (last == steps.rend() || last->state != StepState::Failed || !last->finished_at) return std::nullopt;
  const Millis since = now - *last->finished_at;
  // An end that lies further ahead than the clocks of two hosts differ: ours was set back.
  if (since >= pause || since <= -pause) return std::nullopt;
  return pause - since;
}

// ---- how they change ----------------------------------------------------------------------------------------------

Step& begin_step(std::vector<Step>& steps, const std::string& name, Time now) {
  if (Step* entry = running(steps, name)) return *entry;
  std::int64_t attempt = 0;
  for (const auto& entry : steps)
    if (entry.name == name) attempt = std::max(attempt, entry.attempt);
  steps.push_back({.name = name, .attempt = attempt + 1, .started_at = now});
  return steps.back();
}

void close(Step& entry, StepState state, std::string message, Time now) {
  entry.state = state;
  entry.finished_at = now;
  entry.message = std::move(message);
}

// ---- what a running one remembers -----------------------------------------------------------------------------------

Json memory_of(const Step& entry) {
  Json memory = Json::parse(entry.result, nullptr, false);
  return memory.is_object() ? memory : Json::object();
}

void remember(Step& entry, const Json& memory) { entry.result = memory.empty() ? std::string() : memory.dump(); }

Attempt attempt_of(const Step& entry, const std::string& word) {
  const int number = static_cast<int>(entry.attempt);
  const Json workers = memory_of(entry).value(kWorkers, Json::object());
  return {number, workers.value(word, 0) == number};
}

void remember_attempt(Step& entry, const std::string& word, const Attempt& attempt, const std::string& worker,
                      const std::string& host) {
  if (attempt.number != entry.attempt) return next_attempt(entry, attempt.number);
  if (!attempt.started) return;
  entry.worker = worker;
  entry.host = host;
  Json memory = memory_of(entry);
  memory[kWorkers][word] = attempt.number;
  remember(entry, memory);
}

void next_attempt(Step& entry, int at_least) {
  entry.attempt = std::max<std::int64_t>(entry.attempt + 1, at_least);
  entry.worker.clear();
  Json memory = memory_of(entry);
  memory.erase(kWorkers);
  remember(entry, memory);
}

}  // namespace roadstead::reconcilers
