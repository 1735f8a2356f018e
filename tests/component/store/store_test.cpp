#include "operator/adapters/store/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "operator/base/log.h"
#include "tests/component/store/store_fixture.h"

namespace roadstead::store {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using namespace std::chrono_literals;

json host(const std::string& name) {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "Host"},
          {"metadata", {{"name", name}}},
          {"spec", {{"engine", {{"endpoint", "unix:///var/run/docker.sock"}}}}}};
}

std::string version_of(const json& object) { return object.at("metadata").at("resourceVersion"); }

/// While it lives, a disk on which no database can be read beyond its first page.
class FailingDisk {
 public:
  FailingDisk() {
    vfs_ = *base();
    vfs_.zName = "failing";
    vfs_.xOpen = &open;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~FailingDisk() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(base(), 1);
  }
  FailingDisk(const FailingDisk&) = delete;
  FailingDisk& operator=(const FailingDisk&) = delete;

 private:
  static sqlite3_vfs* base() {
    static sqlite3_vfs* const found = sqlite3_vfs_find(nullptr);
    return found;
  }
  static int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
    const int code = base()->xOpen(base(), name, file, flags, out);
    if (code == SQLITE_OK && (flags & SQLITE_OPEN_MAIN_DB) != 0) {
      real = file->pMethods;
      methods = *real;
      methods.xRead = &read;
      file->pMethods = &methods;
    }
    return code;
  }
  static int read(sqlite3_file* file, void* into, int bytes, sqlite3_int64 offset) {
    return offset >= 4096 ? SQLITE_IOERR_READ : real->xRead(file, into, bytes, offset);
  }

  static inline const sqlite3_io_methods* real = nullptr;
  static inline sqlite3_io_methods methods{};
  sqlite3_vfs vfs_;
};

class StoreTest : public testing::Test {
 protected:
  void open(StoreOptions options = {}) {
    store.reset();
    auto opened = open_store(data(), clock, std::move(options));
    ASSERT_TRUE(opened) << opened.error().message;
    store = std::move(*opened);
  }
  std::filesystem::path data() const { return directory.path() / "data"; }
  std::filesystem::path file() const { return data() / "roadstead.db"; }
  /// What the file says, asked on a connection of its own.
  std::int64_t ask(const std::string& sql) { return Database::open(file().string()).value().number(sql).value(); }
  void tell(const std::string& sql) { ASSERT_TRUE(Database::open(file().string()).value().execute(sql.c_str())); }
  std::size_t events() { return store->list("Event", {})->items.size(); }
  void record(const std::string& message) {
    ASSERT_TRUE(store->record({{"Host", "", "uat"}, "7", false, "Reachable", message}));
  }

  TemporaryDirectory directory;
  ManualClock clock{Time{1'790'000'000'000ms}};
  std::unique_ptr<Store> store;
};

TEST_F(StoreTest, WhatWasWrittenIsThereAfterARestart) {
  open();
  const json made = store->create(host("uat"), {}).value();
  record("the engine answers");
  open();
  EXPECT_EQ(store->get({"Host", "", "uat"}), made);
  EXPECT_EQ(events(), 1u);
}

TEST_F(StoreTest, VersionsGoOnAfterARestartAndNeverComeAgain) {
  open();
  const std::string first = version_of(store->create(host("uat"), {}).value());
  ASSERT_TRUE(store->remove({"Host", "", "uat"}, {}));
  const std::string deleted = store->list("Host", {})->resource_version;
  open();
  EXPECT_EQ(store->list("Host", {})->resource_version, deleted);
  EXPECT_GT(std::stoull(version_of(store->create(host("uat"), {}).value())), std::stoull(deleted));
}

TEST_F(StoreTest, ANewStoreBeginsBeyondTheVersionsOfALostOne) {
  open();
  const auto before = std::stoull(version_of(store->create(host("uat"), {}).value()));
  store.reset();
  std::filesystem::remove_all(data());
  clock.advance(1h);
  open();
  EXPECT_GT(std::stoull(store->list("Host", {})->resource_version), before);
}

TEST_F(StoreTest, AWatchGoesOnOverARestartFromTheVersionLastSeen) {
  open();
  const std::string seen = version_of(store->create(host("annex2"), {}).value());
  json object = store->create(host("uat"), {}).value();
  object["metadata"]["labels"] = {{"tier", "test"}};
  ASSERT_TRUE(store->update(object, {}));
  ASSERT_TRUE(store->remove({"Host", "", "annex2"}, {}));
  open();
  auto watch = store->watch("Host", {}, seen).value();
  std::vector<std::string> told;
  while (auto event = watch->next(0ms, {}).value())
    told.push_back(std::to_string(static_cast<int>(event->type)) +
                   event->object.at("metadata").at("name").get<std::string>());
  EXPECT_THAT(told, testing::ElementsAre("0uat", "1uat", "2annex2"));
}

TEST_F(StoreTest, ASlowWatchHearsThatItIsTooOldAndAQuickOneDoesNot) {
  open({.changes = {.count = 10}});
  const std::string start = store->list("Host", {})->resource_version;
  auto slow = store->watch("Host", {}, start).value();
  auto quick = store->watch("Host", {}, start).value();
  for (int i = 0; i < 30; ++i) {
    ASSERT_TRUE(store->create(host("h" + std::to_string(i)), {}));
    ASSERT_TRUE(quick->next(0ms, {}).value());
  }
  const auto event = slow->next(0ms, {});
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().kind, ErrorKind::Expired);
  EXPECT_THAT(event.error().message, HasSubstr("too old resource version: " + start));
}

TEST_F(StoreTest, AnIdleWatchDoesNotGrowOldByChangesOfOtherKinds) {
  open({.changes = {.count = 10}});
  auto watch = store->watch("Host", {}, "").value();
  EXPECT_EQ(watch->next(0ms, {}).value(), std::nullopt);
  for (int i = 0; i < 5; ++i) record("event " + std::to_string(i));
  EXPECT_EQ(watch->next(0ms, {}).value(), std::nullopt);
  for (int i = 5; i < 14; ++i) record("event " + std::to_string(i));
  ASSERT_TRUE(store->create(host("uat"), {}));
  EXPECT_TRUE(watch->next(0ms, {}).value());
}

TEST_F(StoreTest, OldChangesAreDroppedFromTheFileToo) {
  open({.changes = {.count = 10}});
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(store->create(host("h" + std::to_string(i)), {}));
  store.reset();
  EXPECT_LE(ask("SELECT count(*) FROM changes"), 11);
  EXPECT_EQ(ask("SELECT count(*) FROM objects"), 30);
}

TEST_F(StoreTest, ChangesAreDroppedByAgeAndASizeLimit) {
  open({.changes = {.age = 10min}});
  const std::string start = store->list("Host", {})->resource_version;
  ASSERT_TRUE(store->create(host("uat"), {}));
  clock.advance(11min);
  ASSERT_TRUE(store->create(host("annex2"), {}));
  EXPECT_EQ(store->watch("Host", {}, start).value()->next(0ms, {}).error().kind, ErrorKind::Expired);
  open({.changes = {.bytes = 600}});
  const std::string again = store->list("Host", {})->resource_version;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(store->create(host("h" + std::to_string(i)), {}));
  EXPECT_EQ(store->watch("Host", {}, again).value()->next(0ms, {}).error().kind, ErrorKind::Expired);
}

TEST_F(StoreTest, AQuietWatchGetsABookmarkWithTheStoresVersion) {
  open();
  auto watch = store->watch("Host", {}, "").value();
  record("another kind moves the version");
  EXPECT_EQ(watch->next(0ms, {}).value(), std::nullopt) << "not before the interval";
  clock.advance(1min);
  const auto bookmark = watch->next(0ms, {}).value();
  ASSERT_TRUE(bookmark);
  EXPECT_EQ(bookmark->type, WatchEvent::Type::Bookmark);
  EXPECT_EQ(version_of(bookmark->object), store->list("Host", {})->resource_version);
  clock.advance(1min);
  EXPECT_EQ(watch->next(0ms, {}).value(), std::nullopt) << "nothing new to say";
}

TEST_F(StoreTest, AWatchEndsWithItsStore) {
  open();
  auto watch = store->watch("Host", {}, "").value();
  std::jthread closer([&] { store.reset(); });
  const auto event = watch->next(60s, {});
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().kind, ErrorKind::Unavailable);
}

TEST_F(StoreTest, EventsAreDroppedByAgeAndNumber) {
  open({.max_events = 3});
  record("first");
  clock.advance(30min);
  for (const char* message : {"second", "third", "fourth"}) record(message);
  EXPECT_EQ(events(), 3u) << "the oldest made room";
  clock.advance(50min);
  record("second");  // seen again: stays
  clock.advance(20min);
  record("fifth");
  EXPECT_EQ(events(), 2u) << "only what was seen within the hour";
  open();
  EXPECT_EQ(events(), 2u);
}

TEST_F(StoreTest, ManyWritersShareTransactions) {
  open();
  constexpr int kWriters = 16, kEach = 50;
  std::atomic<int> failures = 0;
  {
    std::vector<std::jthread> writers;
    for (int w = 0; w < kWriters; ++w)
      writers.emplace_back([&, w] {
        for (int n = 0; n < kEach; ++n)
          if (!store->create(host("h" + std::to_string(w) + "-" + std::to_string(n)), {})) ++failures;
      });
  }
  EXPECT_EQ(failures, 0);
  EXPECT_EQ(store->list("Host", {})->items.size(), static_cast<std::size_t>(kWriters * kEach));
  store.reset();
  EXPECT_EQ(ask("SELECT count(*) FROM objects"), kWriters * kEach);
}

TEST_F(StoreTest, AFullDiskIsSaidAndWhatWasThereStays) {
  set_log_level(LogLevel::Error);
  open();
  ASSERT_TRUE(store->create(host("uat"), {}));
  store.reset();
  // A page limit per connection stands in for the end of the disk: SQLite answers both with "full".
  auto journal = Journal::open(file(), clock.now()).value();
  auto contents = journal.load().value();
  json big = host("big");
  big["metadata"]["annotations"] = {{"text", std::string(200'000, 'x')}};
  std::vector<Change> changes{
      {Change::Type::Added, stored({"Host", "", "big"}, contents.version + 1, big), {}, clock.now()}};
  ASSERT_TRUE(journal.limit_pages(8));
  const auto written = journal.write(changes, contents.version + 1, contents.floor);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().kind, ErrorKind::NoSpace) << written.error().message;
  ASSERT_TRUE(journal.limit_pages(1'000'000));
  EXPECT_TRUE(journal.write(changes, contents.version + 1, contents.floor)) << "with space again it goes on";
}

TEST_F(StoreTest, ASecondOperatorIsTurnedAwayByName) {
  open();
  const auto second = DataDirectory::open(data());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::Conflict);
  EXPECT_THAT(second.error().message, HasSubstr("process " + std::to_string(::getpid())));
  EXPECT_THAT(second.error().message, HasSubstr("--data"));
  store.reset();
  EXPECT_TRUE(DataDirectory::open(data())) << "the lock goes with its holder";
}

TEST_F(StoreTest, NobodyElseMayReadTheFiles) {
  open();
  const auto mode_of = [](const std::filesystem::path& path) {
    struct stat info {};
    ::stat(path.c_str(), &info);
    return info.st_mode & 0777;
  };
  EXPECT_EQ(mode_of(data()), 0700u);
  EXPECT_EQ(mode_of(file()), 0600u);
}

TEST_F(StoreTest, AStoreOfANewerProgramIsRefused) {
  open();
  store.reset();
  tell("PRAGMA user_version=99");
  const auto opened = open_store(data(), clock);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind, ErrorKind::Invalid);
  EXPECT_THAT(opened.error().message, HasSubstr("schema version 99 is newer than this program knows"));
}

TEST_F(StoreTest, ADamagedFileIsRefusedWithAWayOut) {
  open();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(store->create(host("h" + std::to_string(i)), {}));
  store.reset();
  {
    std::fstream bytes(file(), std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekp(4096 * 3);
    bytes << std::string(4096 * 8, '#');
  }
  const auto opened = open_store(data(), clock);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("is damaged"));
  EXPECT_THAT(opened.error().message, HasSubstr("move it aside"));
  std::ofstream(file(), std::ios::trunc) << "this is no database at all, but text of some length";
  EXPECT_THAT(open_store(data(), clock).error().message, HasSubstr("is damaged"));
}

TEST_F(StoreTest, ADiskThatCannotBeReadIsNotTakenForADamagedFile) {
  open();
  for (int i = 0; i < 200; ++i) ASSERT_TRUE(store->create(host("h" + std::to_string(i)), {}));
  store.reset();
  {
    const FailingDisk disk;
    const auto opened = open_store(data(), clock);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().kind, ErrorKind::Unavailable);
    EXPECT_THAT(opened.error().message, HasSubstr("cannot be read from its disk"));
    EXPECT_THAT(opened.error().message, testing::Not(HasSubstr("damaged")));
  }
  open();
  EXPECT_EQ(store->list("Host", {})->items.size(), 200u);
}

TEST_F(StoreTest, StoredFieldsThatTheSchemaNoLongerKnowsArePrunedWhenRead) {
  open();
  ASSERT_TRUE(store->create(host("uat"), {}));
  store.reset();
  tell("UPDATE objects SET body=json_set(body, '$.spec.bygone', 5, '$.spec.protected', json('null'))");
  open();
  json object = store->get({"Host", "", "uat"}).value();
  EXPECT_FALSE(object.at("spec").contains("bygone"));
  EXPECT_EQ(object.at("spec").at("protected"), false) << "and today's defaults are there";
  object["metadata"]["labels"] = {{"tier", "test"}};
  EXPECT_TRUE(store->update(object, {})) << "so that it can be written again";
}

TEST_F(StoreTest, TextThatIsNotUtf8IsKeptReadable) {
  open();
  ASSERT_TRUE(store->record({{"Host", "", "uat"}, "", true, "Broken", "engine said \xff\xfe"}));
  open();
  EXPECT_THAT(store->list("Event", {})->items.at(0).at("message").get<std::string>(), HasSubstr("engine said"));
}

}  // namespace
}  // namespace roadstead::store
