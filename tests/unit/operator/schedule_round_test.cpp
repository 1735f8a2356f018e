#include "operator/schedule_round.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/component/store/store_fixture.h"

namespace roadstead {
namespace {

using nlohmann::json;
using testing::ElementsAre;

class ScheduleRound : public testing::Test {
 protected:
  std::vector<std::string> woken() {
    std::vector<std::string> keys;
    const auto done = schedule_round(*store, [&](const ObjectKey& key) { keys.push_back(to_string(key)); });
    EXPECT_TRUE(done);
    return keys;
  }
  store::TemporaryDirectory directory;
  ManualClock clock{Time{std::chrono::milliseconds{1'790'000'000'000}}};
  std::unique_ptr<store::Store> store = store::open_store(directory.path(), clock).value();
};

TEST_F(ScheduleRound, WakesEveryPolicyAndWritesNothing) {
  EXPECT_THAT(woken(), ElementsAre());
  for (const char* ns : {"default", "other"})
    ASSERT_TRUE(store->create(
        {{"apiVersion", "roadstead.dev/v1alpha1"},
         {"kind", "BackupPolicy"},
         {"metadata", {{"name", "nightly"}, {"namespace", ns}}},
         {"spec", {{"source", {{"barman", {{"serverRef", {{"name", "a"}}}}}}}, {"schedule", {{"cron", "@daily"}}}}}},
        {}));
  const auto version = store->list("BackupPolicy", {})->resource_version;
  EXPECT_THAT(woken(), ElementsAre("BackupPolicy default/nightly", "BackupPolicy other/nightly"));
  EXPECT_EQ(store->list("BackupPolicy", {})->resource_version, version);
}

/// A store whose writer hangs until it is let go.
class HungWriter final : public store::Admission {
 public:
  Result<json> admit(const json& incoming, const json*, bool) override {
    ++inside;
    std::unique_lock lock(mutex);
    wake.wait(lock, [&] { return released; });
    return incoming;
  }
  json prune(json object) override { return object; }
  void release() {
    {
      const std::lock_guard lock(mutex);
      released = true;
    }
    wake.notify_all();
  }
  std::atomic<int> inside{0};

 private:
  std::mutex mutex;
  std::condition_variable wake;
  bool released = false;
};

TEST_F(ScheduleRound, HangsWithTheWriter) {
  HungWriter hung;
  store::TemporaryDirectory other;
  auto data = store::DataDirectory::open(other.path());
  ASSERT_TRUE(data);
  const auto slow = store::Store::open(std::move(*data), store::builtin_kinds().types, hung, clock).value();
  const json host{{"apiVersion", "roadstead.dev/v1alpha1"}, {"kind", "Host"}, {"metadata", {{"name", "uat"}}}};
  std::jthread writing([&] { (void)slow->create(host, {}); });
  while (hung.inside == 0) std::this_thread::yield();
  std::atomic<bool> ended = false;
  std::jthread round([&] {
    (void)schedule_round(*slow, [](const ObjectKey&) {});
    ended = true;
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_FALSE(ended);
  hung.release();
  round.join();
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace roadstead
