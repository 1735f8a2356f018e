#include "operator/host_events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <set>

#include "operator/adapters/docker/engine_factory.h"
#include "operator/base/log.h"
#include "operator/ports/transport.h"
#include "tests/component/store/store_fixture.h"

namespace roadstead {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

std::string answer(const std::string& body, const std::string& header = {}) {
  return fmt::format("HTTP/1.1 200 OK\r\n{}Content-Length: {}\r\n\r\n{}", header, body.size(), body);
}

/// What all engines together were asked for, in its order, and by whom.
struct Asked {
  void add(const std::string& request) {
    const std::lock_guard lock(mutex);
    requests.push_back(request);
  }
  std::vector<std::string> all() {
    const std::lock_guard lock(mutex);
    return requests;
  }
  std::mutex mutex;
  std::vector<std::string> requests;
};

/// An engine's connection: answers a ping and a list at once; a stream of events opens and is silent for ever.
class EngineStream final : public ByteStream {
 public:
  EngineStream(std::string endpoint, Asked& asked) : endpoint_(std::move(endpoint)), asked_(asked) {}

  Result<std::size_t> read_some(std::span<std::byte> into, const Limits& limits) override {
    if (at_ == reply_.size() && stays_open_) {
      std::mutex mutex;
      std::unique_lock lock(mutex);
      std::condition_variable_any never;
      never.wait(lock, limits.stop, [] { return false; });
      return fail(ErrorKind::Cancelled, "stopped");
    }
    const auto count = std::min(into.size(), reply_.size() - at_);
    std::memcpy(into.data(), reply_.data() + at_, count);
    at_ += count;
    return count;
  }

  Result<void> write_all(std::span<const std::byte> from, const Limits&) override {
    const std::string request(reinterpret_cast<const char*>(from.data()), from.size());
    if (request.starts_with("HEAD /_ping")) {
      reply_ = "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 0\r\n\r\n";
    } else if (request.find("/events?") != std::string::npos) {
      asked_.add("events of " + endpoint_);
      reply_ = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
      stays_open_ = true;
    } else {
      asked_.add("containers of " + endpoint_);
      reply_ = answer(R"([{"Id":"1","Names":["/w"],"State":"exited","Labels":{"dev.roadstead.installation":"default",
        "dev.roadstead.kind":"Backup","dev.roadstead.namespace":"default","dev.roadstead.name":"first"}}])");
    }
    at_ = 0;
    return {};
  }
  Result<void> end_of_writes() override { return {}; }

 private:
  const std::string endpoint_;
  Asked& asked_;
  std::string reply_;
  std::size_t at_ = 0;
  bool stays_open_ = false;
};

class EngineTransport final : public Transport {
 public:
  EngineTransport(std::string endpoint, Asked& asked) : endpoint_(std::move(endpoint)), asked_(asked) {}
  Result<std::unique_ptr<ByteStream>> open(const Limits&) override {
    return std::make_unique<EngineStream>(endpoint_, asked_);
  }
  [[nodiscard]] std::string host_header() const override { return "docker"; }

 private:
  const std::string endpoint_;
  Asked& asked_;
};

class NoSecrets final : public Secrets {
 public:
  Result<std::string> resolve(const SecretRef&) override { return std::string("secret"); }
};

class HostEventsTest : public testing::Test {
 protected:
  void SetUp() override { set_log_level(static_cast<LogLevel>(4)); }
  void TearDown() override { set_log_level(LogLevel::Info); }

  static json host(const std::string& name, const std::string& user) {
    const json file{{"file", "/x"}};
    return {
        {"apiVersion", "roadstead.dev/v1alpha1"},
        {"kind", "Host"},
        {"metadata", {{"name", name}}},
        {"spec", {{"engine", {{"endpoint", "ssh://" + user + "@h"}, {"identityRef", file}, {"knownHostsRef", file}}}}}};
  }
  static bool eventually(const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!holds())
      if (std::chrono::steady_clock::now() > end)
        return false;
      else
        std::this_thread::sleep_for(5ms);
    return true;
  }
  bool was_woken(const ObjectKey& key) {
    const std::lock_guard lock(mutex);
    return woken.contains(key);
  }

  store::TemporaryDirectory directory;
  ManualClock clock{Time{1'790'000'000'000ms}};
  std::unique_ptr<store::Store> store = store::open_store(directory.path(), clock).value();
  Asked asked;
  NoSecrets secrets;
  docker::DockerEngineFactory engines{[this](const EngineEndpoint& endpoint) -> Result<std::shared_ptr<Transport>> {
    return std::make_shared<EngineTransport>(endpoint.endpoint, asked);
  }};
  reconcilers::Hosts hosts{*store, secrets, engines};
  std::mutex mutex;
  std::set<ObjectKey> woken;
  HostEvents events{*store, hosts, "default",
                    [this](const ObjectKey& key) {
                      const std::lock_guard lock(mutex);
                      woken.insert(key);
                    },
                    10ms};
};

TEST_F(HostEventsTest, WhatHappenedBeforeTheStreamWasOpenIsLookedAt) {
  ASSERT_TRUE(store->create(host("uat", "one"), {}));
  ASSERT_TRUE(events.start());
  EXPECT_TRUE(eventually([&] { return was_woken({"Backup", "default", "first"}); }));
  EXPECT_TRUE(was_woken({"Host", "", "uat"}));
  EXPECT_THAT(asked.all(), testing::ElementsAre("events of ssh://one@h", "containers of ssh://one@h"))
      << "the other way round, what happens between the two is lost";
}

TEST_F(HostEventsTest, AHostThatMovedIsFollowedAtItsNewPlace) {
  ASSERT_TRUE(store->create(host("uat", "one"), {}));
  ASSERT_TRUE(events.start());
  ASSERT_TRUE(eventually([&] { return asked.all().size() == 2; }));
  ASSERT_TRUE(store->apply(host("uat", "two"), {}));
  EXPECT_TRUE(eventually([&] { return asked.all().size() == 4; }));
  EXPECT_EQ(asked.all().back(), "containers of ssh://two@h");
  json status = store->get({"Host", "", "uat"}).value();
  status["status"]["engineVersion"] = "20.10.24";
  ASSERT_TRUE(store->update_status(status, {}));
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(asked.all().size(), 4u) << "a new status is no reason to connect again";
}

}  // namespace
}  // namespace roadstead
