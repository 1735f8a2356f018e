// A policy and its repositories in a small world: engines whose workers list, forget and verify in memory, an API in
// memory, an operator that can be killed at any call of either.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "mover/contract/job.h"
#include "operator/base/rfc3339.h"
#include "operator/ports/engine_factory.h"
#include "reconcilers/backup_policy/catalogue.h"
#include "reconcilers/backup_policy/reconciler.h"
#include "reconcilers/support/backup_names.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/repository.h"
#include "tests/unit/reconcilers_support/small_world.h"

namespace roadstead::reconcilers {
namespace {

using Json = nlohmann::json;
using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;

const Time kStart = parse_rfc3339("2026-11-20T12:00:00Z").value();
const std::string kRepository = "/var/lib/docker/volumes/roadstead_repository/_data/";

struct Worker {
  ContainerSpec spec;
  ContainerState state = ContainerState::Created;
  std::string job, answer;
};

/// One directory of a repository.
struct Directory {
  std::vector<mover::SnapshotSeen> snapshots;
  std::set<std::string> ever;  ///< Whatever was in it.
  std::vector<std::string> unreadable;
  std::uint64_t damaged = 0;
};

class World : public testing::SmallWorld {
 public:
  ManualClock clock{kStart};
  std::map<std::string, Directory> directories;  ///< Of host annex2, by "production2/outpack".
  std::map<std::string, Worker> workers;         ///< Of host annex2, by name.
  std::vector<std::string> history;              ///< "forget default.a", "verify 3/10"
  std::set<std::string> named_at_removal;        ///< Snapshots that Backups named when they were removed.
  bool reachable = true;
  bool workers_stay = false;   ///< The next worker that is removed stays.
  std::string busy;            ///< The directory that somebody else uses.
  bool refuse_forget = false;  ///< No worker for it can be made.
  std::function<void()> after_restores_were_listed;
  bool full = false;               ///< No mark can be written.
  bool slow_verification = false;  ///< A verification does not end by itself.
};

class PolicyApi final : public testing::FakeApi {
 public:
  explicit PolicyApi(World& world) : FakeApi(world), world_(world) {}

  Result<ResourceList> list(const std::string& kind, const ListOptions& options) override {
    auto all = FakeApi::list(kind, options);
    if (kind == "RestoreRequest" && world_.after_restores_were_listed)
      std::exchange(world_.after_restores_were_listed, {})();
    return all;
  }
  Result<Json> remove(const ObjectKey& key, const Preconditions& preconditions) override {
    if (const auto found = world_.objects.find(testing::id_of(key.kind, key.ns, key.name));
        found != world_.objects.end())
      for (const Json& one : found->second.value("status", Json::object()).value("snapshots", Json::array()))
        world_.named_at_removal.insert(one.at("id").get<std::string>());
    return FakeApi::remove(key, preconditions);
  }

 private:
  World& world_;
};

class FakeEngine final : public testing::QuietEngine {
 public:
  explicit FakeEngine(World& world) : world_(world) {}

  Result<std::string> create_container(const ContainerSpec& spec, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    if (world_.workers.contains(spec.name)) return fail(ErrorKind::Conflict, "{} is taken", spec.name);
    EXPECT_EQ(spec.mounts.size(), 1U) << "one directory and nothing else";
    EXPECT_EQ(spec.network_mode, "none");
    if (world_.refuse_forget && value_of(spec.labels, label::kStep) == "forget")
      return fail(ErrorKind::Unavailable, "the engine is busy");
    const std::string directory = spec.mounts[0].source.substr(kRepository.size());
    if (!world_.directories.contains(directory))
      return fail(ErrorKind::Invalid, "invalid mount config for type \"bind\": bind source path does not exist: {}",
                  spec.mounts[0].source);
    world_.workers[spec.name] = {spec, ContainerState::Created, {}, {}};
    world_.called_after();
    return spec.name;
  }
  Result<void> start_container(const std::string& name, const Limits&) override {
    if (auto e = enter(); !e) return e;
    Worker& worker = world_.workers.at(name);
    worker.state = ContainerState::Running;
    const auto job = mover::parse_job(worker.job);
    if (!job) return fail(ErrorKind::Invalid, "{}", job.error().message);
    if (!(std::holds_alternative<mover::Verify>(*job) && world_.slow_verification)) finish(worker, *job);
    world_.called_after();
    return {};
  }
  Result<void> remove_container(const std::string& name, bool, const Limits&) override {
    if (auto e = enter(); !e) return e;
    if (std::exchange(world_.workers_stay, false)) return fail(ErrorKind::Unavailable, "the engine is busy");
    world_.workers.erase(name);
    world_.called_after();
    return {};
  }
  Result<ContainerInfo> inspect_container(const std::string& name, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    const auto found = world_.workers.find(name);
    if (found == world_.workers.end()) return fail(ErrorKind::NotFound, "no {}", name);
    ContainerInfo info;
    info.id = info.name = name;
    info.state = found->second.state;
    info.labels = found->second.spec.labels;
    return info;
  }
  Result<std::vector<ContainerSummary>> list_containers(const Labels& labels, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    std::vector<ContainerSummary> all;
    for (const auto& [name, worker] : world_.workers)
      if (std::ranges::all_of(labels, [&](const auto& l) { return value_of(worker.spec.labels, l.first) == l.second; }))
        all.push_back({name, name, "", worker.state, worker.spec.labels, {}});
    return all;
  }
  Result<std::vector<LogLine>> logs(const std::string& name, const LogOptions&, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    const auto found = world_.workers.find(name);
    if (found == world_.workers.end()) return fail(ErrorKind::NotFound, "no {}", name);
    return std::vector<LogLine>{{kStart, false, found->second.answer}};
  }
  Result<void> upload(const std::string& name, const std::string&, std::span<const ArchiveFile> files,
                      const Limits&) override {
    if (auto e = enter(); !e) return e;
    world_.workers.at(name).job = files[0].content;
    world_.called_after();
    return {};
  }
  Result<VolumeInfo> inspect_volume(const std::string& name, const Limits&) override {
    if (auto e = enter(); !e) return tl::unexpected(e.error());
    return VolumeInfo{name, "local", kRepository.substr(0, kRepository.size() - 1), {}, {}, {}};
  }

 private:
  Result<void> enter() {
    if (auto done = world_.called(); !done) return done;
    if (!world_.reachable) return fail(ErrorKind::Unavailable, "connection refused");
    return {};
  }

  void finish(Worker& worker, const mover::Job& job) {
    const std::string name = worker.spec.mounts[0].source.substr(kRepository.size());
    mover::WorkerResult result{true, "Done", "Done.", "", "{}"};
    if (world_.busy == name && !std::holds_alternative<mover::Snapshots>(job))
      result = {false, "Busy", "A backup uses the directory.", "wait until it has ended", "{}"};
    else if (world_.full && std::holds_alternative<mover::Keep>(job))
      result = {false, "NoSpace", "The disk is full.", "free space", "{}"};
    else
      std::visit([&](const auto& one) { result.data = perform(world_.directories.at(name), worker, one); }, job);
    worker.answer = mover::to_json(mover::Line(result));
    worker.state = ContainerState::Exited;
  }

  std::string perform(Directory& directory, const Worker& worker, const mover::Snapshots&) {
    EXPECT_TRUE(worker.spec.mounts[0].read_only);
    mover::SnapshotsData data;
    data.snapshots = directory.snapshots;
    data.unreadable = directory.unreadable;
    data.damaged = directory.damaged;
    data.packs = directory.snapshots.size();
    data.pack_bytes = 100 * data.packs;
    return mover::to_json(data);
  }
  std::string perform(Directory& directory, const Worker&, const mover::Forget& job) {
    mover::ForgetData data;
    for (const auto& seen : directory.snapshots)
      EXPECT_FALSE(seen.kept && std::ranges::count(job.snapshots, seen.id) > 0) << seen.id << " is kept";
    for (const std::string& id : job.snapshots) {
      world_.history.push_back("forget " + id);
      data.removed_snapshots += std::erase_if(directory.snapshots, [&](const auto& one) { return one.id == id; });
    }
    data.freed_bytes = 100 * data.removed_snapshots;
    return mover::to_json(data);
  }
  std::string perform(Directory& directory, const Worker&, const mover::Keep& job) {
    const auto set = [&](const std::vector<std::string>& ids, bool kept, const char* word) {
      for (const std::string& id : ids) {
        world_.history.push_back(fmt::format("{} {}", word, id));
        for (auto& seen : directory.snapshots)
          if (seen.id == id) seen.kept = kept;
      }
    };
    set(job.keep, true, "keep");
    set(job.release, false, "release");
    return "{}";
  }
  std::string perform(Directory& directory, const Worker&, const mover::Verify& job) {
    world_.history.push_back(fmt::format("verify {}/{}", job.part, job.parts));
    mover::VerifyData data;
    data.damaged = directory.damaged;
    if (directory.damaged > 0)
      data.damage.push_back({directory.snapshots.front().id, {directory.damaged, {"data/index", "data/log"}}});
    return mover::to_json(data);
  }
  template <class Other>
  std::string perform(Directory&, const Worker&, const Other&) {
    ADD_FAILURE() << "not a job for a repository";
    return "{}";
  }

  World& world_;
};

/// The operator's process: what is lost when it is killed.
struct Operator {
  explicit Operator(World& world)
      : api(world),
        factory([&world](const std::string&) { return std::make_shared<FakeEngine>(world); }),
        hosts(api, secrets, factory),
        images(hosts, {}),
        metrics(world.clock),
        context{api, hosts, images, secrets, metrics, world.clock, "default", "secret"},
        reconciler(make_backup_policy_reconciler(context)) {}
  PolicyApi api;
  testing::FakeSecrets secrets;
  testing::FakeFactory factory;
  Hosts hosts;
  Images images;
  Metrics metrics;
  Context context;
  std::unique_ptr<Reconciler> reconciler;
};

class Repositories : public ::testing::Test {
 protected:
  Repositories() {
    add({{"kind", "Host"},
         {"metadata", {{"name", "production2"}}},
         {"spec", {{"engine", {{"endpoint", "unix:///p"}}}}}});
    add({{"kind", "Host"},
         {"metadata", {{"name", "annex2"}}},
         {"spec", {{"engine", {{"endpoint", "unix:///a"}}}, {"repository", {{"volume", "roadstead_repository"}}}}}});
    add(Json::parse(R"({"kind":"BackupPolicy","metadata":{"name":"outpack","namespace":"default","generation":1,
          "creationTimestamp":"2026-11-01T00:00:00Z"},
        "spec":{"source":{"hostRef":{"name":"production2"},"volumes":[{"name":"outpack"}]},
                "destinations":[{"hostRef":{"name":"annex2"}}],"schedule":{"cron":"0 0 1 1 *"}}})"));
  }

  void add(Json object) {
    object["apiVersion"] = "roadstead.dev/v1alpha1";
    object["metadata"]["resourceVersion"] = std::to_string(++world_.version);
    if (object["kind"] != "Host") object["metadata"]["namespace"] = "default";
    const std::string id = testing::id_of(object);
    world_.objects[id] = std::move(object);
  }

  /// A snapshot that Backup `name` of the policy left on that day of November.
  void taken(const std::string& name, int day, std::uint64_t bytes = 1000, const std::string& policy = "outpack") {
    mover::SnapshotSeen seen;
    seen.id = mover::snapshot_id("default", name);
    seen.origin = mover::to_json(mover::Origin{"default", "default", name, policy, "production2", "outpack", {}});
    seen.data_as_of = parse_rfc3339(fmt::format("2026-11-{:02}T00:00:00Z", day)).value();
    seen.finished_at = seen.data_as_of + 10s;
    seen.logical_bytes = seen.data_bytes = bytes;
    seen.files = 10;
    world_.directories["production2/outpack"].snapshots.push_back(seen);
    world_.directories["production2/outpack"].ever.insert(seen.id);
  }

  Json& policy() { return world_.objects.at("BackupPolicy/default/outpack"); }
  Json status() { return policy().value("status", Json::object()); }
  Json condition(const std::string& type) {
    for (const Json& one : status().value("conditions", Json::array()))
      if (one["type"] == type) return one;
    return {{"status", "none"}, {"reason", ""}, {"message", ""}};
  }
  void set_spec(const std::string& field, Json value) {
    policy()["spec"][field] = std::move(value);
    policy()["metadata"]["resourceVersion"] = std::to_string(++world_.version);
  }
  std::vector<std::string> kept() {
    std::vector<std::string> ids;
    for (const auto& seen : world_.directories["production2/outpack"].snapshots) ids.push_back(seen.id);
    return ids;
  }
  std::set<std::string> backups() {
    std::set<std::string> names;
    for (const auto& [id, object] : world_.objects)
      if (object["kind"] == "Backup") names.insert(object["metadata"]["name"]);
    return names;
  }
  Json backup(const std::string& name) { return world_.objects.at("Backup/default/" + name); }

  /// A restore that goes on, from that snapshot.
  static Json restore_of(const std::string& name, const std::string& snapshot) {
    Json request = Json::parse(R"({"kind":"RestoreRequest","metadata":{"namespace":"default"},
        "spec":{"target":{"hostRef":{"name":"uat"}},"items":[{"name":"a","from":{"backupPolicyRef":{"name":"outpack"},"volume":"outpack"},"to":{"volume":"v"}}]},
        "status":{"steps":[{"name":"plan","attempt":1,"state":"Running"}],
                  "pinned":[{"item":"a","target":"Name","snapshot":{"host":"annex2","sourceHost":"production2","volume":"outpack"}}]}})");
    request["metadata"]["name"] = name;
    request["status"]["pinned"][0]["snapshot"]["id"] = snapshot;
    return request;
  }

  void restart() { operator_ = std::make_unique<Operator>(world_); }

  /// Looks, each when it is due, until nothing is due within a minute. Restarts the operator where it is killed.
  void settle(Millis longest = 1min) {
    for (int i = 0; i < 100; ++i) {
      if (!operator_) restart();
      try {
        const auto action = operator_->reconciler->reconcile({"BackupPolicy", "default", "outpack"}, {});
        const Millis wait = action && action->requeue_after ? *action->requeue_after : Millis{1'000};
        if (action && wait >= longest) return;
        world_.clock.advance(wait);
      } catch (const testing::Killed&) {
        world_.kill_at = 0;
        operator_.reset();
      }
    }
    ADD_FAILURE() << "it never settles";
  }

  World world_;
  std::unique_ptr<Operator> operator_;
};

using Names = std::vector<std::string>;

TEST_F(Repositories, BringBackTheBackupObjectsOfALostStore) {
  taken("outpack-20261118t0000z", 18);
  taken("outpack-20261119t0000z", 19, 2000);
  taken("other-20261119t0000z", 19, 1, "somebody-elses");
  settle();
  EXPECT_EQ(backups(), (std::set<std::string>{"outpack-20261118t0000z", "outpack-20261119t0000z"}));
  const Json object = backup("outpack-20261119t0000z");
  EXPECT_EQ(object["metadata"]["labels"]["roadstead.dev/policy"], "outpack");
  EXPECT_EQ(object["spec"]["policyRef"]["name"], "outpack");
  EXPECT_EQ(object["status"]["phase"], "Succeeded");
  EXPECT_EQ(object["status"]["dataAsOf"], "2026-11-19T00:00:00Z");
  EXPECT_EQ(object["status"]["size"], "2.0 KiB");
  EXPECT_EQ(object["status"]["snapshots"][0]["host"], "annex2");
  EXPECT_EQ(object["status"]["snapshots"][0]["id"], "default.outpack-20261119t0000z");
  const Json repository = status()["repositories"][0];
  EXPECT_EQ(repository["snapshots"], 2);
  EXPECT_EQ(repository["oldest"], "2026-11-18T00:00:00Z");
  EXPECT_EQ(repository["storedBytes"], 300);
  EXPECT_EQ(condition("RepositoryHealthy")["status"], "True");
  EXPECT_EQ(condition("SourceSuspicious")["status"], "False");
  EXPECT_TRUE(world_.workers.empty()) << "answers are taken away once they are stored";
  EXPECT_TRUE(world_.history.empty());
}

TEST_F(Repositories, ThatNobodyWroteToAreEmptyAndHealthy) {
  settle();
  EXPECT_EQ(status()["repositories"][0]["snapshots"], 0);
  EXPECT_EQ(condition("RepositoryHealthy")["status"], "True");
}

TEST_F(Repositories, AreThinnedOutAndTheirBackupsFollow) {
  for (int day = 10; day <= 13; ++day) taken("b" + std::to_string(day), day);
  settle();
  EXPECT_EQ(backups().size(), 4U);
  EXPECT_TRUE(world_.history.empty()) << "no rule is set";
  Json keeper = backup("b10");
  keeper["spec"]["keep"] = true;
  world_.objects["Backup/default/b10"] = keeper;
  set_spec("retention", {{"keepLast", 1}, {"dryRun", true}});
  settle();
  EXPECT_EQ(world_.history, Names{"keep default.b10"}) << "a dry run only tells";
  EXPECT_EQ(status()["retention"]["wouldRemove"],
            Json::parse(R"(["annex2/production2/outpack: default.b11","annex2/production2/outpack: default.b12"])"));
  set_spec("retention", {{"keepLast", 1}});
  settle();
  EXPECT_EQ(kept(), (Names{"default.b10", "default.b13"}));
  EXPECT_EQ(backups(), (std::set<std::string>{"b10", "b13"}));
  EXPECT_EQ(status()["retention"]["removed"], 2);
  EXPECT_EQ(status()["retention"]["freedBytes"], 200);
  EXPECT_EQ(status()["repositories"][0]["snapshots"], 2);
  EXPECT_EQ(std::ranges::count(world_.events, "SnapshotsRemoved"), 1);
}

TEST_F(Repositories, AreMarkedAsTheirBackupsSayBothWaysAndOnce) {
  taken("b10", 10);
  taken("b11", 11);
  settle();
  EXPECT_TRUE(world_.history.empty()) << "nothing differs";
  world_.objects.at("Backup/default/b10")["spec"]["keep"] = true;
  settle();
  settle();
  EXPECT_EQ(world_.history, Names{"keep default.b10"});
  EXPECT_TRUE(world_.directories["production2/outpack"].snapshots[0].kept);
  world_.objects.at("Backup/default/b10")["spec"]["keep"] = false;
  restart();
  settle();
  settle();
  EXPECT_EQ(world_.history, (Names{"keep default.b10", "release default.b10"}));
  EXPECT_FALSE(world_.directories["production2/outpack"].snapshots[0].kept);
  EXPECT_TRUE(world_.workers.empty());
}

TEST_F(Repositories, KeepWhatWasMarkedWhenTheStoreIsLost) {
  for (int day = 10; day <= 13; ++day) taken("b" + std::to_string(day), day);
  settle();
  world_.objects.at("Backup/default/b10")["spec"]["keep"] = true;
  settle();
  world_.history.clear();
  for (const std::string& name : backups()) world_.objects.erase("Backup/default/" + name);
  policy().erase("status");
  set_spec("retention", {{"keepLast", 1}});
  restart();
  settle();
  EXPECT_EQ(kept(), (Names{"default.b10", "default.b13"}));
  EXPECT_EQ(world_.history, (Names{"forget default.b11", "forget default.b12"})) << "no mark is touched";
  EXPECT_EQ(backup("b10")["spec"]["keep"], true);
  EXPECT_FALSE(backup("b13")["spec"].value("keep", false));
  world_.objects.at("Backup/default/b10")["spec"]["keep"] = false;
  settle();
  EXPECT_EQ(kept(), Names{"default.b13"}) << "a person can still take it away";
}

TEST_F(Repositories, LoseNoMarkOfABackupThatIsBeingDeleted) {
  taken("b10", 10);
  taken("b11", 11);
  settle();
  world_.objects.at("Backup/default/b10")["spec"]["keep"] = true;
  settle();
  world_.objects.at("Backup/default/b10")["metadata"]["deletionTimestamp"] = "2026-11-20T12:00:00Z";
  set_spec("retention", {{"keepLast", 1}});
  settle();
  world_.objects.erase("Backup/default/b10");
  settle();
  EXPECT_EQ(world_.history, Names{"keep default.b10"});
  EXPECT_EQ(kept(), (Names{"default.b10", "default.b11"}));
  EXPECT_EQ(backup("b10")["spec"]["keep"], true);
}

TEST_F(Repositories, OfAFullDiskAreThinnedOutThoughNoMarkCanBeWritten) {
  for (int day = 10; day <= 13; ++day) taken("b" + std::to_string(day), day);
  settle();
  world_.objects.at("Backup/default/b10")["spec"]["keep"] = true;
  world_.full = true;
  set_spec("retention", {{"keepLast", 1}});
  settle();
  EXPECT_EQ(status()["repositories"][0]["message"], "The disk is full.; free space");
  world_.clock.advance(5min);
  settle();
  EXPECT_EQ(kept(), (Names{"default.b10", "default.b13"}));
  world_.full = false;
  world_.clock.advance(1h);
  settle();
  EXPECT_TRUE(world_.directories["production2/outpack"].snapshots[0].kept);
}

TEST(Marks, OfAPlaceThatIsListedLaterComeToTheBackupThatWasFoundElsewhereBefore) {
  namespace policy = backup_policy;
  const policy::Owner owner{"default", "default", {"outpack"}};
  const policy::Place here{"annex2", "production2", "outpack"};
  mover::SnapshotSeen seen;
  seen.id = "default.b10";
  seen.origin = mover::to_json(mover::Origin{"default", "default", "b10", "outpack", "production2", "outpack", {}});
  const auto listed = [&](bool is_kept) {
    seen.kept = is_kept;
    policy::Listing listing;
    listing.begun = kStart;
    listing.data.snapshots = {seen};
    return listing;
  };
  const policy::Place elsewhere{"offsite", "production2", "outpack"};
  crds::Backup found = policy::object_changes(owner, elsewhere, listed(false), {}, true).create.at(0);
  EXPECT_FALSE(found.spec.keep);
  found.status.finished_at = kStart - 1h;
  EXPECT_TRUE(policy::differing_marks(owner, here, listed(true), {found}).empty()) << "it does not speak for it yet";
  const auto changes = policy::object_changes(owner, here, listed(true), {found}, true);
  ASSERT_EQ(changes.update.size(), 1U);
  EXPECT_TRUE(changes.update[0].spec.keep);
  EXPECT_EQ(policy::differing_marks(owner, elsewhere, listed(false), changes.update).keep, Names{"default.b10"});
  found.metadata.annotations.clear();
  EXPECT_FALSE(policy::object_changes(owner, here, listed(true), {found}, true).update.at(0).spec.keep)
      << "what a person may have said holds";
}

TEST(Marks, AreReleasedByTheBackupThatMadeTheSnapshotAlone) {
  namespace policy = backup_policy;
  const policy::Owner owner{"default", "default", {"outpack"}};
  const policy::Place here{"offsite", "production2", "outpack"};
  mover::SnapshotSeen seen;
  seen.id = "default.b10";
  seen.kept = true;
  seen.origin = mover::to_json(mover::Origin{"default", "default", "b10", "outpack", "production2", "outpack", {}});
  policy::Listing listing;
  listing.data.snapshots = {seen};
  crds::Backup made;
  made.metadata.name = "b10";
  made.status.snapshots = {snapshot_status(seen, "offsite", "production2", "outpack")};
  crds::Backup copied = made;
  copied.metadata.name = "weekly";
  EXPECT_TRUE(policy::differing_marks(owner, here, listing, {copied}).release.empty());
  EXPECT_EQ(policy::differing_marks(owner, here, listing, {copied, made}).release, Names{"default.b10"});
}

TEST(Found, BackupsAreJudgedAgainWithEachSnapshotThatJoinsThem) {
  namespace policy = backup_policy;
  const policy::Owner owner{"default", "default", {"outpack"}};
  mover::SnapshotSeen seen;
  seen.id = "default.b10";
  seen.finished_at = kStart - 2h;
  policy::Listing listing;
  listing.begun = kStart;
  const auto listed = [&](const std::string& volume, std::uint64_t unreadable) {
    seen.origin = mover::to_json(mover::Origin{"default", "default", "b10", "outpack", "production2", volume, {}});
    seen.unreadable.count = unreadable;
    listing.data.snapshots = {seen};
    return listing;
  };
  const crds::Backup found =
      policy::object_changes(owner, {"annex2", "production2", "outpack"}, listed("outpack", 0), {}, true).create.at(0);
  EXPECT_EQ(found.status.phase, crds::BackupPhase::Succeeded);
  const auto changes =
      policy::object_changes(owner, {"annex2", "production2", "logs"}, listed("logs", 3), {found}, true);
  ASSERT_EQ(changes.update.size(), 1U);
  const crds::BackupStatus& status = changes.update[0].status;
  EXPECT_EQ(status.phase, crds::BackupPhase::PartiallyFailed);
  EXPECT_FALSE(crds::is_true(status.conditions, "Complete"));
  const auto* failed = crds::find_condition(status.conditions, "Failed");
  ASSERT_NE(failed, nullptr);
  EXPECT_EQ(failed->message, "Found in the repository; 3 files could not be read then.");
}

TEST_F(Repositories, KeepWhatARestoreUses) {
  for (int day = 10; day <= 13; ++day) taken("b" + std::to_string(day), day);
  add(Json::parse(R"({"kind":"RestoreRequest","metadata":{"name":"pinned","namespace":"default"},
      "spec":{"target":{"hostRef":{"name":"uat"}},"items":[{"name":"a","from":{"backupPolicyRef":{"name":"outpack"},"volume":"outpack"},"to":{"volume":"v"}}]},
      "status":{"steps":[{"name":"plan","attempt":1,"state":"Running"}],"pinned":[{"item":"a","target":"Name","snapshot":{"host":"annex2","sourceHost":"production2","volume":"outpack","id":"default.b10"}}]}})"));
  add(Json::parse(R"({"kind":"RestoreRequest","metadata":{"name":"planned","namespace":"default"},
      "spec":{"target":{"hostRef":{"name":"uat"}},"items":[{"name":"a","from":{"backupRef":{"name":"b11"}},"to":{"volume":"v"}}]},
      "status":{"steps":[{"name":"plan","attempt":1,"state":"Running"}]}})"));
  set_spec("retention", {{"keepLast", 1}});
  settle();
  EXPECT_EQ(kept(), (Names{"default.b10", "default.b11", "default.b13"}));
  for (const char* name : {"pinned", "planned"})
    world_.objects.at(std::string("RestoreRequest/default/") + name)["status"]["conditions"] =
        Json::parse(R"([{"type":"Complete","status":"True"}])");
  settle();
  EXPECT_EQ(kept(), Names{"default.b13"}) << "once the restores have ended";
}

TEST_F(Repositories, ForgetNothingThatARestoreTookWhileTheForgettingWaited) {
  for (int day = 10; day <= 12; ++day) taken("b" + std::to_string(day), day);
  settle();
  set_spec("retention", {{"keepLast", 1}});
  world_.refuse_forget = true;
  settle(15s);
  EXPECT_TRUE(world_.history.empty());
  add(restore_of("late", "default.b10"));
  world_.refuse_forget = false;
  world_.clock.advance(15s);
  settle();
  EXPECT_EQ(kept(), (Names{"default.b10", "default.b12"}));
  EXPECT_TRUE(world_.workers.empty());
}

TEST_F(Repositories, ForgetNothingWhileARestoreHasNotSaidWhatItUses) {
  for (int day = 10; day <= 12; ++day) taken("b" + std::to_string(day), day);
  Json lost = restore_of("lost", "default.b10");
  const Json known = std::exchange(lost["status"], Json::object());
  add(lost);
  set_spec("retention", {{"keepLast", 1}});
  settle();
  EXPECT_EQ(kept().size(), 3U);
  EXPECT_EQ(status()["retention"]["heldBy"], "RestoreRequest lost has not said yet which snapshots it uses");
  world_.objects.at("RestoreRequest/default/lost")["status"] = known;
  settle();
  EXPECT_EQ(kept(), (Names{"default.b10", "default.b12"}));
}

TEST_F(Repositories, LetADryRunOfARestoreHoldNothing) {
  for (int day = 10; day <= 12; ++day) taken("b" + std::to_string(day), day);
  Json dry = restore_of("dry", "default.b10");
  dry["status"] = Json::object();
  dry["spec"]["dryRun"] = true;
  add(dry);
  set_spec("retention", {{"keepLast", 1}});
  settle();
  EXPECT_EQ(kept(), Names{"default.b12"});
}

TEST_F(Repositories, ForgetNothingThatARestoreTookInTheSameLook) {
  for (int day = 10; day <= 12; ++day) taken("b" + std::to_string(day), day);
  set_spec("retention", {{"keepLast", 1}});
  world_.after_restores_were_listed = [this] { add(restore_of("late", "default.b10")); };
  settle();
  EXPECT_EQ(kept(), (Names{"default.b10", "default.b12"}));
}

TEST_F(Repositories, AreLeftAloneWhileARunGoesOnAndWaitForOthers) {
  for (int day = 10; day <= 12; ++day) taken("b" + std::to_string(day), day);
  set_spec("retention", {{"keepLast", 1}});
  add(Json::parse(
      R"({"kind":"Backup","metadata":{"name":"running","namespace":"default","labels":{"roadstead.dev/policy":"outpack"}},
                      "spec":{"policyRef":{"name":"outpack"}}})"));
  settle();
  EXPECT_TRUE(world_.history.empty());
  world_.objects.erase("Backup/default/running");
  world_.busy = "production2/outpack";
  settle(30s);
  EXPECT_TRUE(world_.history.empty());
  EXPECT_EQ(status()["repositories"][0]["message"], "A backup uses the directory.; wait until it has ended");
  world_.busy.clear();
  world_.clock.advance(30s);
  settle();
  EXPECT_EQ(kept(), Names{"default.b12"});
  EXPECT_FALSE(status()["repositories"][0].contains("message"));
}

TEST_F(Repositories, AreNotThinnedOutOnTheWordOfASuspiciousSnapshot) {
  for (int day = 10; day <= 12; ++day) taken("b" + std::to_string(day), day, day == 12 ? 400 : 1000);
  set_spec("retention", {{"keepLast", 1}});
  settle();
  EXPECT_EQ(kept().size(), 3U);
  EXPECT_EQ(condition("SourceSuspicious")["status"], "True");
  const std::string why = condition("SourceSuspicious")["message"];
  EXPECT_NE(why.find("Snapshot default.b12 of volume outpack on host annex2 holds 400 B in 10 files, default.b11 held "
                     "1000 B in 10 files"),
            std::string::npos)
      << why;
  EXPECT_NE(why.find("`kubectl --kubeconfig DATA/admin.kubeconfig annotate backup b12 -n default "
                     "roadstead.dev/accept-shrink=true`"),
            std::string::npos);
  EXPECT_EQ(status()["retention"]["heldBy"], "snapshot default.b12 is suspiciously small");
  EXPECT_EQ(std::ranges::count(world_.events, "Shrank"), 1);
  world_.objects.at("Backup/default/b12")["metadata"]["annotations"]["roadstead.dev/accept-shrink"] = "true";
  settle();
  EXPECT_EQ(kept(), Names{"default.b12"});
  EXPECT_EQ(condition("SourceSuspicious")["status"], "False");
}

TEST_F(Repositories, MarkTheBackupsWhoseSnapshotsAreGone) {
  taken("b10", 10);
  taken("b11", 11);
  settle();
  Json two = backup("b10");
  two["status"]["snapshots"].push_back(two["status"]["snapshots"][0]);
  two["status"]["snapshots"][1]["host"] = "offsite";
  world_.objects["Backup/default/b10"] = two;
  world_.directories["production2/outpack"].snapshots.clear();
  world_.clock.advance(1h);
  settle();
  EXPECT_EQ(backups(), std::set<std::string>{"b10"}) << "the other place still has it";
  ASSERT_EQ(backup("b10")["status"]["snapshots"].size(), 1U);
  EXPECT_EQ(backup("b10")["status"]["snapshots"][0]["host"], "offsite");
}

TEST_F(Repositories, RemoveABackupOnlyOnceItNamesNoSnapshotThatItsDeletionWouldForget) {
  taken("b10", 10);
  taken("b11", 11);
  settle();
  auto& directory = world_.directories["production2/outpack"];
  const auto all = directory.snapshots;
  directory.snapshots.erase(directory.snapshots.begin());
  world_.clock.advance(1h);
  settle();
  EXPECT_EQ(backups(), std::set<std::string>{"b11"});
  EXPECT_EQ(world_.named_at_removal, std::set<std::string>{});
  directory.snapshots = all;
  world_.clock.advance(1h);
  settle();
  EXPECT_EQ(backups(), (std::set<std::string>{"b10", "b11"})) << "it was there all the time";
}

TEST_F(Repositories, WhoseDirectoryIsNotThereKeepTheirBackupsAndSaySo) {
  taken("b10", 10);
  settle();
  const auto mounted = world_.directories;
  world_.directories.clear();
  world_.clock.advance(1h);
  settle(15s);
  EXPECT_EQ(backups(), std::set<std::string>{"b10"});
  EXPECT_EQ(backup("b10")["status"]["snapshots"].size(), 1U);
  EXPECT_EQ(condition("RepositoryHealthy")["status"], "False");
  EXPECT_EQ(condition("RepositoryHealthy")["reason"], "DirectoryMissing");
  const std::string message = status()["repositories"][0]["message"];
  EXPECT_NE(message.find("check that the repository's disk is mounted"), std::string::npos) << message;
  world_.directories = mounted;
  world_.clock.advance(15s);
  settle();
  EXPECT_EQ(condition("RepositoryHealthy")["status"], "True");
  EXPECT_FALSE(status()["repositories"][0].contains("message"));
}

TEST_F(Repositories, AreListedAnewThoughAnOldAnswerIsStillThere) {
  taken("b10", 10);
  settle();
  world_.workers_stay = true;
  world_.clock.advance(1h);
  settle();
  ASSERT_FALSE(world_.workers.empty());
  taken("b11", 11);
  world_.clock.advance(1h);
  settle();
  EXPECT_EQ(backups(), (std::set<std::string>{"b10", "b11"}));
}

TEST_F(Repositories, AreNotListedOverAndOverBecauseARunEndedBeforeTheClockWasSetBack) {
  const auto add_run = [this](const std::string& name, Time end) {
    Json run = Json::parse(R"({"kind":"Backup","metadata":{"labels":{"roadstead.dev/policy":"outpack"}},
        "spec":{"policyRef":{"name":"outpack"}},"status":{"conditions":[{"type":"Failed","status":"True"}]}})");
    run["metadata"]["name"] = name;
    run["status"]["finishedAt"] = format_rfc3339(end);
    add(run);
  };
  taken("b10", 10);
  add_run("ahead", kStart + 24h);
  settle();
  const Time listed = parse_rfc3339(status()["repositories"][0]["lastListedTime"].get<std::string>()).value();
  EXPECT_LT(listed - kStart, 1min);
  world_.clock.advance(10min);
  taken("b11", 11);
  add_run("since", world_.clock.now());
  settle();
  EXPECT_EQ(backups(), (std::set<std::string>{"ahead", "b10", "b11", "since"}))
      << "a run that ends now is seen at once";
}

TEST_F(Repositories, BringABackBackupThatWasDeletedAlone) {
  taken("b10", 10);
  settle();
  world_.objects.erase("Backup/default/b10");
  settle();
  EXPECT_EQ(backups(), std::set<std::string>{"b10"});
}

TEST_F(Repositories, OfAHostThatDoesNotAnswerAreAskedAgain) {
  taken("b10", 10);
  world_.reachable = false;
  settle(15s);
  EXPECT_EQ(status()["repositories"][0]["message"], "host annex2: connection refused");
  EXPECT_EQ(condition("RepositoryHealthy")["status"], "Unknown");
  EXPECT_EQ(condition("RepositoryHealthy")["reason"], "NotLookedAtYet");
  EXPECT_THAT(std::string(condition("RepositoryHealthy")["message"]),
              AllOf(HasSubstr("connection refused"), HasSubstr("`roadstead describe host annex2`")));
  world_.reachable = true;
  settle();
  EXPECT_EQ(backups().size(), 1U);
  EXPECT_FALSE(status()["repositories"][0].contains("message"));
}

TEST_F(Repositories, AreVerifiedInPartsByTheirOwnSchedule) {
  taken("b10", 10);
  set_spec("verification", {{"schedule", {{"cron", "0 3 * * *"}}}, {"percentPerRun", 25}});
  settle();
  ASSERT_EQ(world_.history.size(), 1U) << "one that was missed is caught up once";
  EXPECT_EQ(status()["repositories"][0]["lastVerifiedTime"], "2026-11-20T12:00:00Z");
  for (int day = 0; day < 4; ++day) {
    world_.clock.advance(24h);
    restart();
    settle();
  }
  ASSERT_EQ(world_.history.size(), 5U);
  EXPECT_EQ(std::set<std::string>(world_.history.begin(), world_.history.begin() + 4),
            (std::set<std::string>{"verify 0/4", "verify 1/4", "verify 2/4", "verify 3/4"}));
  EXPECT_EQ(world_.history[4], world_.history[0]) << "they take turns, also of operators that begin anew";
}

TEST_F(Repositories, TellDamageWithTheFilesUntilItIsReadAgainAsWhole) {
  taken("b10", 10);
  set_spec("verification", {{"schedule", {{"cron", "0 3 * * *"}}}, {"percentPerRun", 100}});
  world_.directories["production2/outpack"].damaged = 2;
  settle();
  EXPECT_EQ(condition("RepositoryHealthy")["status"], "False");
  const std::string why = condition("RepositoryHealthy")["message"];
  EXPECT_NE(why.find("2 pieces of data of volume outpack on host annex2 are damaged or missing, needed by: "
                     "default.b10: data/index, default.b10: data/log."),
            std::string::npos)
      << why;
  EXPECT_NE(why.find("roadstead backup outpack -n default"), std::string::npos) << why;
  EXPECT_EQ(std::ranges::count(world_.events, "DamageFound"), 1);
  world_.history.clear();
  world_.clock.advance(1h);
  settle();
  EXPECT_TRUE(world_.history.empty()) << "nothing came that could have repaired it";
  taken("b20", 20);
  world_.directories["production2/outpack"].snapshots.back().data_as_of = world_.clock.now();
  world_.directories["production2/outpack"].damaged = 0;
  world_.clock.advance(1h);
  settle();
  EXPECT_EQ(world_.history, Names{"verify 0/1"}) << "a backup brought it again, and that is read";
  EXPECT_EQ(condition("RepositoryHealthy")["status"], "True");
}

TEST_F(Repositories, AreVerifiedWholeWhenSomebodyAsks) {
  taken("b10", 10);
  settle();
  policy()["metadata"]["annotations"]["roadstead.dev/verify"] = "2026-11-20T12:00:00Z";
  settle();
  EXPECT_EQ(world_.history, Names{"verify 0/1"});
  settle();
  EXPECT_EQ(world_.history.size(), 1U) << "once";
}

TEST_F(Repositories, WithAManifestThatCannotBeReadAreNotThinnedOut) {
  taken("b10", 10);
  taken("b11", 11);
  world_.directories["production2/outpack"].unreadable = {"default.b09"};
  set_spec("retention", {{"keepLast", 1}});
  settle();
  EXPECT_EQ(kept().size(), 2U);
  EXPECT_EQ(condition("RepositoryHealthy")["reason"], "ManifestUnreadable");
  EXPECT_EQ(status()["retention"]["heldBy"], "the manifest of snapshot default.b09 on host annex2 cannot be read");
}

TEST_F(Repositories, GoOnWithAVerificationThatAnEarlierOperatorBegan) {
  taken("b10", 10);
  set_spec("verification", {{"schedule", {{"cron", "0 3 * * *"}}}, {"percentPerRun", 100}});
  world_.slow_verification = true;
  settle(500ms);
  ASSERT_EQ(world_.workers.size(), 1U);
  const std::string worker = world_.workers.begin()->first;
  restart();
  settle(500ms);
  ASSERT_EQ(world_.workers.size(), 1U);
  EXPECT_EQ(world_.workers.begin()->first, worker) << "hours of reading are not thrown away";
  world_.workers.clear();
  world_.slow_verification = false;
  settle();
  EXPECT_EQ(world_.history, Names{"verify 0/1"}) << "one that vanished is run again";
}

TEST_F(Repositories, OfAPolicyThatIsGoneLeaveNoWorker) {
  taken("b10", 10);
  set_spec("verification", {{"schedule", {{"cron", "0 3 * * *"}}}});
  world_.slow_verification = true;
  settle(500ms);
  ASSERT_EQ(world_.workers.size(), 1U);
  world_.objects.erase("BackupPolicy/default/outpack");
  ASSERT_TRUE(operator_->reconciler->reconcile({"BackupPolicy", "default", "outpack"}, {}));
  EXPECT_TRUE(world_.workers.empty());
  EXPECT_EQ(kept().size(), 1U) << "neither Backups nor data go with it";
  EXPECT_EQ(backups().size(), 1U);
}

class KilledAnywhere : public Repositories, public ::testing::WithParamInterface<bool> {};

TEST_P(KilledAnywhere, EndsWithTheSameSnapshotsAndTheSameObjects) {
  const auto prepare = [&] {
    world_.directories.clear();
    world_.workers.clear();
    world_.history.clear();
    for (const std::string& name : backups()) world_.objects.erase("Backup/default/" + name);
    policy().erase("status");
    world_.calls = 0;
    operator_.reset();
    for (int day = 10; day <= 13; ++day) taken("b" + std::to_string(day), day);
    world_.directories["production2/outpack"].snapshots[0].kept = true;
    set_spec("retention", {{"keepLast", 1}, {"keepWeekly", 2}});
    set_spec("verification", {{"schedule", {{"cron", "0 3 * * *"}}}, {"percentPerRun", 50}});
  };
  prepare();
  settle();
  const int calls = world_.calls;
  ASSERT_GT(calls, 30);
  for (int call = 1; call <= calls; ++call) {
    SCOPED_TRACE(fmt::format("killed {} call {}", GetParam() ? "after" : "before", call));
    prepare();
    world_.kill_at = call;
    world_.kill_after = GetParam();
    settle();
    world_.kill_at = 0;
    settle();
    ASSERT_EQ(kept(), (Names{"default.b10", "default.b13"}));
    ASSERT_EQ(backups(), (std::set<std::string>{"b10", "b13"}));
    ASSERT_EQ(backup("b10")["spec"]["keep"], true);
    ASSERT_TRUE(world_.directories["production2/outpack"].snapshots[0].kept);
    ASSERT_EQ(backup("b13")["status"]["phase"], "Succeeded");
    ASSERT_EQ(status()["repositories"][0]["snapshots"], 2);
    ASSERT_TRUE(status()["repositories"][0].contains("lastVerifiedTime"));
    ASSERT_TRUE(world_.workers.empty()) << world_.workers.begin()->first;
  }
}
INSTANTIATE_TEST_SUITE_P(BeforeAndAfter, KilledAnywhere, ::testing::Bool());

}  // namespace
}  // namespace roadstead::reconcilers
