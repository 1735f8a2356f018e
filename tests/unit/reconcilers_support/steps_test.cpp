// What backups and restores read off the entries of status.steps, and how these change: no engine, no clock.

#include "reconcilers/support/steps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/base/rfc3339.h"
#include "reconcilers/support/outcome.h"
#include "reconcilers/support/pace.h"

namespace roadstead::reconcilers {
namespace {

using namespace std::chrono_literals;
using crds::Step;
using crds::StepState;
using ::testing::HasSubstr;

const Time kNoon = parse_rfc3339("2026-11-22T12:00:00Z").value();

Step entry(const std::string& name, StepState state, std::int64_t attempt = 1) {
  Step step;
  step.name = name;
  step.state = state;
  step.attempt = attempt;
  if (state != StepState::Running) step.finished_at = kNoon;
  return step;
}

struct Case {
  std::string name;
  std::vector<StepState> states;  ///< Of the entries of the step "copy", in their order.
  bool begun, running, succeeded;
  int failures;
  std::optional<Millis> pause;  ///< Ten seconds after the last one ended, where there are thirty between two.
  std::int64_t next;            ///< The attempt that begin_step() gives.
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }
class Entries : public ::testing::TestWithParam<Case> {};

TEST_P(Entries, SayWhereTheirStepStands) {
  const Case& one = GetParam();
  std::vector<Step> steps{entry("other/copy", StepState::Failed), entry("copies", StepState::Running)};
  for (std::size_t i = 0; i < one.states.size(); ++i)
    steps.push_back(entry("copy", one.states[i], static_cast<std::int64_t>(i) + 1));
  EXPECT_EQ(was_begun(steps, "copy"), one.begun);
  EXPECT_EQ(is_running(steps, "copy"), one.running);
  EXPECT_EQ(running(steps, "copy") != nullptr, one.running);
  EXPECT_EQ(succeeded(steps, "copy") != nullptr, one.succeeded);
  EXPECT_EQ(failures_of(steps, "copy"), one.failures);
  EXPECT_EQ(pause_left(steps, "copy", 30s, kNoon + 10s), one.pause);
  const auto count = steps.size();
  const Step& begun = begin_step(steps, "copy", kNoon + 1h);
  EXPECT_EQ(begun.attempt, one.next);
  EXPECT_EQ(begun.state, StepState::Running);
  EXPECT_EQ(steps.size(), count + (one.running ? 0 : 1)) << "one that runs is not begun a second time";
  EXPECT_EQ(begun.started_at == kNoon + 1h, !one.running);
}

constexpr auto kOk = StepState::Succeeded, kNo = StepState::Failed, kRuns = StepState::Running;
INSTANTIATE_TEST_SUITE_P(Table, Entries,
                         ::testing::Values(Case{"NeverBegun", {}, false, false, false, 0, std::nullopt, 1},
                                           Case{"Running", {kRuns}, true, true, false, 0, std::nullopt, 1},
                                           Case{"Done", {kOk}, true, false, true, 0, std::nullopt, 2},
                                           Case{"FailedOnce", {kNo}, true, false, false, 1, Millis{20s}, 2},
                                           Case{"FailedTwice", {kNo, kNo}, true, false, false, 2, Millis{20s}, 3},
                                           Case{"TriedAgain", {kNo, kRuns}, true, true, false, 1, std::nullopt, 2},
                                           Case{"DoneAtLast", {kNo, kOk}, true, false, true, 1, std::nullopt, 3}),
                         [](const auto& one) { return one.param.name; });

TEST(PauseLeft, EndsAfterItsTimeAndWhereTheClockWasSetBack) {
  const std::vector<Step> steps{entry("copy", StepState::Failed)};
  EXPECT_EQ(pause_left(steps, "copy", 30s, kNoon), Millis{30s});
  EXPECT_EQ(pause_left(steps, "copy", 30s, kNoon + 29s), Millis{1s});
  EXPECT_FALSE(pause_left(steps, "copy", 30s, kNoon + 30s));
  EXPECT_EQ(pause_left(steps, "copy", 30s, kNoon - 5s), Millis{35s}) << "two clocks may differ by seconds";
  EXPECT_FALSE(pause_left(steps, "copy", 30s, kNoon - 5h)) << "it would stand still for five hours";
}

TEST(Entry, IsClosedWithItsEnd) {
  Step step = entry("copy", StepState::Running);
  close(step, StepState::Failed, "the disk is full", kNoon);
  EXPECT_EQ(step.state, StepState::Failed);
  EXPECT_EQ(step.message, "the disk is full");
  EXPECT_EQ(step.finished_at, kNoon);
}

TEST(Memory, IsWhatWasRememberedAndEmptyForAnythingElse) {
  Step step = entry("copy", StepState::Running);
  EXPECT_TRUE(memory_of(step).empty());
  remember(step, {{"asked", 2}});
  EXPECT_EQ(memory_of(step).value("asked", 0), 2);
  remember(step, nlohmann::json::object());
  EXPECT_EQ(step.result, "") << "nothing is no text";
  for (const char* text : {"[1]", "7", "not JSON", "null"}) {
    step.result = text;
    EXPECT_TRUE(memory_of(step).is_object()) << text;
  }
}

TEST(AttemptMemory, TellsAWorkerThatVanishedFromOneThatWasNeverMade) {
  Step step = entry("copy", StepState::Running, 2);
  EXPECT_EQ(attempt_of(step, "copy").number, 2);
  EXPECT_FALSE(attempt_of(step, "copy").started);
  remember_attempt(step, "copy", {2, false}, "worker-2", "annex2");
  EXPECT_EQ(step.worker, "") << "nothing was made yet";
  remember_attempt(step, "copy", {2, true}, "worker-2", "annex2");
  EXPECT_TRUE(attempt_of(step, "copy").started);
  EXPECT_FALSE(attempt_of(step, "look").started) << "workers of one step are told apart by their words";
  EXPECT_EQ(step.worker, "worker-2");
  EXPECT_EQ(step.host, "annex2");
}

TEST(AttemptMemory, OfWorkersEndsWithTheirAttemptAndTheRestStays) {
  Step step = entry("copy", StepState::Running, 2);
  remember_attempt(step, "copy", {2, true}, "worker-2", "annex2");
  auto memory = memory_of(step);
  memory["noSpace"] = 1;
  remember(step, memory);
  remember_attempt(step, "copy", {5, false}, "worker-5", "annex2");  // containers of an earlier life were found
  EXPECT_EQ(step.attempt, 5);
  EXPECT_EQ(step.worker, "");
  EXPECT_FALSE(attempt_of(step, "copy").started);
  EXPECT_EQ(memory_of(step).value("noSpace", 0), 1);
  next_attempt(step);
  EXPECT_EQ(step.attempt, 6);
  next_attempt(step, 9);
  EXPECT_EQ(step.attempt, 9);
  next_attempt(step, 4);
  EXPECT_EQ(step.attempt, 10) << "a number is never used twice";
}

TEST(NoLess, IsTheLargerOfWhatIsKnown) {
  EXPECT_EQ(no_less(std::nullopt, std::nullopt), std::nullopt);
  EXPECT_EQ(no_less(5, std::nullopt), 5);
  EXPECT_EQ(no_less(std::nullopt, 3), 3);
  EXPECT_EQ(no_less(5, 3), 5);
  EXPECT_EQ(no_less(3, 5), 5);
}

TEST(Beat, IsOnceAnIntervalForEachObject) {
  const ObjectKey one{"Backup", "default", "nightly"}, other{"Backup", "default", "weekly"};
  Beat beat(2s);
  EXPECT_TRUE(beat.is_due(one, kNoon));
  EXPECT_FALSE(beat.is_due(one, kNoon + 1s));
  EXPECT_TRUE(beat.is_due(other, kNoon + 1s));
  EXPECT_TRUE(beat.is_due(one, kNoon + 2s));
  EXPECT_TRUE(beat.is_due(one, kNoon - 1h)) << "the clock was set back";
  EXPECT_FALSE(beat.is_due(one, kNoon - 1h));
  beat.forget(one);
  EXPECT_TRUE(beat.is_due(one, kNoon - 1h));
}

TEST(EngineRefused, NamesTheEnginesWordsAndWhereToLook) {
  HostHandle host;
  host.host.metadata.name = "annex2";
  host.host.spec.engine.endpoint = "ssh://ops@annex2";
  const Outcome outcome = from_error(Error{ErrorKind::Invalid, "no such image"}, host, false);
  const auto* retry = std::get_if<Retry>(&outcome);
  ASSERT_NE(retry, nullptr);
  EXPECT_EQ(retry->reason, "EngineRefused");
  EXPECT_THAT(retry->message, HasSubstr("host annex2"));
  EXPECT_THAT(retry->message, HasSubstr("no such image"));
  EXPECT_THAT(retry->next, HasSubstr("`roadstead describe host annex2`"));
  EXPECT_THAT(retry->next, HasSubstr("`docker -H ssh://ops@annex2 info`"));
}

TEST(WordsOf, AHostThatIsAwayNameItTheCauseAndTheNextCommand) {
  const std::string words = words_of(Unreachable{"annex2", "connection refused", false});
  EXPECT_THAT(words, HasSubstr("annex2"));
  EXPECT_THAT(words, HasSubstr("connection refused"));
  EXPECT_THAT(words, HasSubstr("`roadstead describe host annex2`"));
}

}  // namespace
}  // namespace roadstead::reconcilers
