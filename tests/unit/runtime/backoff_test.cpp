#include "operator/runtime/backoff.h"

#include <gtest/gtest.h>

namespace roadstead {
namespace {

constexpr Backoff kBackoff{Millis{500}, Millis{60'000}};

double no_chance() { return 0.999999; }

TEST(Backoff, DoublesUpToTheLongest) {
  const auto almost = [](Millis got, std::int64_t wanted) {
    EXPECT_NEAR(static_cast<double>(got.count()), static_cast<double>(wanted), 1.0);
  };
  almost(delay_after(1, kBackoff, no_chance), 500);
  almost(delay_after(2, kBackoff, no_chance), 1000);
  almost(delay_after(7, kBackoff, no_chance), 32'000);
  almost(delay_after(8, kBackoff, no_chance), 60'000);
}

TEST(Backoff, NeverOverflows) { EXPECT_LE(delay_after(1'000'000, kBackoff, no_chance), Millis{60'000}); }

TEST(Backoff, ChanceTakesAwayUpToAHalf) {
  EXPECT_EQ(delay_after(2, kBackoff, [] { return 0.0; }), Millis{500});
  EXPECT_EQ(delay_after(2, kBackoff, [] { return 0.5; }), Millis{750});
}

TEST(Backoff, TheSystemsChanceIsBelowOneAndNotAlwaysTheSame) {
  const Jitter jitter = system_jitter();
  const double first = jitter();
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const double next = jitter();
    EXPECT_GE(next, 0.0);
    EXPECT_LT(next, 1.0);
    differs |= next != first;
  }
  EXPECT_TRUE(differs);
}

}  // namespace
}  // namespace roadstead
