#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operator/adapters/docker/engine_factory.h"
#include "tests/unit/docker/fake_stream.h"

/// How the Engine behaves where a real one is hard to bring there: recorded answers, cut, old or wrong.
namespace roadstead::docker {
namespace {

using test::FakeTransport;
using test::kind_of;
using test::message_of;
using test::Recording;
using testing::HasSubstr;
using testing::StartsWith;

std::string answer(int status, const std::string& body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n{}", status, body.size(), body);
}

Recording ping(const std::string& version) {
  return {"HTTP/1.1 200 OK\r\nApi-Version: " + version + "\r\nContent-Length: 2\r\n\r\n"};
}

/// Every call on a connection of its own: the ping's connection ends after its answer.
struct Fake {
  explicit Fake(std::deque<Recording> recordings)
      : transport(std::make_shared<FakeTransport>(std::move(recordings))), engine(make_engine(transport)) {}
  std::string request(std::size_t index) { return transport->seen->written.at(index); }
  std::shared_ptr<FakeTransport> transport;
  std::shared_ptr<Engine> engine;
};

TEST(EngineProtocol, AsksInTheVersionBothKnow) {
  Fake fake({ping("1.44"), {answer(200, "[]")}});
  EXPECT_TRUE(fake.engine->list_containers({}, {}));
  EXPECT_THAT(fake.request(0), StartsWith("HEAD /_ping HTTP/1.1\r\n"));
  EXPECT_THAT(fake.request(1), StartsWith("GET /v1.44/containers/json?all=1"));
}

TEST(EngineProtocol, RefusesAnEngineThatIsTooOld) {
  Fake fake({ping("1.40")});
  const auto info = fake.engine->info({});
  EXPECT_EQ(kind_of(info), ErrorKind::Invalid);
  EXPECT_EQ(
      message_of(info),
      "engine information: the engine speaks API 1.40, at least 1.41 is needed: upgrade it to Docker 20.10 or newer");
}

TEST(EngineProtocol, AsksForTheVersionAgainAfterTheConnectionWasLost) {
  Fake fake({ping("1.44"), {answer(200, "[]")}, {"", 1, Recording::Then::Break}, ping("1.41"), {answer(200, "[]")}});
  EXPECT_TRUE(fake.engine->list_containers({}, {}));
  EXPECT_EQ(kind_of(fake.engine->list_containers({}, {})), ErrorKind::Unavailable);
  EXPECT_TRUE(fake.engine->list_containers({}, {}));
  EXPECT_THAT(fake.request(4), StartsWith("GET /v1.41/containers/json"));
}

TEST(EngineProtocol, SendsCredentialsInTheirHeaderAndFindsTheErrorInTheStream) {
  Fake fake({ping("1.41"),
             {answer(200,
                     "{\"status\":\"Pulling\"}\r\n{\"errorDetail\":{\"message\":\"manifest "
                     "unknown\"},\"error\":\"manifest unknown\"}\r\n")}});
  const auto pulled = fake.engine->pull_image("reg:5000/a", RegistryCredentials{"reg:5000", "u", "p"}, {});
  EXPECT_EQ(kind_of(pulled), ErrorKind::NotFound);
  EXPECT_EQ(message_of(pulled), "pull image reg:5000/a: manifest unknown");
  EXPECT_THAT(fake.request(1), HasSubstr("POST /v1.41/images/create?fromImage=reg%3A5000%2Fa&tag=latest "));
  EXPECT_THAT(fake.request(1), HasSubstr("X-Registry-Auth: eyJwYXNz"));
}

TEST(EngineProtocol, ARegistryOutOfReachIsWorthAnotherTry) {
  Fake fake({ping("1.41"), {answer(500, R"({"message":"Get https://reg:5000/v2/: dial tcp: no route to host"})")}});
  EXPECT_EQ(kind_of(fake.engine->pull_image("reg:5000/a", {}, {})), ErrorKind::Unavailable);
}

// "db" is a name, and the beginning of an id: no other container may stand in for one that is not there.
TEST(EngineProtocol, ANameOfHexDigitsIsNeverTakenForTheBeginningOfAnId) {
  const std::string id = "db" + std::string(62, '0');
  const Recording other{answer(200, R"({"Id":")" + id + R"(","Name":"/web"})")};
  const Recording same{answer(200, R"({"Id":")" + id + R"(","Name":"/db"})")};
  const Recording several{answer(400, R"({"message":"Multiple IDs found with provided prefix: db"})")};
  for (const Recording& found : {other, several}) {
    const auto fake = [&] { return Fake({ping("1.41"), found}); };
    EXPECT_EQ(kind_of(fake().engine->start_container("db", {})), ErrorKind::NotFound);
    EXPECT_EQ(kind_of(fake().engine->stop_container("db", std::chrono::seconds(1), {})), ErrorKind::NotFound);
    EXPECT_EQ(kind_of(fake().engine->kill_container("db", "KILL", {})), ErrorKind::NotFound);
    EXPECT_EQ(kind_of(fake().engine->set_restart_policy("db", "no", 0, {})), ErrorKind::NotFound);
    EXPECT_EQ(kind_of(fake().engine->exec("db", {{"true"}}, {})), ErrorKind::NotFound);
    EXPECT_EQ(kind_of(fake().engine->upload("db", "/", {}, {})), ErrorKind::NotFound);
    EXPECT_EQ(kind_of(fake().engine->download("db", "/x", 1, {})), ErrorKind::NotFound);
    EXPECT_EQ(kind_of(fake().engine->logs("db", {}, {})), ErrorKind::NotFound);
    EXPECT_EQ(message_of(fake().engine->inspect_container("db", {})), "inspect container db: no such container");
    Fake removing = fake();
    EXPECT_TRUE(removing.engine->remove_container("db", true, {})) << "it is gone already";
    EXPECT_EQ(removing.transport->seen->written.size(), 2u) << "nothing was removed";
  }
  Fake fake({ping("1.41"), same, {answer(204, "")}, {answer(204, "")}});
  EXPECT_TRUE(fake.engine->start_container("db", {}));
  EXPECT_THAT(fake.request(2), StartsWith("POST /v1.41/containers/" + id + "/start "));
  EXPECT_TRUE(fake.engine->start_container(id, {}));
  EXPECT_THAT(fake.request(3), StartsWith("POST /v1.41/containers/" + id + "/start "))
      << "a whole id is looked up by none";
}

TEST(EngineProtocol, AnswersThatAreNoJsonOrOfAnotherShapeAreErrorsNotCrashes) {
  for (const std::string body :
       {"", "not json", "[1,2", "null", "\"text\"", "{\"Volumes\":5}", "[[]]", "{\"StatusCode\":\"x\"}"}) {
    const auto fake = [&] { return Fake({ping("1.41"), {answer(200, body)}, {answer(200, body)}}).engine; };
    (void)fake()->info({});
    (void)fake()->inspect_container("x", {});
    (void)fake()->list_containers({}, {});
    (void)fake()->list_volumes({});
    (void)fake()->disk_usage({});
    (void)fake()->inspect_image("x", {});
    EXPECT_FALSE(fake()->wait_container("x", {})) << body;
    EXPECT_FALSE(fake()->exec("x", {{"true"}}, {})) << body;
    EXPECT_FALSE(fake()->events({}, [](const EngineEvent&) { return true; }, {})) << body;
  }
}

TEST(EngineProtocol, AStreamOfEventsBeginsWithItsOpening) {
  Fake fake({ping("1.41"),
             {answer(200, R"({"Type":"container","Action":"die"})"
                          "\n")}});
  std::vector<std::string> seen;
  const auto end = fake.engine->events({},
                                       [&](const EngineEvent& event) {
                                         seen.push_back(event.type + " " + event.action);
                                         return true;
                                       },
                                       {});
  EXPECT_EQ(kind_of(end), ErrorKind::Unavailable);
  EXPECT_THAT(seen, testing::ElementsAre("stream-opened ", "container die"));
}

TEST(EngineProtocol, AnExecCutInsideAFrameIsNoResult) {
  using namespace std::string_literals;  // which know their length, zeros and all
  Fake fake({ping("1.41"),
             {answer(201, "{\"Id\":\"e\"}")},
             {"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"s + "\x01\0\0\0\0\0\0\x05hel"s}});
  const auto result = fake.engine->exec("web", {{"cat"}}, {});
  EXPECT_EQ(kind_of(result), ErrorKind::Unavailable);
  EXPECT_THAT(message_of(result), HasSubstr("exec cat in container web: "));
}

TEST(EngineProtocol, OnlyUnixIsReachedWithoutATransportFactory) {
  DockerEngineFactory factory(nullptr);
  EXPECT_TRUE(factory.make({"unix:///run/docker.sock", {}, {}}));
  EXPECT_EQ(kind_of(factory.make({"ssh://u@h", "k", "h"})), ErrorKind::Invalid);
  EXPECT_EQ(kind_of(factory.make({"tcp://h:2376", {}, {}})), ErrorKind::Invalid);
}

}  // namespace
}  // namespace roadstead::docker
