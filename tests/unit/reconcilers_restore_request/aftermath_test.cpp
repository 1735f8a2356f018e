// What is decided in place, by a suspend and after the end, each as a table: no engine, no clock.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconcilers/restore_request/end.h"
#include "reconcilers/restore_request/mark.h"
#include "reconcilers/restore_request/order.h"
#include "reconcilers/restore_request/path.h"
#include "reconcilers/restore_request/take.h"

namespace roadstead::reconcilers::restore {
namespace {

using crds::RestoreStrategy;
using std::chrono::seconds;
using ::testing::HasSubstr;

const Time kNoon{seconds(1795392000)};

crds::RestoreRequest request(std::vector<std::pair<std::string, RestoreStrategy>> items) {
  crds::RestoreRequest one;
  one.metadata.name = "uat-november";
  one.metadata.ns = "default";
  one.metadata.generation = 1;
  one.spec.target.host_ref.name = "uat";
  one.spec.keep_previous_seconds = 100;
  for (const auto& [name, strategy] : items) {
    crds::RestoreItem item;
    item.name = name;
    item.from.backup_policy_ref = crds::NameRef{"outpack"};
    item.from.volume = item.to.volume = name;
    one.spec.items.push_back(item);
    crds::PinnedSource pinned;
    pinned.item = name;
    pinned.strategy = strategy;
    one.status.pinned.push_back(pinned);
  }
  return one;
}

std::vector<std::string> names(const std::vector<StepRef>& path) {
  std::vector<std::string> out;
  for (const auto& ref : path) out.push_back(name_of(ref));
  return out;
}

void succeed(crds::RestoreRequest& one, const StepRef& ref, std::string result = "{}") {
  (void)take(one, ref, Done{std::move(result), ""}, kNoon);
}

void succeed_until(crds::RestoreRequest& one, const std::string& last) {
  while (auto ref = current_step(one)) {
    if (name_of(*ref) == last) return;
    succeed(one, *ref);
  }
}

TEST(Path, ExchangesBeforeItOverwritesSoThatThereIsAWayBackAsLongAsCanBe) {
  auto one = request({{"a", RestoreStrategy::InPlace}, {"b", RestoreStrategy::Staged}});
  EXPECT_EQ(names(path_of(one)),
            (std::vector<std::string>{"a/probe", "b/probe", "a/pin", "b/pin", "a/mark", "a/compare", "b/mark", "b/copy",
                                      "stop", "b/exchange", "a/overwrite", "start", "receipt"}));
}

TEST(Path, OfADatabaseInPlaceReplaysAndFinishesNothingBesideTheVolume) {
  auto one = request({{"a", RestoreStrategy::InPlace}});
  one.spec.items[0].from = {};
  one.spec.items[0].from.barman = crds::BarmanRestoreSource{{"montagu"}, {.latest = true, .backup_id = {}}};
  EXPECT_EQ(names(path_of(one)), (std::vector<std::string>{"a/probe", "a/pin", "a/mark", "a/prepare", "a/replay",
                                                           "a/compare", "stop", "a/overwrite", "start", "receipt"}));
}

TEST(Overwriting, HasNoEndButItsOwnFromItsMarkOnUntilAllIsNew) {
  auto one = request({{"a", RestoreStrategy::InPlace}, {"b", RestoreStrategy::InPlace}});
  succeed_until(one, "a/overwrite");
  const StepRef a{"a", step::kOverwrite}, b{"b", step::kOverwrite};
  (void)begin(one.status, a, kNoon);
  EXPECT_FALSE(forward_only(one)) << "it only waits";
  EXPECT_FALSE(past_cancelling(one.status));
  begin(one.status, a, kNoon).result = R"({"overwriting":true})";
  EXPECT_TRUE(past_cancelling(one.status));
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(take(one, a, Retry{"DiskError", "it broke", "mend it"}, kNoon), kBlockedRetry);
    EXPECT_EQ(take(one, a, Failed{"Internal", "it broke", "mend it"}, kNoon), kBlockedRetry);
  }
  EXPECT_FALSE(is_ending(one.status));
  EXPECT_THAT(crds::find_condition(one.status.conditions, "Blocked")->message, HasSubstr("applications stay stopped"));
  succeed(one, a);
  EXPECT_TRUE(forward_only(one)) << "the other one is old";
  (void)take(one, b, Failed{"Internal", "it broke", ""}, kNoon);
  EXPECT_FALSE(is_ending(one.status));
  succeed(one, b);
  EXPECT_FALSE(forward_only(one));
  EXPECT_TRUE(all_new(one));
}

struct HeldCase {
  std::string step;
  bool held;
};
class Held : public ::testing::TestWithParam<HeldCase> {};
TEST_P(Held, BeforeAStepButNeverBetweenStopAndStart) {
  auto one = request({{"a", RestoreStrategy::Staged}});
  one.spec.suspend = true;
  succeed_until(one, GetParam().step);
  ASSERT_EQ(name_of(*current_step(one)), GetParam().step);
  EXPECT_EQ(is_held(one, *current_step(one)), GetParam().held);
  (void)begin(one.status, *current_step(one), kNoon);
  EXPECT_FALSE(is_held(one, *current_step(one))) << "what runs is finished";
}
INSTANTIATE_TEST_SUITE_P(Restore, Held,
                         ::testing::Values(HeldCase{"a/probe", true}, HeldCase{"a/copy", true}, HeldCase{"stop", true},
                                           HeldCase{"a/exchange", false}, HeldCase{"start", false},
                                           HeldCase{"receipt", true}));

struct AftermathCase {
  std::string name;
  std::function<void(crds::RestoreRequest&)> change;
  seconds later;
  Aftermath what;
};
class AftermathOf : public ::testing::TestWithParam<AftermathCase> {};
TEST_P(AftermathOf, IsDecidedFromSpecStatusAndTime) {
  auto one = request({{"a", RestoreStrategy::Staged}});
  succeed_until(one, "receipt");
  succeed(one, {{}, step::kReceipt}, R"({"kept":true})");
  finish(one, kNoon);
  GetParam().change(one);
  EXPECT_EQ(aftermath_of(one, kNoon + GetParam().later), GetParam().what);
}
INSTANTIATE_TEST_SUITE_P(
    Restore, AftermathOf,
    ::testing::Values(AftermathCase{"Kept", [](auto&) {}, seconds(99), Aftermath::Keep},
                      AftermathCase{"Over", [](auto&) {}, seconds(100), Aftermath::Discard},
                      AftermathCase{"Shortened", [](auto& one) { one.spec.keep_previous_seconds = 0; }, seconds(1),
                                    Aftermath::Discard},
                      AftermathCase{"Lengthened", [](auto& one) { one.spec.keep_previous_seconds = 1000; },
                                    seconds(500), Aftermath::Keep},
                      AftermathCase{"Deleted", [](auto& one) { one.metadata.deletion_timestamp = kNoon; }, seconds(1),
                                    Aftermath::Discard},
                      AftermathCase{"Wanted", [](auto& one) { one.spec.rollback = true; }, seconds(1),
                                    Aftermath::RollBack},
                      AftermathCase{"WantedAndLateButStillThere", [](auto& one) { one.spec.rollback = true; },
                                    seconds(500), Aftermath::RollBack},
                      AftermathCase{"Refused",
                                    [](auto& one) {
                                      one.spec.rollback = true;
                                      refuse_rollback(one, "Superseded", "something has replaced it", kNoon);
                                    },
                                    seconds(1), Aftermath::Keep},
                      AftermathCase{"RefusedAndAskedAgain",
                                    [](auto& one) {
                                      one.spec.rollback = true;
                                      refuse_rollback(one, "Superseded", "something has replaced it", kNoon);
                                      one.metadata.generation = 2;
                                    },
                                    seconds(1), Aftermath::RollBack},
                      AftermathCase{"BegunIsGoneOnWithWhateverIsSaidNow",
                                    [](auto& one) {
                                      (void)begin(one.status, {{}, step::kRollbackStop}, kNoon);
                                    },
                                    seconds(500), Aftermath::RollBack},
                      AftermathCase{"Gone", [](auto& one) { finish_aftermath(one, Aftermath::Discard, kNoon); },
                                    seconds(500), Aftermath::Nothing},
                      AftermathCase{"RolledBack",
                                    [](auto& one) {
                                      one.spec.rollback = true;
                                      finish_aftermath(one, Aftermath::RollBack, kNoon);
                                    },
                                    seconds(500), Aftermath::Nothing}),
    [](const auto& param) { return param.param.name; });

TEST(KeptUntil, OnlyWhereAllWasExchanged) {
  auto staged = request({{"a", RestoreStrategy::Staged}});
  EXPECT_FALSE(kept_until(staged, kNoon)) << "nothing was exchanged";
  succeed_until(staged, "start");
  EXPECT_EQ(kept_until(staged, kNoon), kNoon + seconds(100));
  staged.spec.keep_previous_seconds = 0;
  EXPECT_FALSE(kept_until(staged, kNoon));
  auto mixed = request({{"a", RestoreStrategy::Staged}, {"b", RestoreStrategy::InPlace}});
  succeed_until(mixed, "start");
  EXPECT_FALSE(kept_until(mixed, kNoon)) << "half a way back is none";
}

struct MarkCase {
  std::string name;
  MarkState state;
  std::uint64_t data_inode;
  std::string next;  ///< The step it goes on with.
  bool begun;        ///< There is no way back.
};
class RecallInPlace : public ::testing::TestWithParam<MarkCase> {};
TEST_P(RecallInPlace, GoesOnWhereTheMarkSays) {
  auto before = request({{"a", RestoreStrategy::InPlace}});
  const std::int64_t new_inode = GetParam().state == MarkState::Overwritten ? 11 : 0;
  before.status.marks = {{"a", "a", "Stopping", 11, new_inode}};
  before.status.ledger.resize(1);
  const FoundMark found{"a", mark_of(before, before.spec.items[0], "default", GetParam().state), GetParam().data_inode};
  auto fresh = request({{"a", RestoreStrategy::InPlace}});
  fresh.status = {};
  EXPECT_EQ(recall(fresh, "default", {found}, kNoon).what, Recalled::What::GoesOn);
  EXPECT_EQ(name_of(*current_step(fresh)), GetParam().next);
  EXPECT_EQ(past_cancelling(fresh.status), GetParam().begun);
}
INSTANTIATE_TEST_SUITE_P(Restore, RecallInPlace,
                         ::testing::Values(MarkCase{"Preparing", MarkState::Preparing, 0, "a/compare", false},
                                           MarkCase{"Stopping", MarkState::Stopping, 11, "stop", false},
                                           MarkCase{"Overwriting", MarkState::Overwriting, 11, "a/overwrite", true},
                                           MarkCase{"Overwritten", MarkState::Overwritten, 11, "start", true}),
                         [](const auto& param) { return param.param.name; });

TEST(Recall, OfADatabaseThatWasHalfOverwrittenPreparesTheRecoverVolumeAgain) {
  // Others may have had it since: what lies in it is not known to be the point any more.
  auto before = request({{"a", RestoreStrategy::InPlace}});
  before.spec.items[0].from = {};
  before.spec.items[0].from.barman = crds::BarmanRestoreSource{{"montagu"}, {.latest = true, .backup_id = {}}};
  before.status.marks = {{"a", "a", "Overwriting", 11, 0}};
  const FoundMark found{"a", mark_of(before, before.spec.items[0], "default", MarkState::Overwriting), 11};
  auto fresh = before;
  fresh.status = {};
  EXPECT_EQ(recall(fresh, "default", {found}, kNoon).what, Recalled::What::GoesOn);
  EXPECT_EQ(name_of(*current_step(fresh)), "a/prepare");
  EXPECT_TRUE(forward_only(fresh)) << "nothing may be started meanwhile";
}

TEST(Recall, OfARollbackGoesOnWithIt) {
  for (const bool back : {false, true}) {
    auto before = request({{"a", RestoreStrategy::Staged}});
    before.status.marks = {{"a", "a", "RollingBack", 11, 12}};
    before.status.ledger.resize(1);
    before.status.receipt = crds::Receipt{"Succeeded", kNoon, kNoon + seconds(100)};
    const FoundMark found{"a", mark_of(before, before.spec.items[0], "default", MarkState::RollingBack),
                          back ? 11U : 12U};
    auto fresh = before;
    fresh.status = {};
    EXPECT_EQ(recall(fresh, "default", {found}, kNoon).what, Recalled::What::GoesOn);
    EXPECT_TRUE(crds::is_finished(fresh.status));
    EXPECT_EQ(aftermath_of(fresh, kNoon + seconds(500)), Aftermath::RollBack);
    EXPECT_EQ(name_of(*first_open(fresh, aftermath_path(fresh, Aftermath::RollBack))),
              back ? "rollback-start" : "rollback-stop");
    EXPECT_EQ(fresh.status.ledger.size(), 1u);
  }
}

TEST(Order, ARollbackWaitsForWhoeverIsAtWorkOnTheVolumeAndIsWaitedForOnceItBegan) {
  auto done = request({{"a", RestoreStrategy::Staged}}), other = request({{"a", RestoreStrategy::Staged}});
  succeed_until(done, "receipt");
  succeed(done, {{}, step::kReceipt}, R"({"kept":true})");
  finish(done, kNoon);
  other.metadata.name = "later";
  EXPECT_EQ(first_before(other, {done}), nullptr) << "what has ended is in nobody's way";
  succeed_until(other, "a/copy");
  ASSERT_NE(first_before(done, {other}), nullptr);
  auto fresh = request({{"a", RestoreStrategy::Staged}});
  fresh.metadata.name = "later";
  EXPECT_EQ(first_before(done, {fresh}), nullptr) << "it has touched nothing yet";
  (void)begin(done.status, {{}, step::kRollbackStop}, kNoon);
  ASSERT_NE(first_before(fresh, {done}), nullptr);
}

}  // namespace
}  // namespace roadstead::reconcilers::restore
