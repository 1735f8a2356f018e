#include "operator/runtime/work_queue.h"

#include <gtest/gtest.h>

namespace roadstead {
namespace {

using namespace std::chrono_literals;

const ObjectKey kUat{"Host", "", "uat"};
const ObjectKey kAnnex{"Host", "", "annex2"};
const Instant kNow{1h};

class WorkQueueTest : public testing::Test {
 protected:
  ManualClock wall{Time{0ms}};
  Metrics metrics{wall};
  WorkQueue queue{"host", metrics};
};

TEST_F(WorkQueueTest, GivesWhatIsDueInTheOrderOfBecomingDue) {
  queue.add(kUat, kNow);
  queue.add(kAnnex, kNow - 1s);
  EXPECT_EQ(queue.pop_due(kNow), kAnnex);
  EXPECT_EQ(queue.pop_due(kNow), kUat);
  EXPECT_EQ(queue.pop_due(kNow), std::nullopt);
}

TEST_F(WorkQueueTest, EqualTimesKeepTheOrderOfAdding) {
  queue.add(kUat, kNow);
  queue.add(kAnnex, kNow);
  EXPECT_EQ(queue.pop_due(kNow), kUat);
}

TEST_F(WorkQueueTest, MergesEqualKeys) {
  queue.add(kUat, kNow);
  queue.add(kUat, kNow);
  EXPECT_EQ(queue.pop_due(kNow), kUat);
  queue.done(kUat, kNow);
  EXPECT_EQ(queue.pop_due(kNow), std::nullopt);
  EXPECT_EQ(metrics.counter(metric::kQueueAdds, {"host"}).value(), 1);
}

TEST_F(WorkQueueTest, TheEarlierTimeWins) {
  queue.add(kUat, kNow + 10s);
  queue.add(kUat, kNow + 5s);
  queue.add(kUat, kNow + 20s);
  EXPECT_EQ(queue.next_due(), kNow + 5s);
  EXPECT_FALSE(queue.has_due(kNow + 4s));
  EXPECT_EQ(queue.pop_due(kNow + 5s), kUat);
  queue.done(kUat, kNow + 5s);
  EXPECT_EQ(queue.next_due(), std::nullopt);
}

TEST_F(WorkQueueTest, AKeyInWorkIsNotGivenOutAgainButComesBackAfterwards) {
  queue.add(kUat, kNow);
  ASSERT_EQ(queue.pop_due(kNow), kUat);
  queue.add(kUat, kNow + 10s);
  queue.add(kUat, kNow);
  EXPECT_EQ(queue.pop_due(kNow), std::nullopt);
  EXPECT_FALSE(queue.has_due(kNow + 1h));
  queue.done(kUat, kNow);
  EXPECT_EQ(queue.pop_due(kNow), kUat);
}

TEST_F(WorkQueueTest, DoneForWhatIsNotInWorkChangesNothing) {
  queue.done(kUat, kNow);
  EXPECT_EQ(queue.pop_due(kNow), std::nullopt);
}

TEST_F(WorkQueueTest, CountsFailuresInARowPerKey) {
  EXPECT_EQ(queue.failed(kUat), 1);
  EXPECT_EQ(queue.failed(kUat), 2);
  EXPECT_EQ(queue.failed(kAnnex), 1);
  queue.succeeded(kUat);
  EXPECT_EQ(queue.failed(kUat), 1);
  EXPECT_EQ(metrics.counter(metric::kQueueRetries, {"host"}).value(), 4);
}

TEST_F(WorkQueueTest, ShowsDepthAndWhatIsInWorkForHowLong) {
  queue.add(kUat, kNow);
  queue.add(kAnnex, kNow + 1h);
  queue.show(kNow);
  EXPECT_EQ(metrics.gauge(metric::kQueueDepth, {"host"}).value(), 1);
  (void)queue.pop_due(kNow);
  queue.show(kNow + 90s);
  EXPECT_EQ(metrics.gauge(metric::kQueueDepth, {"host"}).value(), 0);
  EXPECT_EQ(metrics.gauge(metric::kQueueUnfinishedWork, {"host"}).value(), 90);
  EXPECT_EQ(metrics.gauge(metric::kQueueLongestRunning, {"host"}).value(), 90);
}

}  // namespace
}  // namespace roadstead
