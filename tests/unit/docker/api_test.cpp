#include "operator/adapters/docker/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/unit/docker/fake_stream.h"

namespace roadstead::docker {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::kind_of;
using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Api, SpeaksTheOlderOfTheTwoNewestVersions) {
  EXPECT_EQ(negotiated_version("1.41"), "1.41");
  EXPECT_EQ(negotiated_version("1.44"), "1.44");
  EXPECT_EQ(negotiated_version("1.9999"), kNewestApi);
  EXPECT_EQ(negotiated_version("2.0"), kNewestApi);
  const auto old = negotiated_version("1.40");
  EXPECT_EQ(kind_of(old), ErrorKind::Invalid);
  EXPECT_EQ(message_of(old),
            "the engine speaks API 1.40, at least 1.41 is needed: upgrade it to Docker 20.10 or newer");
  for (const auto* nonsense : {"", "1", "x.y", "1.4x"})
    EXPECT_EQ(kind_of(negotiated_version(nonsense)), ErrorKind::Invalid) << nonsense;
}

TEST(Api, MapsStatusAndTextToKinds) {
  const auto kind = [](int status, std::string_view message) {
    return error_of(status, json{{"message", message}}.dump()).kind;
  };
  EXPECT_EQ(kind(404, "No such container: x"), ErrorKind::NotFound);
  EXPECT_EQ(kind(409, "in use"), ErrorKind::Conflict);
  EXPECT_EQ(kind(400, "invalid"), ErrorKind::Invalid);
  EXPECT_EQ(kind(403, "no"), ErrorKind::Forbidden);
  EXPECT_EQ(kind(503, "starting"), ErrorKind::Unavailable);
  EXPECT_EQ(kind(500, "OCI runtime create failed: exec: \"x\": not in $PATH"), ErrorKind::Internal)
      << "the engine was reached";
  EXPECT_EQ(kind(500, "write /x: no space left on device"), ErrorKind::NoSpace);
  EXPECT_EQ(
      kind(500,
           "driver failed programming external connectivity: Bind for 0.0.0.0:10022 failed: port is already allocated"),
      ErrorKind::Conflict);
  EXPECT_EQ(error_of(404, "page not found\n").message, "page not found");
  EXPECT_EQ(error_of(502, "").message, "the engine answered with status 502");
}

TEST(Api, EveryContainerHasWhatContainersOfOursHave) {
  ContainerSpec spec;
  spec.name = "w";
  spec.image = "i";
  spec.command = {"run"};
  spec.mounts = {{MountSpec::Type::Volume, "v", "/v", true}, {MountSpec::Type::Bind, "/b", "/c", false}};
  spec.ports = {{10022, 10023, "10.0.0.1"}, {80, 0, ""}};
  spec.stop_timeout = std::chrono::seconds(7);
  const auto body = create_body(spec, true);
  const auto& host = body["HostConfig"];
  EXPECT_EQ(host["LogConfig"]["Type"], "json-file");
  EXPECT_EQ(host["UsernsMode"], "host");
  EXPECT_EQ(host["Mounts"][0], (json{{"Type", "volume"},
                                     {"Source", "v"},
                                     {"Target", "/v"},
                                     {"ReadOnly", true},
                                     {"VolumeOptions", {{"NoCopy", true}}}}));
  EXPECT_EQ(host["Mounts"][1], (json{{"Type", "bind"}, {"Source", "/b"}, {"Target", "/c"}, {"ReadOnly", false}}));
  EXPECT_EQ(host["PortBindings"]["10022/tcp"], (json::array({{{"HostIp", "10.0.0.1"}, {"HostPort", "10023"}}})));
  EXPECT_EQ(host["PortBindings"]["80/tcp"][0]["HostPort"], "");
  EXPECT_TRUE(body["ExposedPorts"].contains("10022/tcp"));
  EXPECT_EQ(body["StopTimeout"], 7);
  EXPECT_FALSE(body.contains("Entrypoint")) << "the image's own";
  EXPECT_FALSE(create_body(spec, false)["HostConfig"].contains("UsernsMode"));
}

TEST(Api, ReadsAContainerWithNullsAndWithoutFields) {
  auto info = container_info(
      json::parse(R"({"Id":"1","Name":"/web","Image":"sha256:2","Created":"2026-11-23T02:47:19.5Z","RestartCount":3,
    "State":{"Status":"exited","ExitCode":137,"OOMKilled":true,"Error":"","StartedAt":"2026-11-23T02:47:20Z","FinishedAt":"0001-01-01T00:00:00Z"},
    "Config":{"Image":"nginx:1","Labels":null},"HostConfig":{"AutoRemove":true,"RestartPolicy":{"Name":"on-failure","MaximumRetryCount":5}},
    "Mounts":[{"Type":"volume","Name":"v","Source":"/s","Destination":"/d","RW":false}],
    "NetworkSettings":{"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8080"}],"81/tcp":null},"Networks":{"bridge":{"IPAddress":"172.17.0.2"}}}})"));
  EXPECT_EQ(info.name, "web");
  EXPECT_EQ(info.state, ContainerState::Exited);
  EXPECT_EQ(info.exit_code, 137);
  EXPECT_TRUE(info.oom_killed && info.auto_remove && info.started_at && !info.finished_at);
  EXPECT_EQ(info.restart_policy, "on-failure");
  EXPECT_EQ(info.restart_maximum, 5);
  EXPECT_EQ(info.published_ports, (std::map<std::string, std::uint16_t>{{"80/tcp", 8080}}));
  EXPECT_EQ(info.ip_address, "172.17.0.2");
  EXPECT_TRUE(info.mounts.at(0).read_only);
  info = container_info(json::object());
  EXPECT_EQ(info.state, ContainerState::Dead);
  EXPECT_EQ(info.restart_policy, "no");
  info = container_info(
      json::parse(R"({"State":null,"Config":[],"Mounts":{},"NetworkSettings":{"Ports":[],"Networks":null}})"));
  EXPECT_TRUE(info.mounts.empty());
}

TEST(Api, NamesAListedContainerByItselfNotByALinkToIt) {
  EXPECT_EQ(container_summary(json::parse(R"({"Names":["/other/alias","/web"],"State":"running"})")).name, "web");
}

TEST(Api, KnowsWhereUsersAreRemappedAndWhichSizesAreUnknown) {
  EXPECT_EQ(
      engine_info(json::parse(R"({"SecurityOptions":["name=seccomp,profile=default","name=userns"]})")).user_namespace,
      "name=userns");
  EXPECT_EQ(engine_info(json::parse(R"({"SecurityOptions":["name=seccomp"]})")).user_namespace, "");
  EXPECT_FALSE(volume_info(json::parse(R"({"Name":"v","UsageData":{"Size":-1}})")).size_bytes);
  EXPECT_EQ(volume_info(json::parse(R"({"Name":"v","UsageData":{"Size":0}})")).size_bytes, 0);
}

TEST(Api, SplitsImageReferences) {
  const auto split = [](std::string_view text) { return image_reference(text).name + " " + image_reference(text).tag; };
  EXPECT_EQ(split("nginx"), "nginx latest");
  EXPECT_EQ(split("nginx:1"), "nginx 1");
  EXPECT_EQ(split("host:5000/a/b"), "host:5000/a/b latest");
  EXPECT_EQ(split("host:5000/a/b:c"), "host:5000/a/b c");
  EXPECT_EQ(split("a/b@sha256:00"), "a/b sha256:00");
}

TEST(Api, FindsTheErrorInAProgressStream) {
  EXPECT_TRUE(check_progress(R"({"status":"Pulling","progress":"[=>]"})"));
  EXPECT_TRUE(check_progress("not JSON"));
  EXPECT_EQ(message_of(check_progress(R"({"errorDetail":{"message":"layer broken"},"error":"layer broken"})")),
            "layer broken");
  EXPECT_EQ(kind_of(check_progress(R"({"error":"layer broken"})")), ErrorKind::Unavailable);
  EXPECT_EQ(kind_of(check_progress(R"({"error":"write: no space left on device"})")), ErrorKind::NoSpace);
  EXPECT_EQ(kind_of(check_progress(R"({"error":"manifest unknown"})")), ErrorKind::NotFound);
  EXPECT_EQ(kind_of(check_progress(R"({"error":"unauthorized: authentication required"})")), ErrorKind::Forbidden);
}

TEST(Api, EncodesCredentialsForTheRegistryHeader) {
  // {"password":"p?>","serveraddress":"r","username":"u"}
  EXPECT_EQ(registry_auth({"r", "u", "p?>"}),
            "eyJwYXNzd29yZCI6InA_PiIsInNlcnZlcmFkZHJlc3MiOiJyIiwidXNlcm5hbWUiOiJ1In0=");
}

TEST(Api, AsksForLabels) {
  EXPECT_EQ(label_filters({{"a", "b"}, {"c", ""}}), R"({"label":["a=b","c"]})");
  EXPECT_EQ(label_filters({}, "container"), R"({"type":["container"]})");
}

TEST(Lines, AreCutWhateverThePieces) {
  const std::string text = "one\r\ntwo\n\nthree\nrest";
  for (std::size_t size = 1; size <= text.size(); ++size) {
    LineSplitter lines;
    std::vector<std::string> seen;
    for (std::size_t at = 0; at < text.size(); at += size)
      ASSERT_EQ(lines.feed(bytes_of(std::string_view(text).substr(at, size)),
                           [&](std::string_view line) -> Result<bool> {
                             seen.emplace_back(line);
                             return true;
                           }),
                true);
    EXPECT_THAT(seen, ElementsAre("one", "two", "three"));
    EXPECT_EQ(lines.rest(), "rest");
  }
  LineSplitter few(10);
  EXPECT_EQ(kind_of(few.feed(bytes_of("longer than ten"), [](auto) -> Result<bool> { return true; })),
            ErrorKind::Unavailable);
}

}  // namespace
}  // namespace roadstead::docker
