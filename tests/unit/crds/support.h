#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "crds/yaml/catalog.h"
#include "operator/base/rfc3339.h"

namespace roadstead::crds::testing {

using Json = nlohmann::json;

inline Time at(const char* text) { return parse_rfc3339(text).value(); }

/// The kinds as they are built into the program.
inline const Catalog& builtin() {
  static const Catalog kCatalog = [] {
    auto loaded = builtin_catalog();
    EXPECT_TRUE(loaded) << loaded.error().message;
    return loaded ? std::move(*loaded) : Catalog();
  }();
  return kCatalog;
}

/// The smallest object of each kind that is valid.
inline Json minimal(const std::string& kind) {
  Json object{{"apiVersion", "roadstead.dev/v1alpha1"}, {"kind", kind}, {"metadata", {{"name", "x"}}}};
  if (kind == "Host") object["spec"] = Json::parse(R"({"engine":{"endpoint":"unix:///var/run/docker.sock"}})");
  if (kind == "BarmanServer")
    object["spec"] = Json::parse(R"({"hostRef":{"name":"annex2"},
      "source":{"hostRef":{"name":"production2"},"backupUser":{"name":"barman","passwordRef":{"env":"A"}},
                "streamingUser":{"name":"streaming_barman","passwordRef":{"file":"/b"}}},
      "postgres":{"image":"postgres:17","dataDirectory":"/pgdata"},"volumes":{"data":"barman_data","recover":"barman_recover"}})");
  if (kind == "BackupPolicy")
    object["spec"] =
        Json::parse(R"({"source":{"barman":{"serverRef":{"name":"montagu"}}},"schedule":{"cron":"@daily"}})");
  if (kind == "Backup") object["spec"] = Json::parse(R"({"policyRef":{"name":"montagu-base"}})");
  if (kind == "RestoreRequest")
    object["spec"] = Json::parse(R"({"target":{"hostRef":{"name":"uat"}},
      "items":[{"name":"db","from":{"barman":{"serverRef":{"name":"montagu"},"point":{"latest":true}}},"to":{"volume":"montagu_db_volume"}}]})");
  return object;
}

}  // namespace roadstead::crds::testing
