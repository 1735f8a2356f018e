#include "operator/runtime/manager.h"

#include <gtest/gtest.h>

#include <vector>

namespace roadstead {
namespace {

class Recorded final : public Runnable {
 public:
  Recorded(std::string name, std::vector<std::string>& log, bool broken = false)
      : name_(std::move(name)), log_(log), broken_(broken) {}
  std::string name() const override { return name_; }
  Result<void> start() override {
    if (broken_) return fail(ErrorKind::Unavailable, "port 6440 is taken");
    log_.push_back("+" + name_);
    return {};
  }
  void stop() override { log_.push_back("-" + name_); }

 private:
  std::string name_;
  std::vector<std::string>& log_;
  bool broken_;
};

using Log = std::vector<std::string>;

TEST(Manager, StartsInOrderAndStopsInReverse) {
  Log log;
  Recorded store("store", log), api("api", log);
  {
    Manager manager;
    manager.add(store);
    manager.add(api);
    ASSERT_TRUE(manager.start());
    manager.stop();
    manager.stop();
  }
  EXPECT_EQ(log, (Log{"+store", "+api", "-api", "-store"}));
}

TEST(Manager, StopsWhatRanWhenOneDoesNotStart) {
  Log log;
  Recorded store("store", log), api("api", log, true), late("late", log);
  Manager manager;
  manager.add(store);
  manager.add(api);
  manager.add(late);
  const auto started = manager.start();
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().message, "start api: port 6440 is taken");
  EXPECT_EQ(log, (Log{"+store", "-store"}));
}

}  // namespace
}  // namespace roadstead
