// Conditions, finalizers and summaries: small promises that every reconciler leans on.
#include "crds/condition.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "crds/all_kinds.h"
#include "operator/base/rfc3339.h"

namespace roadstead::crds {
namespace {

const Time kNoon = parse_rfc3339("2026-11-22T12:00:00Z").value();
const Time kLater = kNoon + std::chrono::minutes{5};

TEST(Conditions, KeepTheirTransitionTimeWhileTheStatusStays) {
  std::vector<Condition> list;
  EXPECT_TRUE(set_condition(list, {"Ready", ConditionStatus::False, "Starting", "starting", {}, 1}, kNoon));
  EXPECT_TRUE(set_condition(list, {"Ready", ConditionStatus::False, "Waiting", "waiting", {}, 1}, kLater));
  EXPECT_EQ(find_condition(list, "Ready")->last_transition_time, kNoon);
  EXPECT_EQ(find_condition(list, "Ready")->reason, "Waiting");
  EXPECT_FALSE(set_condition(list, {"Ready", ConditionStatus::False, "Waiting", "waiting", {}, 2}, kLater));
  EXPECT_TRUE(set_condition(list, {"Ready", ConditionStatus::True, "Waiting", "waiting", {}, 2}, kLater));
  EXPECT_EQ(find_condition(list, "Ready")->last_transition_time, kLater);
  EXPECT_TRUE(is_true(list, "Ready"));
  EXPECT_EQ(list.size(), 1u);
  EXPECT_TRUE(remove_condition(list, "Ready"));
  EXPECT_EQ(find_condition(list, "Ready"), nullptr);
}

TEST(Finalizers, AreThereOnce) {
  ObjectMeta meta;
  EXPECT_TRUE(add_finalizer(meta, "roadstead.dev/slot"));
  EXPECT_FALSE(add_finalizer(meta, "roadstead.dev/slot"));
  EXPECT_TRUE(has_finalizer(meta, "roadstead.dev/slot"));
  EXPECT_TRUE(remove_finalizer(meta, "roadstead.dev/slot"));
  EXPECT_FALSE(remove_finalizer(meta, "roadstead.dev/slot"));
}

TEST(Values, SayWhichFieldCannotBeRead) {
  const auto object = nlohmann::json::parse(
      R"({"metadata":{"name":"x"},"spec":{"target":{"hostRef":{"name":"uat"}},"items":[{"name":"a","from":{},"to":{"volume":1}}]}})");
  const auto read = from_json<RestoreRequest>(object);
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().kind, ErrorKind::Invalid);
  EXPECT_EQ(read.error().message, "RestoreRequest x: spec.items[0].to.volume: a string is wanted, found a number");
  EXPECT_FALSE(from_json<Host>(nlohmann::json::array()));
  EXPECT_FALSE(from_json<Host>(nlohmann::json("text")));
}

TEST(Values, KeepAStepsResultAsItIs) {
  RestoreRequest request;
  request.status.steps = {{.name = "db/copy", .result = R"({"bytes":1,"list":[1,2]})"}};
  const auto json = to_json(request);
  EXPECT_EQ(json["status"]["steps"][0]["result"]["list"][1], 2);
  EXPECT_EQ(from_json<RestoreRequest>(json)->status.steps[0].result, R"({"bytes":1,"list":[1,2]})");
}

TEST(Summary, SaysWhatPeopleReadInTheTable) {
  RestoreRequestStatus status;
  status.items = {{.name = "db",
                   .progress = {.bytes_done = 61,
                                .bytes_total = 100,
                                .percent = 61,
                                .bytes_per_second = 412 * 1024 * 1024,
                                .eta_seconds = 130}}};
  status.pinned = {{.item = "db", .data_as_of = parse_rfc3339("2026-11-22T09:41:07Z").value()}};
  refresh_summary(status);
  EXPECT_EQ(status.summary->progress, "61%");
  EXPECT_EQ(status.summary->rate, "412.0 MiB/s");
  EXPECT_EQ(status.summary->eta, "2m10s");
  EXPECT_EQ(status.summary->data_as_of, "2026-11-22T09:41:07Z");
  status.items.push_back({.name = "other"});
  refresh_summary(status);
  EXPECT_FALSE(status.summary->progress) << "a percent without every total known";
}

}  // namespace
}  // namespace roadstead::crds
