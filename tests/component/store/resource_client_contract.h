#pragma once

// What every ResourceClient promises, whatever keeps the resources: included by the tests of the embedded store, of the
// HTTPS client over our own server, and of a cluster. Each of them instantiates the suite:
//
//   INSTANTIATE_TEST_SUITE_P(Store, ResourceClientContract, testing::Values(ClientCase{"Store", make_store_client}),
//                            contract::name_of);

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "operator/ports/resource_client.h"

namespace roadstead::contract {

/// A client and everything behind it, made empty for each test.
class ClientUnderTest {
 public:
  virtual ~ClientUnderTest() = default;
  virtual ResourceClient& client() = 0;
};

struct ClientCase {
  std::string name;
  std::function<std::unique_ptr<ClientUnderTest>()> make;
};

inline std::string name_of(const testing::TestParamInfo<ClientCase>& info) { return info.param.name; }

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

inline json host(const std::string& name) {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "Host"},
          {"metadata", {{"name", name}}},
          {"spec", {{"engine", {{"endpoint", "unix:///var/run/docker.sock"}}}}}};
}

inline json policy(const std::string& name, const std::string& cron = "@daily") {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "BackupPolicy"},
          {"metadata", {{"name", name}, {"namespace", "default"}}},
          {"spec", {{"source", {{"barman", {{"serverRef", {{"name", "montagu"}}}}}}}, {"schedule", {{"cron", cron}}}}}};
}

/// One run; its spec may not change.
inline json backup(const std::string& name, const std::string& policy_name = "montagu-base") {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "Backup"},
          {"metadata", {{"name", name}, {"namespace", "default"}}},
          {"spec", {{"policyRef", {{"name", policy_name}}}}}};
}

inline json with_label(json object, const std::string& key, const std::string& value) {
  object["metadata"]["labels"][key] = value;
  return object;
}

inline std::string version_of(const json& object) { return object.at("metadata").at("resourceVersion"); }
inline std::int64_t generation_of(const json& object) { return object.at("metadata").at("generation"); }
inline ObjectKey key_of(const json& object) {
  return {object.at("kind"), object.at("metadata").value("namespace", ""), object.at("metadata").at("name")};
}

inline std::vector<std::string> names_in(const ResourceList& list) {
  std::vector<std::string> names;
  for (const json& item : list.items) names.push_back(item.at("metadata").at("name"));
  return names;
}

class ResourceClientContract : public testing::TestWithParam<ClientCase> {
 protected:
  void SetUp() override {
    under_test_ = GetParam().make();
    ASSERT_NE(under_test_, nullptr);
  }
  ResourceClient& client() { return under_test_->client(); }

  json created(const json& object) {
    auto result = client().create(object, {});
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return result.value_or(json());
  }

  /// "Added uat", "Modified uat", ...; bookmarks are left out. Empty: nothing came.
  std::string next_of(Watch& watch, Millis wait = Millis{10'000}) {
    while (true) {
      const auto event = watch.next(wait, {});
      if (!event) return std::string("error ") + std::string(to_string(event.error().kind));
      if (!*event) return {};
      static constexpr const char* kTypes[] = {"Added", "Modified", "Deleted", "Bookmark"};
      if ((*event)->type == WatchEvent::Type::Bookmark) continue;
      last_ = (*event)->object;
      return std::string(kTypes[static_cast<int>((*event)->type)]) + " " +
             last_.at("metadata").at("name").get<std::string>();
    }
  }

  std::unique_ptr<Watch> watching(const std::string& kind, const std::string& version,
                                  const ListOptions& options = {}) {
    auto watch = client().watch(kind, options, version);
    EXPECT_TRUE(watch) << (watch ? "" : watch.error().message);
    return watch ? std::move(*watch) : nullptr;
  }

  json last_;  // what next_of saw last

 private:
  std::unique_ptr<ClientUnderTest> under_test_;
};

template <class T>
void expect_error(const Result<T>& result, ErrorKind kind, const std::string& text) {
  ASSERT_FALSE(result) << "it was let through";
  EXPECT_EQ(to_string(result.error().kind), to_string(kind)) << result.error().message;
  EXPECT_THAT(result.error().message, HasSubstr(text));
}

// ---- create and get

TEST_P(ResourceClientContract, CreateFillsWhatTheServerOwnsAndTheDefaults) {
  json wanted = policy("montagu-base");
  wanted["metadata"]["uid"] = "mine";
  wanted["metadata"]["generation"] = 7;
  wanted["status"] = {{"missedRuns", 3}};
  const json made = created(wanted);
  EXPECT_EQ(generation_of(made), 1);
  EXPECT_NE(made.at("metadata").at("uid"), "mine");
  EXPECT_FALSE(version_of(made).empty());
  EXPECT_TRUE(made.at("metadata").contains("creationTimestamp"));
  EXPECT_EQ(made.at("spec").at("concurrencyPolicy"), "Forbid");
  EXPECT_EQ(made.at("spec").at("schedule").at("timeZone"), "UTC");
  EXPECT_FALSE(made.contains("status")) << "status is written by update_status alone";
  EXPECT_EQ(client().get(key_of(made)), made);
}

TEST_P(ResourceClientContract, AMissingObjectIsNotFoundByKubernetesWords) {
  expect_error(client().get({"BackupPolicy", "default", "x"}), ErrorKind::NotFound,
               "backuppolicies.roadstead.dev \"x\" not found");
}

TEST_P(ResourceClientContract, TheSameNameTwiceAlreadyExists) {
  created(host("uat"));
  expect_error(client().create(host("uat"), {}), ErrorKind::AlreadyExists,
               "hosts.roadstead.dev \"uat\" already exists");
}

TEST_P(ResourceClientContract, TheSameNameInAnotherNamespaceIsAnotherObject) {
  created(policy("nightly"));
  json other = policy("nightly");
  other["metadata"]["namespace"] = "site-b";
  created(other);
  EXPECT_EQ(client().list("BackupPolicy", {})->items.size(), 2u);
  EXPECT_EQ(client().list("BackupPolicy", {.ns = "site-b", .label_selector = "", .field_selector = ""})->items.size(),
            1u);
}

TEST_P(ResourceClientContract, CreateWithAResourceVersionIsRefused) {
  json wanted = host("uat");
  wanted["metadata"]["resourceVersion"] = "5";
  expect_error(client().create(wanted, {}), ErrorKind::Invalid, "resourceVersion should not be set");
}

TEST_P(ResourceClientContract, GenerateNameGivesEachItsOwnName) {
  json wanted = backup("x");
  wanted["metadata"].erase("name");
  wanted["metadata"]["generateName"] = "by-hand-";
  const std::string first = created(wanted).at("metadata").at("name"),
                    second = created(wanted).at("metadata").at("name");
  EXPECT_TRUE(first.starts_with("by-hand-"));
  EXPECT_EQ(first.size(), std::string("by-hand-").size() + 5);
  EXPECT_NE(first, second);
}

TEST_P(ResourceClientContract, WhatTheSchemaDoesNotAllowIsInvalidAndNamesTheField) {
  json wanted = policy("montagu-base");
  wanted["spec"]["concurrencyPolicy"] = "Sometimes";
  expect_error(client().create(wanted, {}), ErrorKind::Invalid, "spec.concurrencyPolicy");
  wanted = policy("montagu-base");
  wanted["spec"]["suspendd"] = true;
  expect_error(client().create(wanted, {}), ErrorKind::Invalid, "unknown field \"spec.suspendd\"");
  wanted = policy("montagu-base");
  wanted["metadata"]["labelz"] = json::object();
  expect_error(client().create(wanted, {}), ErrorKind::Invalid, "unknown field \"metadata.labelz\"");
  wanted = policy("Montagu_Base");
  expect_error(client().create(wanted, {}), ErrorKind::Invalid, "metadata.name");
  wanted = policy("montagu-base");
  wanted["metadata"]["labels"] = {{"tier", 5}};
  expect_error(client().create(wanted, {}), ErrorKind::Invalid, "metadata.labels");
  EXPECT_THAT(names_in(*client().list("BackupPolicy", {})), IsEmpty());
}

TEST_P(ResourceClientContract, AnObjectOfAnUnknownKindIsRefused) {
  json wanted = host("uat");
  wanted["kind"] = "Ghost";
  EXPECT_FALSE(client().create(wanted, {}));
}

TEST_P(ResourceClientContract, ADryRunSaysWhatWouldBeAndStoresNothing) {
  const auto dry = client().create(policy("montagu-base"), {.field_manager = "test", .dry_run = true});
  ASSERT_TRUE(dry) << dry.error().message;
  EXPECT_EQ(dry->at("spec").at("concurrencyPolicy"), "Forbid");
  EXPECT_THAT(names_in(*client().list("BackupPolicy", {})), IsEmpty());
}

// ---- update

TEST_P(ResourceClientContract, AnUpdateOfSpecCountsAGeneration) {
  json object = created(policy("montagu-base"));
  const std::string before = version_of(object);
  object["spec"]["suspend"] = true;
  const auto updated = client().update(object, {});
  ASSERT_TRUE(updated) << updated.error().message;
  EXPECT_EQ(generation_of(*updated), 2);
  EXPECT_NE(version_of(*updated), before);
  EXPECT_EQ(client().get(key_of(object)), *updated);
}

TEST_P(ResourceClientContract, AnUpdateOfMetadataCountsNoGeneration) {
  json object = created(host("uat"));
  object["metadata"]["labels"] = {{"tier", "test"}};
  const auto updated = client().update(object, {});
  ASSERT_TRUE(updated) << updated.error().message;
  EXPECT_EQ(generation_of(*updated), 1);
  EXPECT_EQ(updated->at("metadata").at("labels").at("tier"), "test");
}

TEST_P(ResourceClientContract, AWriteThatChangesNothingKeepsTheVersion) {
  const json object = created(policy("montagu-base"));
  EXPECT_EQ(client().update(object, {}), object);
  EXPECT_EQ(client().update_status(object, {}), object);
  const auto applied = client().apply(policy("montagu-base"), {});
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_EQ(applied->object, object);
  EXPECT_EQ(applied->what, Applied::Unchanged);
  EXPECT_EQ(version_of(*client().get(key_of(object))), version_of(object));
}

TEST_P(ResourceClientContract, AStaleVersionIsAConflictAndChangesNothing) {
  const json first = created(policy("montagu-base"));
  json second = first;
  second["spec"]["suspend"] = true;
  ASSERT_TRUE(client().update(second, {}));
  json stale = first;
  stale["spec"]["schedule"]["cron"] = "@weekly";
  expect_error(client().update(stale, {}), ErrorKind::Conflict,
               "Operation cannot be fulfilled on backuppolicies.roadstead.dev \"montagu-base\": the object has been "
               "modified; please apply your changes to the latest version and try again");
  stale["status"] = {{"missedRuns", 3}};
  expect_error(client().update_status(stale, {}), ErrorKind::Conflict, "the object has been modified");
  EXPECT_EQ(client().get(key_of(first))->at("spec").at("schedule").at("cron"), "@daily");
}

TEST_P(ResourceClientContract, AnUpdateNeedsAVersionAndAnObject) {
  expect_error(client().update(with_label(host("uat"), "a", "b"), {}), ErrorKind::NotFound, "not found");
  created(host("uat"));
  expect_error(client().update(host("uat"), {}), ErrorKind::Invalid, "must be specified for an update");
}

TEST_P(ResourceClientContract, WhatIsImmutableStaysAsItWas) {
  json object = created(backup("first"));
  object["spec"]["policyRef"]["name"] = "another";
  expect_error(client().update(object, {}), ErrorKind::Invalid, "spec");
  expect_error(client().apply(backup("first", "another"), {}), ErrorKind::Invalid, "spec");
}

// ---- status

TEST_P(ResourceClientContract, StatusAndSpecAreWrittenApart) {
  json object = created(policy("montagu-base"));
  object["status"] = {{"missedRuns", 3}};
  object["spec"]["suspend"] = true;
  object["metadata"]["labels"] = {{"tier", "test"}};
  auto status_written = client().update_status(object, {});
  ASSERT_TRUE(status_written) << status_written.error().message;
  EXPECT_EQ(status_written->at("status").at("missedRuns"), 3);
  EXPECT_EQ(status_written->at("spec").at("suspend"), false);
  EXPECT_FALSE(status_written->at("metadata").contains("labels"));
  EXPECT_EQ(generation_of(*status_written), 1);

  json spec = *status_written;
  spec["status"] = {{"missedRuns", 99}};
  spec["spec"]["suspend"] = true;
  const auto spec_written = client().update(spec, {});
  ASSERT_TRUE(spec_written) << spec_written.error().message;
  EXPECT_EQ(spec_written->at("status").at("missedRuns"), 3);
  EXPECT_EQ(spec_written->at("spec").at("suspend"), true);
}

TEST_P(ResourceClientContract, AStatusIsValidatedToo) {
  json object = created(policy("montagu-base"));
  object["status"] = {{"missedRuns", "three"}};
  expect_error(client().update_status(object, {}), ErrorKind::Invalid, "status.missedRuns");
}

// ---- apply

TEST_P(ResourceClientContract, ApplyCreatesThenConfiguresAndTellsWhich) {
  const auto made = client().apply(policy("montagu-base"), {});
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(made->what, Applied::Created);
  const auto changed = client().apply(policy("montagu-base", "@weekly"), {});
  ASSERT_TRUE(changed) << changed.error().message;
  EXPECT_EQ(changed->what, Applied::Configured);
  EXPECT_EQ(generation_of(changed->object), 2);
  EXPECT_EQ(changed->object.at("metadata").at("uid"), made->object.at("metadata").at("uid"));
}

TEST_P(ResourceClientContract, ApplyReplacesSpecAndLabelsButNotStatusAndFinalizers) {
  json object = with_label(policy("montagu-base"), "old", "yes");
  object["spec"]["startingDeadlineSeconds"] = 60;
  object["metadata"]["finalizers"] = {"roadstead.dev/slot"};
  object = created(object);
  object["status"] = {{"missedRuns", 3}};
  ASSERT_TRUE(client().update_status(object, {}));
  const auto applied = client().apply(with_label(policy("montagu-base"), "new", "yes"), {});
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_EQ(applied->object.at("metadata").at("labels"), (json{{"new", "yes"}}));
  EXPECT_FALSE(applied->object.at("spec").contains("startingDeadlineSeconds"));
  EXPECT_EQ(applied->object.at("status").at("missedRuns"), 3);
  EXPECT_EQ(applied->object.at("metadata").at("finalizers"), (json{"roadstead.dev/slot"}));
}

TEST_P(ResourceClientContract, ADryApplySaysWhatItWouldDo) {
  const json before = created(policy("montagu-base"));
  const auto dry = client().apply(policy("montagu-base", "@weekly"), {.field_manager = "test", .dry_run = true});
  ASSERT_TRUE(dry) << dry.error().message;
  EXPECT_EQ(dry->what, Applied::Configured);
  EXPECT_EQ(dry->object.at("spec").at("schedule").at("cron"), "@weekly");
  EXPECT_EQ(client().get(key_of(before)), before);
}

// ---- remove

TEST_P(ResourceClientContract, RemoveTakesAwayAtOnceWhatHasNoFinalizers) {
  const json object = created(host("uat"));
  ASSERT_TRUE(client().remove({"Host", "", "uat"}, {}));
  expect_error(client().get({"Host", "", "uat"}), ErrorKind::NotFound, "not found");
  expect_error(client().remove({"Host", "", "uat"}, {}), ErrorKind::NotFound, "not found");
  const json again = created(host("uat"));
  EXPECT_NE(again.at("metadata").at("uid"), object.at("metadata").at("uid"));
}

TEST_P(ResourceClientContract, AFinalizerHoldsAnObjectUntilItIsTakenAway) {
  json object = policy("montagu-base");
  object["metadata"]["finalizers"] = {"roadstead.dev/slot"};
  object = created(object);
  auto dying = client().remove(key_of(object), {});
  ASSERT_TRUE(dying) << dying.error().message;
  EXPECT_TRUE(dying->at("metadata").contains("deletionTimestamp"));
  EXPECT_EQ(generation_of(*dying), 2);
  const auto twice = client().remove(key_of(object), {});
  ASSERT_TRUE(twice) << twice.error().message;
  EXPECT_EQ(version_of(*twice), version_of(*dying)) << "a second delete changes nothing";
  expect_error(client().create(policy("montagu-base"), {}), ErrorKind::AlreadyExists, "object is being deleted: ");

  json more = *dying;
  more["metadata"]["finalizers"].push_back("example.org/more");
  expect_error(client().update(more, {}), ErrorKind::Invalid, "no new finalizers can be added");

  json released = *dying;
  released["metadata"]["finalizers"] = json::array();
  ASSERT_TRUE(client().update(released, {}));
  expect_error(client().get(key_of(object)), ErrorKind::NotFound, "not found");
}

TEST_P(ResourceClientContract, PreconditionsProtectAnotherObjectOfTheSameName) {
  const json object = created(host("uat"));
  expect_error(client().remove({"Host", "", "uat"}, {.uid = "another", .resource_version = ""}), ErrorKind::Conflict,
               "the UID in the precondition (another) does not match");
  expect_error(client().remove({"Host", "", "uat"}, {.uid = "", .resource_version = "1"}), ErrorKind::Conflict,
               "the ResourceVersion in the precondition (1) does not match");
  EXPECT_TRUE(client().remove({"Host", "", "uat"},
                              {.uid = object.at("metadata").at("uid"), .resource_version = version_of(object)}));
}

// ---- list

TEST_P(ResourceClientContract, ListsAreSortedAndCarryApiVersionAndKind) {
  for (const char* name : {"uat", "annex2", "science"}) created(host(name));
  const auto list = client().list("Host", {});
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_THAT(names_in(*list), ElementsAre("annex2", "science", "uat"));
  EXPECT_EQ(list->items[0].at("kind"), "Host");
  EXPECT_EQ(list->items[0].at("apiVersion"), "roadstead.dev/v1alpha1");
  EXPECT_FALSE(list->resource_version.empty());
}

TEST_P(ResourceClientContract, SelectorsChooseByLabelAndField) {
  created(with_label(host("uat"), "tier", "test"));
  created(with_label(host("science"), "tier", "test"));
  created(with_label(host("production2"), "tier", "live"));
  created(host("annex2"));
  const auto labelled = [&](const std::string& selector) {
    return names_in(*client().list("Host", {.ns = "", .label_selector = selector, .field_selector = ""}));
  };
  EXPECT_THAT(labelled("tier=test"), ElementsAre("science", "uat"));
  EXPECT_THAT(labelled("tier!=test"), ElementsAre("annex2", "production2"));
  EXPECT_THAT(labelled("tier in (live, test),tier!=live"), ElementsAre("science", "uat"));
  EXPECT_THAT(labelled("!tier"), ElementsAre("annex2"));
  const ListOptions by_name{.ns = "", .label_selector = "", .field_selector = "metadata.name=uat"};
  EXPECT_THAT(names_in(*client().list("Host", by_name)), ElementsAre("uat"));
  expect_error(client().list("Host", {.ns = "", .label_selector = "", .field_selector = "spec.protected=true"}),
               ErrorKind::Invalid, "field label not supported: spec.protected");
  expect_error(client().list("Host", {.ns = "", .label_selector = "tier in test", .field_selector = ""}),
               ErrorKind::Invalid, "tier in test");
}

// ---- watch

TEST_P(ResourceClientContract, AWatchFromAListMissesNothing) {
  created(host("before"));
  const auto list = client().list("Host", {});
  json object = created(host("uat"));
  created(policy("of-another-kind"));
  object["spec"]["protected"] = true;
  const auto updated = client().update(object, {});
  ASSERT_TRUE(updated) << updated.error().message;
  ASSERT_TRUE(client().remove({"Host", "", "uat"}, {}));
  auto watch = watching("Host", list->resource_version);
  EXPECT_EQ(next_of(*watch), "Added uat");
  EXPECT_EQ(next_of(*watch), "Modified uat");
  EXPECT_EQ(last_, *updated);
  EXPECT_EQ(next_of(*watch), "Deleted uat");
  EXPECT_EQ(last_.at("spec").at("protected"), true) << "a deletion carries the last state";
  EXPECT_NE(version_of(last_), version_of(*updated)) << "with the deletion's own version";
  EXPECT_EQ(next_of(*watch, Millis{0}), "");
}

TEST_P(ResourceClientContract, AWatchWithoutVersionBeginsWithWhatIsThere) {
  created(host("annex2"));
  created(host("uat"));
  auto watch = watching("Host", "");
  EXPECT_EQ(next_of(*watch), "Added annex2");
  EXPECT_EQ(next_of(*watch), "Added uat");
  created(host("science"));
  EXPECT_EQ(next_of(*watch), "Added science");
}

TEST_P(ResourceClientContract, AWatchThatWaitsIsToldWhenItHappens) {
  auto watch = watching("Host", client().list("Host", {})->resource_version);
  std::jthread writer([&] { created(host("uat")); });
  EXPECT_EQ(next_of(*watch), "Added uat");
}

TEST_P(ResourceClientContract, ForASelectorAnObjectComesAndGoesWithItsLabels) {
  json object = created(host("uat"));
  auto watch = watching("Host", version_of(object), {.ns = "", .label_selector = "tier=test", .field_selector = ""});
  const auto update = [&] {
    auto updated = client().update(object, {});
    ASSERT_TRUE(updated) << updated.error().message;
    object = *updated;
  };
  object["metadata"]["labels"] = {{"tier", "test"}};
  update();
  EXPECT_EQ(next_of(*watch), "Added uat");
  object["spec"]["protected"] = true;
  update();
  EXPECT_EQ(next_of(*watch), "Modified uat");
  object["metadata"]["labels"] = {{"tier", "live"}};
  update();
  EXPECT_EQ(next_of(*watch), "Deleted uat");
  ASSERT_TRUE(client().remove({"Host", "", "uat"}, {}));
  created(with_label(host("science"), "tier", "test"));
  EXPECT_EQ(next_of(*watch), "Added science") << "what was not seen is not said to go";
}

TEST_P(ResourceClientContract, AWatchOfOneObjectSeesOnlyThat) {
  auto watch = watching("Host", client().list("Host", {})->resource_version,
                        {.ns = "", .label_selector = "", .field_selector = "metadata.name=uat"});
  created(host("annex2"));
  created(host("uat"));
  EXPECT_EQ(next_of(*watch), "Added uat");
}

TEST_P(ResourceClientContract, AWaitingWatchEndsWhenAskedTo) {
  auto watch = watching("Host", "");
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  const auto event = watch->next(Millis{60'000}, stop.get_token());
  if (event) {
    EXPECT_FALSE(event->has_value());
  } else {
    EXPECT_EQ(event.error().kind, ErrorKind::Cancelled);
  }
}

TEST_P(ResourceClientContract, AVersionThatIsNoLongerKeptIsExpired) {
  auto watch = client().watch("Host", {}, "1");
  if (watch) {
    const auto event = (*watch)->next(Millis{10'000}, {});
    expect_error(event, ErrorKind::Expired, "too old resource version");
  } else {
    expect_error(watch, ErrorKind::Expired, "too old resource version");
  }
}

// ---- events

TEST_P(ResourceClientContract, EventsAreObjectsAndEqualOnesAreCounted) {
  const json object = created(policy("montagu-base"));
  const EventRecord event{key_of(object), object.at("metadata").at("uid"), true, "RunMissed", "the deadline passed"};
  ASSERT_TRUE(client().record(event));
  ASSERT_TRUE(client().record(event));
  EventRecord other = event;
  other.message = "another run was still going";
  ASSERT_TRUE(client().record(other));
  const auto events = client().list(
      "Event",
      {.ns = "default", .label_selector = "", .field_selector = "involvedObject.name=montagu-base,type=Warning"});
  ASSERT_TRUE(events) << events.error().message;
  ASSERT_EQ(events->items.size(), 2u);
  const auto counted = std::find_if(events->items.begin(), events->items.end(),
                                    [](const json& e) { return e.at("message") == "the deadline passed"; });
  ASSERT_NE(counted, events->items.end());
  EXPECT_EQ(counted->at("count"), 2);
  EXPECT_EQ(counted->at("reason"), "RunMissed");
  EXPECT_EQ(counted->at("apiVersion"), "v1");
  EXPECT_EQ(counted->at("involvedObject").at("uid"), object.at("metadata").at("uid"));
  EXPECT_EQ(counted->at("involvedObject").at("apiVersion"), "roadstead.dev/v1alpha1");
  EXPECT_EQ(counted->at("source").at("component"), "roadstead");
}

TEST_P(ResourceClientContract, EventsOfClusterScopedObjectsAreInTheDefaultNamespace) {
  created(host("uat"));
  ASSERT_TRUE(client().record({{"Host", "", "uat"}, "", false, "Reachable", "the engine answers"}));
  const auto events = client().list("Event", {.ns = "default", .label_selector = "", .field_selector = ""});
  ASSERT_TRUE(events) << events.error().message;
  ASSERT_EQ(events->items.size(), 1u);
  EXPECT_EQ(events->items[0].at("type"), "Normal");
}

// ---- many at once

TEST_P(ResourceClientContract, ParallelReadModifyWriteLosesNoUpdate) {
  const ObjectKey key = key_of(created(policy("montagu-base")));
  constexpr int kWriters = 8, kEach = 10;
  std::atomic<int> failures = 0;
  const auto add_one = [&] {
    while (true) {
      auto object = client().get(key);
      if (!object) return false;
      (*object)["spec"]["startingDeadlineSeconds"] = object->at("spec").value("startingDeadlineSeconds", 0) + 1;
      const auto updated = client().update(*object, {});
      if (updated) return true;
      if (updated.error().kind != ErrorKind::Conflict) return false;
    }
  };
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < kWriters; ++i)
      writers.emplace_back([&] {
        for (int n = 0; n < kEach; ++n)
          if (!add_one()) ++failures;
      });
  }
  EXPECT_EQ(failures, 0);
  const auto object = client().get(key);
  EXPECT_EQ(object->at("spec").at("startingDeadlineSeconds"), kWriters * kEach);
  EXPECT_EQ(generation_of(*object), 1 + kWriters * kEach);
}

TEST_P(ResourceClientContract, AWatchUnderWritersEndsWithWhatAListSays) {
  auto watch = watching("Host", client().list("Host", {})->resource_version);
  constexpr int kWriters = 4, kEach = 25;
  {
    std::vector<std::jthread> writers;
    for (int w = 0; w < kWriters; ++w)
      writers.emplace_back([&, w] {
        for (int n = 0; n < kEach; ++n) {
          const std::string name = "h" + std::to_string(w) + "-" + std::to_string(n);
          (void)client().create(host(name), {});
          if (n % 3 == 0) (void)client().remove({"Host", "", name}, {});
        }
      });
  }
  const auto list = client().list("Host", {});
  std::map<std::string, std::string> seen, listed;
  for (const json& item : list->items) listed[item.at("metadata").at("name")] = version_of(item);
  std::uint64_t last = 0;
  for (std::string event = next_of(*watch, Millis{500}); !event.empty(); event = next_of(*watch, Millis{500})) {
    const std::uint64_t version = std::stoull(version_of(last_));
    EXPECT_GT(version, last) << "events come in the order of their versions";
    last = version;
    const std::string name = last_.at("metadata").at("name");
    if (event.starts_with("Deleted"))
      seen.erase(name);
    else
      seen[name] = version_of(last_);
  }
  EXPECT_EQ(seen, listed);
}

}  // namespace roadstead::contract
