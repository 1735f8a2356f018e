#include "operator/runtime/controller.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <stdexcept>

#include "operator/base/log.h"
#include "operator/runtime/scheduler.h"

namespace roadstead {
namespace {

using namespace std::chrono_literals;

const ObjectKey kUat{"Host", "", "uat"};
const ObjectKey kAnnex{"Host", "", "annex2"};

/// Polls until `condition`; a test that waits longer than this has failed.
[[nodiscard]] bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(1ms);
  }
  return true;
}

/// Does what the test says and counts.
class ScriptedReconciler final : public Reconciler {
 public:
  explicit ScriptedReconciler(std::function<Result<Action>(const ObjectKey&, const std::stop_token&)> script)
      : script_(std::move(script)) {}
  Result<Action> reconcile(const ObjectKey& key, std::stop_token stop) override {
    ++calls;
    return script_(key, stop);
  }
  std::atomic<int> calls = 0;

 private:
  std::function<Result<Action>(const ObjectKey&, const std::stop_token&)> script_;
};

class ControllerTest : public testing::Test {
 protected:
  static ControllerOptions options(int workers = 1) {
    return {.name = "host", .workers = workers, .backoff = {1s, 8s}, .jitter = [] { return 0.999999; }};
  }
  double total(const std::string& result) { return metrics.counter(metric::kReconcileTotal, {"host", result}).value(); }
  void SetUp() override { set_log_level(LogLevel::Error); }
  void TearDown() override { set_log_level(LogLevel::Info); }

  ManualClock wall{Time{0ms}};
  Metrics metrics{wall};
  ManualMonotonicClock clock;
};

TEST_F(ControllerTest, ReconcilesWhatIsEnqueuedAndThenAwaitsChange) {
  ScriptedReconciler reconciler([](auto&, auto&) { return Action::await_change(); });
  Controller controller(options(), reconciler, metrics, clock);
  ASSERT_TRUE(controller.start());
  controller.enqueue(kUat);
  EXPECT_TRUE(eventually([&] { return total("success") == 1; }));
  clock.advance(100h);
  controller.stop();
  EXPECT_EQ(reconciler.calls, 1);
}

TEST_F(ControllerTest, ComesAgainWhenTheActionSaysSoAndNotBefore) {
  ScriptedReconciler reconciler([](auto&, auto&) { return Action::requeue(15s); });
  Controller controller(options(), reconciler, metrics, clock);
  ASSERT_TRUE(controller.start());
  controller.enqueue(kUat);
  ASSERT_TRUE(eventually([&] { return total("requeue_after") == 1; }));
  clock.advance(14s);
  controller.enqueue(kAnnex);  // shows that the worker has looked at the clock since
  ASSERT_TRUE(eventually([&] { return total("requeue_after") == 2; }));
  EXPECT_EQ(reconciler.calls, 2);
  clock.advance(1s);
  EXPECT_TRUE(eventually([&] { return reconciler.calls == 3; }));
}

TEST_F(ControllerTest, AChangeComesBeforeTheRequeueAndReplacesIt) {
  std::atomic<bool> again = true;
  ScriptedReconciler reconciler([&](auto&, auto&) { return again ? Action::requeue(15s) : Action::await_change(); });
  Controller controller(options(), reconciler, metrics, clock);
  ASSERT_TRUE(controller.start());
  controller.enqueue(kUat);
  ASSERT_TRUE(eventually([&] { return total("requeue_after") == 1; }));
  again = false;
  controller.enqueue(kUat);
  ASSERT_TRUE(eventually([&] { return total("success") == 1; }));
  clock.advance(1h);
  controller.enqueue(kAnnex);
  ASSERT_TRUE(eventually([&] { return total("success") == 2; }));
  EXPECT_EQ(reconciler.calls, 3);
}

TEST_F(ControllerTest, FailuresAreTriedAgainWithGrowingDelaysUntilASuccess) {
  std::atomic<bool> broken = true;
  ScriptedReconciler reconciler([&](auto&, auto&) -> Result<Action> {
    if (broken) return fail(ErrorKind::Unavailable, "connection refused");
    return Action::await_change();
  });
  Controller controller(options(), reconciler, metrics, clock);
  ASSERT_TRUE(controller.start());
  controller.enqueue(kUat);
  for (int failure = 1; failure <= 4; ++failure) {
    ASSERT_TRUE(eventually([&] { return total("error") == failure; }));
    EXPECT_EQ(reconciler.calls, failure);
    clock.advance(Millis{1000 << (failure - 1)});  // 1, 2, 4, 8 s
  }
  broken = false;
  clock.advance(8s);
  EXPECT_TRUE(eventually([&] { return total("success") == 1; }));
  EXPECT_GE(metrics.counter(metric::kQueueRetries, {"host"}).value(), 4);
}

TEST_F(ControllerTest, AnExceptionIsAFailureAndTheWorkerLivesOn) {
  ScriptedReconciler reconciler([](const ObjectKey& key, auto&) -> Result<Action> {
    if (key == kUat) throw std::logic_error("an invariant broke");
    if (key.name == "odd") throw 42;
    return Action::await_change();
  });
  Controller controller(options(), reconciler, metrics, clock);
  ASSERT_TRUE(controller.start());
  controller.enqueue(kUat);
  controller.enqueue({"Host", "", "odd"});
  controller.enqueue(kAnnex);
  EXPECT_TRUE(eventually([&] { return total("success") == 1; }));
  EXPECT_EQ(metrics.counter(metric::kReconcileErrors, {"host"}).value(), 2);
}

TEST_F(ControllerTest, WorkersWorkSideBySideOnDifferentKeys) {
  std::promise<void> annex_began;
  auto began = annex_began.get_future();
  ScriptedReconciler reconciler([&](const ObjectKey& key, auto&) -> Result<Action> {
    if (key == kAnnex)
      annex_began.set_value();
    else if (began.wait_for(20s) != std::future_status::ready)
      return fail(ErrorKind::Timeout, "alone");
    return Action::await_change();
  });
  Controller controller(options(2), reconciler, metrics, clock);
  ASSERT_TRUE(controller.start());
  controller.enqueue(kUat);
  controller.enqueue(kAnnex);
  EXPECT_TRUE(eventually([&] { return total("success") == 2; }));
}

TEST_F(ControllerTest, StopTellsAReconcileInWorkAndWaitsForIt) {
  std::atomic<bool> in_work = false, ended = false;
  ScriptedReconciler reconciler([&](auto&, const std::stop_token& stop) -> Result<Action> {
    in_work = true;
    while (!stop.stop_requested()) std::this_thread::yield();
    ended = true;
    return fail(ErrorKind::Cancelled, "stopped");
  });
  Controller controller(options(), reconciler, metrics, clock);
  ASSERT_TRUE(controller.start());
  controller.enqueue(kUat);
  ASSERT_TRUE(eventually([&] { return in_work.load(); }));
  controller.stop();
  EXPECT_TRUE(ended);
  EXPECT_EQ(total("error"), 0) << "being stopped is not a failure";
}

class CountingSource final : public Source {
 public:
  explicit CountingSource(std::atomic<int>& runs) : runs_(runs) {}
  std::string name() const override { return "counting"; }
  Result<void> run(const Enqueue& enqueue, std::stop_token stop) override {
    if (++runs_ == 1) return fail(ErrorKind::Unavailable, "stream broke");
    enqueue(kUat);
    while (!stop.stop_requested()) std::this_thread::yield();
    return {};
  }

 private:
  std::atomic<int>& runs_;
};

TEST_F(ControllerTest, ASourceThatBreaksIsRunAgain) {
  std::atomic<int> runs = 0;
  ScriptedReconciler reconciler([](auto&, auto&) { return Action::await_change(); });
  Controller controller(options(), reconciler, metrics, clock);
  controller.add_source(std::make_unique<CountingSource>(runs));
  ASSERT_TRUE(controller.start());
  ASSERT_TRUE(eventually([&] { return runs == 1; }));
  EXPECT_TRUE(eventually([&] {
    clock.advance(1s);
    return total("success") == 1;
  }));
}

// Many writers, several workers: a key is never in two hands, and no change is left unseen.
TEST_F(ControllerTest, UnderLoadNoKeyIsInTwoHandsAndNoChangeIsMissed) {
  constexpr int kKeys = 20, kChanges = 2000, kWriters = 4;
  struct State {
    std::atomic<int> wanted = 0, seen = 0, hands = 0;
  };
  std::map<std::string, State> states;
  std::vector<ObjectKey> keys;
  for (int i = 0; i < kKeys; ++i) {
    keys.push_back({"Host", "", "h" + std::to_string(i)});
    states[keys.back().name];
  }
  std::atomic<int> doubled = 0, calls = 0;
  ScriptedReconciler reconciler([&](const ObjectKey& key, auto&) -> Result<Action> {
    State& state = states.at(key.name);
    if (++state.hands > 1) ++doubled;
    state.seen = state.wanted.load();
    std::this_thread::yield();
    --state.hands;
    if (++calls % 7 == 0) return fail(ErrorKind::Unavailable, "every seventh fails");
    return calls % 5 == 0 ? Action::requeue(1ms) : Action::await_change();
  });
  SteadyClock steady;
  ControllerOptions quick = options(6);
  quick.backoff = {1ms, 2ms};
  Controller controller(quick, reconciler, metrics, steady);
  ASSERT_TRUE(controller.start());
  {
    std::vector<std::jthread> writers;
    for (int w = 0; w < kWriters; ++w)
      writers.emplace_back([&, w] {
        for (int i = 0; i < kChanges; ++i) {
          const ObjectKey& key = keys[static_cast<std::size_t>((i * 7 + w) % kKeys)];
          ++states.at(key.name).wanted;
          controller.enqueue(key, Millis{i % 3});
          if (i % 500 == 0) (void)metrics.render();
        }
      });
  }
  EXPECT_TRUE(eventually([&] {
    for (const auto& [name, state] : states)
      if (state.seen != state.wanted) return false;
    return true;
  }));
  controller.stop();
  EXPECT_EQ(doubled, 0);
}

TEST_F(ControllerTest, TheSchedulerGoesRoundAndShowsItsHeartbeat) {
  std::atomic<int> rounds = 0;
  Scheduler scheduler(wall, clock, metrics, 10s);
  scheduler.each_round([&] { ++rounds; });
  scheduler.each_round([] { throw std::runtime_error("one broken round"); });
  ASSERT_TRUE(scheduler.start());
  ASSERT_TRUE(eventually([&] { return rounds == 1; }));
  wall.advance(10s);
  ASSERT_TRUE(eventually([&] {
    clock.advance(10s);
    return rounds >= 2;
  }));
  scheduler.stop();
  EXPECT_EQ(metrics.gauge(metric::kSchedulerLastTick).value(), 10);
}

}  // namespace
}  // namespace roadstead
