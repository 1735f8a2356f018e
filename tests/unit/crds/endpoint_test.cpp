#include "crds/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace roadstead::crds {
namespace {

std::optional<ErrorKind> kind_of(const Result<Endpoint>& parsed) {
  return parsed ? std::nullopt : std::optional(parsed.error().kind);
}
std::string message_of(const Result<Endpoint>& parsed) { return parsed ? "no error" : parsed.error().message; }

TEST(Endpoint, ReadsUnixAndSsh) {
  EXPECT_EQ(parse_endpoint("unix:///var/run/docker.sock"), Endpoint(UnixEndpoint{"/var/run/docker.sock"}));
  EXPECT_EQ(parse_endpoint("ssh://vagrant@annex2.example.org"),
            Endpoint(SshEndpoint{"vagrant", "annex2.example.org", 22, ""}));
  EXPECT_EQ(parse_endpoint("ssh://root@10.0.0.1:2222/run/docker.sock"),
            Endpoint(SshEndpoint{"root", "10.0.0.1", 2222, "/run/docker.sock"}));
  EXPECT_EQ(parse_endpoint("ssh://root@[fe80::1%eth0]:22/"), Endpoint(SshEndpoint{"root", "fe80::1%eth0", 22, ""}));
}

TEST(Endpoint, RefusesEverythingElseInOneSentence) {
  for (const auto* text : {"",
                           "/var/run/docker.sock",
                           "unix://",
                           "unix://relative",
                           "unix:///",
                           "ssh://host",
                           "ssh://@host",
                           "ssh://u@",
                           "ssh://u@:22",
                           "ssh://u@h:",
                           "ssh://u@h:0",
                           "ssh://u@h:65536",
                           "ssh://u@h:22x",
                           "ssh://u@[::1",
                           "ssh://u@[::1]x",
                           "ssh://-oProxyCommand=x@h",
                           "ssh://u@-oProxyCommand=x",
                           "ssh://u@h/run/$(reboot)",
                           "ssh://u@h/run/a b",
                           "ssh://u@h/x;y",
                           "ssh://u;x@h",
                           "ftp://h",
                           "tcp://h:2376",
                           "https://h"}) {
    const auto parsed = parse_endpoint(text);
    EXPECT_EQ(kind_of(parsed), ErrorKind::Invalid) << text;
    EXPECT_THAT(message_of(parsed), testing::StartsWith("endpoint ")) << text;
  }
  EXPECT_EQ(kind_of(parse_endpoint("unix:///" + std::string(107, 'x'))), ErrorKind::Invalid);
  EXPECT_EQ(message_of(parse_endpoint("tcp://h:2376")),
            "endpoint tcp://h:2376: engines behind tcp:// are not supported yet, use ssh://user@host");
}

TEST(Endpoint, NeverRepeatsAPassword) {
  const auto parsed = parse_endpoint("ssh://root:hunter2@host");
  EXPECT_EQ(kind_of(parsed), ErrorKind::Invalid);
  EXPECT_THAT(message_of(parsed), testing::Not(testing::HasSubstr("hunter2")));
}

}  // namespace
}  // namespace roadstead::crds
