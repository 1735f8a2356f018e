#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "metrics/metrics.h"
#include "operator/base/log.h"
#include "tests/component/store/store_fixture.h"

namespace roadstead::files {

inline std::string host(const std::string& name, bool is_protected = false) {
  return "apiVersion: roadstead.dev/v1alpha1\nkind: Host\nmetadata: {name: " + name +
         "}\nspec:\n  engine: {endpoint: \"unix:///var/run/docker.sock\"}\n  protected: " +
         (is_protected ? "true" : "false") + "\n";
}

inline std::string backup(const std::string& name, const std::string& policy) {
  return "apiVersion: roadstead.dev/v1alpha1\nkind: Backup\nmetadata: {name: " + name +
         "}\nspec: {policyRef: {name: " + policy + "}}\n";
}

/// Above every level: these tests provoke what is logged.
inline constexpr auto kSilent = static_cast<LogLevel>(4);

/// A directory of manifests beside a real store.
class FilesTest : public testing::Test {
 protected:
  using json = nlohmann::json;

  void SetUp() override {
    std::filesystem::create_directories(manifests);
    open_store();
  }
  void TearDown() override { set_log_level(LogLevel::Info); }

  void open_store() {
    store.reset();
    auto opened = store::open_store(directory.path() / "data", clock);
    ASSERT_TRUE(opened) << opened.error().message;
    store = std::move(*opened);
  }
  void write(const std::string& path, const std::string& text) const {
    std::filesystem::create_directories((manifests / path).parent_path());
    std::ofstream(manifests / path) << text;
  }
  void remove(const std::string& path) const { std::filesystem::remove(manifests / path); }

  json get(const std::string& name, const std::string& kind = "Host") const {
    return store->get({kind, "", name}).value_or(json());
  }
  bool exists(const std::string& name, const std::string& kind = "Host") const { return !get(name, kind).is_null(); }
  std::string annotation(const std::string& name, const std::string& which) const {
    return get(name).at("metadata").value("annotations", json::object()).value("roadstead.dev/" + which, "");
  }
  /// "Reason name: message" of every event.
  std::vector<std::string> events(const std::string& reason) const {
    std::vector<std::string> all;
    const auto list = store->list("Event", {.ns = "", .label_selector = "", .field_selector = "reason=" + reason});
    for (const json& event : list->items)
      all.push_back(event.at("involvedObject").at("name").get<std::string>() + ": " +
                    event.at("message").get<std::string>());
    return all;
  }
  std::string version() const { return store->list("Host", {})->resource_version; }

  store::TemporaryDirectory directory;
  std::filesystem::path manifests = directory.path() / "manifests";
  ManualClock clock{Time{std::chrono::milliseconds{1'790'000'000'000}}};
  Metrics metrics{clock};
  std::unique_ptr<store::Store> store;
};

}  // namespace roadstead::files
