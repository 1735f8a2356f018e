#include "reconcilers/support/pace.h"

#include <gtest/gtest.h>

#include "operator/base/rfc3339.h"

namespace roadstead::reconcilers {
namespace {

using namespace std::chrono_literals;

const Time kNoon = parse_rfc3339("2026-11-22T12:00:00Z").value();
const ObjectKey kKey{"Backup", "default", "nightly"};

TEST(Pace, WaitsForTheNextLookUnlessTheObjectChanged) {
  Pace pace;
  EXPECT_FALSE(pace.wait(kKey, "7", kNoon));
  pace.set(kKey, "7", kNoon, 15s);
  EXPECT_EQ(pace.wait(kKey, "7", kNoon + 5s), Millis{10s});
  EXPECT_FALSE(pace.wait(kKey, "8", kNoon + 5s));
  EXPECT_FALSE(pace.wait(kKey, "7", kNoon + 15s));
}

TEST(Pace, DoesNotStandStillWhileAClockThatWasSetBackCatchesUp) {
  Pace pace;
  pace.set(kKey, "7", kNoon, 15s);
  EXPECT_FALSE(pace.wait(kKey, "7", kNoon - 3h));
  EXPECT_TRUE(has_passed(kNoon, 60s, kNoon - 3h));
  EXPECT_FALSE(has_passed(kNoon, 60s, kNoon + 59s));
  EXPECT_TRUE(has_passed(kNoon, 60s, kNoon + 60s));
}

}  // namespace
}  // namespace roadstead::reconcilers
