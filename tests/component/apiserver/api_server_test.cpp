#include "operator/adapters/apiserver/api_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/component/apiserver/api_fixture.h"
#include "tests/component/apiserver/raw_connection.h"

namespace roadstead::apiserver {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;

json host(const std::string& name) {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "Host"},
          {"metadata", {{"name", name}}},
          {"spec", {{"engine", {{"endpoint", "unix:///var/run/docker.sock"}}}}}};
}

const Clock& api_clock() {
  static const SystemClock clock;
  return clock;
}

/// Requests by hand, for what the client never does.
class ApiServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    config = kube::read_kubeconfig(api.server().kubeconfig()).value();
    https = kube::HttpsClient::make(config, 10s).value();
  }
  kube::HttpsReply call(const std::string& method, const std::string& target, const std::string& body = {},
                        const std::string& content_type = "application/json",
                        const std::string& accept = "application/json") {
    auto reply = https->send({method, target, accept, content_type, body});
    EXPECT_TRUE(reply) << (reply ? "" : reply.error().message);
    return reply.value_or(kube::HttpsReply{});
  }
  json body(const std::string& method, const std::string& target, const std::string& text = {}) {
    return json::parse(call(method, target, text).body);
  }

  ApiUnderTest api;
  kube::KubeConfig config;
  std::unique_ptr<kube::HttpsClient> https;
  const std::string hosts = "/apis/roadstead.dev/v1alpha1/hosts";
  const std::string policies = "/apis/roadstead.dev/v1alpha1/namespaces/default/backuppolicies";
};

// ---- who is let in

// Without a certificate and without a token: 401, told as "these credentials are not known".
TEST_F(ApiServerTest, RefusesAStranger) {
  auto stranger = api.client([](kube::KubeConfig& c) { c.client_certificate = c.client_key = ""; });
  const auto refused = stranger->list("Host", {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::Forbidden);
  EXPECT_THAT(refused.error().message, HasSubstr("Unauthorized"));
}

// A token that is not in the list: 401.
TEST_F(ApiServerTest, RefusesAWrongToken) {
  auto stranger = api.client([](kube::KubeConfig& c) {
    c.client_certificate = c.client_key = "";
    c.token = "guess";
  });
  EXPECT_EQ(stranger->list("Host", {}).error().kind, ErrorKind::Forbidden);
}

// A certificate of another authority is not believed, though its subject is the administrator's.
TEST_F(ApiServerTest, RefusesACertificateOfAnotherAuthority) {
  ApiUnderTest other({}, {}, api_clock(), true);
  const kube::KubeConfig foreign = kube::read_kubeconfig(other.server().kubeconfig()).value();
  auto stranger = api.client([&](kube::KubeConfig& c) {
    c.client_certificate = foreign.client_certificate;
    c.client_key = foreign.client_key;
  });
  const auto refused = stranger->list("Host", {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::Unavailable) << "the handshake ends it";
}

// A client that knows another authority refuses the server, and says what is wrong.
TEST_F(ApiServerTest, IsRefusedByAClientOfAnotherAuthority) {
  ApiUnderTest other({}, {}, api_clock(), true);
  const std::string foreign = kube::read_kubeconfig(other.server().kubeconfig()).value().ca_certificate;
  auto wary = api.client([&](kube::KubeConfig& c) { c.ca_certificate = foreign; });
  const auto refused = wary->list("Host", {});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("TLS was refused"));
}

// Probes and the version need no credentials; everything else does.
TEST_F(ApiServerTest, AnswersProbesToEverybody) {
  kube::KubeConfig nobody = config;
  nobody.client_certificate = nobody.client_key = "";
  auto plain = kube::HttpsClient::make(nobody, 10s).value();
  for (const char* path : {"/livez", "/readyz", "/healthz", "/version"})
    EXPECT_EQ(plain->send({"GET", path})->code, 200) << path;
  EXPECT_EQ(plain->send({"GET", "/apis"})->code, 401);
  api.not_ready = "the work queue stands still";
  const auto reply = plain->send({"GET", "/readyz"});
  EXPECT_EQ(reply->code, 503);
  EXPECT_EQ(reply->body, "the work queue stands still\n");
}

// A bearer token of DATA/tokens.csv lets in.
TEST(ApiServerTokens, LetsInABearerToken) {
  store::TemporaryDirectory directory;
  std::ofstream(directory.path() / "tokens.csv")
      << "# token,user,uid,groups\nlong-enough-token,grafana,1,\"readers,people\"\n";
  store::Kinds& kinds = store::builtin_kinds();
  SystemClock clock;
  auto store = store::open_store(directory.path(), clock).value();
  ApiServerOptions options;
  options.data_dir = directory.path().string();
  options.port = 0;
  auto server = ApiServer::start(options, *store, kinds.types, kinds.catalog.all(), clock).value();
  kube::KubeConfig config = kube::read_kubeconfig(server->kubeconfig()).value();
  config.client_certificate = config.client_key = "";
  config.token = "long-enough-token";
  auto client = kube::KubeClient::make(config, kinds.types).value();
  EXPECT_TRUE(client->list("Host", {}));
}

// ---- its own authority

// Keys and the administrator's kubeconfig are for their owner alone.
TEST_F(ApiServerTest, KeepsKeysPrivate) {
  for (const char* file : {"/admin.kubeconfig", "/pki/ca.key", "/pki/server.key", "/pki/admin.key"}) {
    struct stat found {};
    ASSERT_EQ(::stat((api.directory() + file).c_str(), &found), 0) << file;
    EXPECT_EQ(found.st_mode & 0777, 0600u) << file;
  }
}

// The certificate is good for each name under which the server is reached on this machine.
TEST_F(ApiServerTest, IsReachedByNameAndAddress) {
  for (const char* name : {"127.0.0.1", "localhost"}) {
    auto client = api.client([&](kube::KubeConfig& c) {
      c.server = "https://" + std::string(name) + ":" + std::to_string(api.server().port());
    });
    EXPECT_TRUE(client->list("Host", {})) << name;
  }
}

// ---- pages and texts

// What is no page is 404 as plain text, as Kubernetes answers it.
TEST_F(ApiServerTest, AnswersUnknownPagesAsKubernetesDoes) {
  for (const char* path :
       {"/", "/apis/other.dev/v1/things", "/apis/roadstead.dev/v1alpha1/ghosts", "/api/v1/pods",
        "/apis/roadstead.dev/v1alpha1/namespaces/default/hosts", "/apis/roadstead.dev/v1alpha1/hosts/a/b/c"}) {
    const auto reply = call("GET", path);
    EXPECT_EQ(reply.code, 404) << path;
    EXPECT_EQ(reply.body, "404 page not found\n") << path;
  }
}

// Discovery in its plain forms names group, version, kinds and short names.
TEST_F(ApiServerTest, ListsWhatItServes) {
  EXPECT_EQ(body("GET", "/apis")["groups"][0]["preferredVersion"]["groupVersion"], "roadstead.dev/v1alpha1");
  const json resources = body("GET", "/apis/roadstead.dev/v1alpha1")["resources"];
  ASSERT_EQ(resources.size(), 10u);
  EXPECT_EQ(resources[0]["name"], "hosts");
  EXPECT_EQ(resources[0]["shortNames"], json::array({"hst"}));
  EXPECT_EQ(resources[1]["name"], "hosts/status");
  EXPECT_EQ(body("GET", "/version")["gitVersion"], "v0.1.0");
}

// Errors are a Status with the reference's reason, code, message and details.
TEST_F(ApiServerTest, AnswersErrorsAsAStatus) {
  const json missing = body("GET", policies + "/x");
  EXPECT_EQ(missing["kind"], "Status");
  EXPECT_EQ(missing["reason"], "NotFound");
  EXPECT_EQ(missing["code"], 404);
  EXPECT_EQ(missing["message"], "backuppolicies.roadstead.dev \"x\" not found");
  EXPECT_EQ(missing["details"], (json{{"name", "x"}, {"group", "roadstead.dev"}, {"kind", "backuppolicies"}}));

  EXPECT_EQ(call("POST", hosts, host("uat").dump()).code, 201);
  const json twice = body("POST", hosts, host("uat").dump());
  EXPECT_EQ(twice["code"], 409);
  EXPECT_EQ(twice["reason"], "AlreadyExists");

  json unknown = host("a");
  unknown["spec"]["endpoimt"] = 1;
  const json strict = body("POST", hosts, unknown.dump());
  EXPECT_EQ(strict["code"], 400);
  EXPECT_THAT(strict["message"],
              HasSubstr("Host in version \"v1alpha1\" cannot be handled as a Host: strict decoding error: "
                        "unknown field \"spec.endpoimt\""));
  json wrong = host("a");
  wrong["spec"]["protected"] = "maybe";
  const json invalid = body("POST", hosts, wrong.dump());
  EXPECT_EQ(invalid["code"], 422);
  EXPECT_EQ(invalid["reason"], "Invalid");
  EXPECT_THAT(invalid["message"], HasSubstr("Host.roadstead.dev \"a\" is invalid: spec.protected"));
}

// A body that does not fit its URL, or is no object, is 400 with a sentence.
TEST_F(ApiServerTest, RefusesBodiesThatDoNotFit) {
  ASSERT_EQ(call("POST", hosts, host("uat").dump()).code, 201);
  EXPECT_THAT(body("PUT", hosts + "/annex2", host("uat").dump())["message"],
              "the name of the object (uat) does not match the name on the URL (annex2)");
  json elsewhere = host("x");
  elsewhere["kind"] = "BackupPolicy";
  elsewhere["metadata"]["namespace"] = "site-b";
  EXPECT_THAT(body("POST", policies, elsewhere.dump())["message"],
              "the namespace of the provided object does not match the namespace sent on the request");
  for (const std::string& text :
       {std::string("{"), std::string("[]"), std::string("kind: Host"), std::string("{\"a\":1,\"a\":2}"),
        std::string(200, '{'), std::string("{\"a\":\"\xff\"}"), std::string(5000, '[')}) {
    const auto reply = call("POST", hosts, text);
    EXPECT_EQ(reply.code, 400) << text.substr(0, 20);
    EXPECT_EQ(json::parse(reply.body)["reason"], "BadRequest");
  }
  EXPECT_EQ(call("POST", hosts + "/uat", host("uat").dump()).code, 405);
  EXPECT_EQ(call("DELETE", hosts).code, 405);
  EXPECT_EQ(call("GET", hosts + "?labelSelector=a%20in%20b").code, 400);
  EXPECT_EQ(call("GET", hosts + "?watch=true&resourceVersion=abc").code, 400);
  EXPECT_EQ(call("GET", hosts, "", "", "application/vnd.kubernetes.protobuf").code, 406);
}

// A body over 3 MiB is 413 with a Status, and the client reads the answer.
TEST_F(ApiServerTest, RefusesAHugeBody) {
  const auto reply = https->send({"POST", hosts, "application/json", "application/json", std::string(4 << 20, ' ')});
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->code, 413);
  EXPECT_EQ(json::parse(reply->body)["reason"], "RequestEntityTooLarge");
}

// ---- writes

// A merge patch changes what it names, null takes away, and the status subresource is apart.
TEST_F(ApiServerTest, MergesPatches) {
  ASSERT_EQ(call("POST", hosts, host("uat").dump()).code, 201);
  const std::string merge = "application/merge-patch+json";
  auto reply =
      call("PATCH", hosts + "/uat", R"({"spec":{"protected":true},"metadata":{"labels":{"tier":"test"}}})", merge);
  EXPECT_EQ(reply.code, 200) << reply.body;
  EXPECT_EQ(json::parse(reply.body)["spec"]["protected"], true);
  reply = call("PATCH", hosts + "/uat", R"({"metadata":{"labels":{"tier":null}}})", merge);
  EXPECT_FALSE(json::parse(reply.body)["metadata"].contains("labels")) << reply.body;
  const std::string version = json::parse(reply.body)["metadata"]["resourceVersion"];
  reply = call("PATCH", hosts + "/uat", R"({"spec":{"protected":true}})", merge);
  EXPECT_EQ(json::parse(reply.body)["metadata"]["resourceVersion"], version) << "nothing changed";
  reply =
      call("PATCH", hosts + "/uat/status", R"({"status":{"engineVersion":"20.10"},"spec":{"protected":false}})", merge);
  EXPECT_EQ(json::parse(reply.body)["status"]["engineVersion"], "20.10");
  EXPECT_EQ(json::parse(reply.body)["spec"]["protected"], true);
  reply = call("PATCH", hosts + "/uat", R"({"metadata":{"resourceVersion":"1"},"spec":{"protected":false}})", merge);
  EXPECT_EQ(reply.code, 409);
  reply = call("PATCH", hosts + "/uat", "{}", "application/strategic-merge-patch+json");
  EXPECT_EQ(reply.code, 415);
  EXPECT_THAT(reply.body, HasSubstr("accepted media types include"));
}

// Many patches of one object at once all arrive: each is tried again on the newer object.
TEST_F(ApiServerTest, MergesPatchesThatMeet) {
  ASSERT_EQ(call("POST", hosts, host("uat").dump()).code, 201);
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> writers;
    for (int i = 0; i < 4; ++i)
      writers.emplace_back([&, i] {
        const std::string patch = R"({"metadata":{"labels":{"w)" + std::to_string(i) + R"(":"x"}}})";
        if (call("PATCH", hosts + "/uat", patch, "application/merge-patch+json").code == 200) ++good;
      });
  }
  EXPECT_EQ(good, 4);
  EXPECT_EQ(body("GET", hosts + "/uat")["metadata"]["labels"].size(), 4u);
}

// An apply takes YAML, needs a field manager, creates with 201 and then answers 200.
TEST_F(ApiServerTest, AppliesYaml) {
  const std::string yaml =
      "apiVersion: roadstead.dev/v1alpha1\nkind: Host\nmetadata: {name: uat}\nspec:\n  engine: {endpoint: "
      "'unix:///x.sock'}\n";
  const std::string apply = "application/apply-patch+yaml";
  EXPECT_EQ(call("PATCH", hosts + "/uat?fieldManager=test", yaml, apply).code, 201);
  EXPECT_EQ(call("PATCH", hosts + "/uat?fieldManager=test", yaml, apply).code, 200);
  const auto anonymous = call("PATCH", hosts + "/uat", yaml, apply);
  EXPECT_EQ(anonymous.code, 422);
  EXPECT_THAT(anonymous.body, HasSubstr("fieldManager: Required value: is required for apply patch"));
  EXPECT_EQ(call("PATCH", hosts + "/uat?fieldManager=test", yaml + "\tx: 1\n", apply).code, 400);
}

// What is gone at once answers a Status, what finalizers hold answers the object; a dry run takes nothing away.
TEST_F(ApiServerTest, Deletes) {
  ASSERT_EQ(call("POST", hosts, host("uat").dump()).code, 201);
  EXPECT_EQ(call("DELETE", hosts + "/uat?dryRun=all").code, 400) << "no dry run that is known, and so no deletion";
  EXPECT_EQ(call("DELETE", hosts + "/uat?dryRun=All").code, 200);
  const json gone = body("DELETE", hosts + "/uat", R"({"propagationPolicy":"Background"})");
  EXPECT_EQ(gone["kind"], "Status");
  EXPECT_EQ(gone["status"], "Success");
  EXPECT_EQ(gone["details"]["kind"], "hosts");
  json held = host("uat");
  held["metadata"]["finalizers"] = {"roadstead.dev/test"};
  ASSERT_EQ(call("POST", hosts, held.dump()).code, 201);
  const json dying = body("DELETE", hosts + "/uat");
  EXPECT_EQ(dying["kind"], "Host");
  EXPECT_TRUE(dying["metadata"].contains("deletionTimestamp"));
}

// ---- tables

// Tables carry the CRD's columns, what the row's object is was asked for, and a single object is a table of one row.
TEST_F(ApiServerTest, RendersTables) {
  ASSERT_EQ(call("POST", hosts, host("uat").dump()).code, 201);
  const std::string table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
  json all = json::parse(call("GET", hosts, "", "", table).body);
  EXPECT_EQ(all["kind"], "Table");
  EXPECT_EQ(all["columnDefinitions"][0]["name"], "Name");
  ASSERT_EQ(all["rows"].size(), 1u);
  EXPECT_EQ(all["rows"][0]["cells"][0], "uat");
  EXPECT_EQ(all["rows"][0]["object"]["kind"], "PartialObjectMetadata");
  EXPECT_FALSE(all["rows"][0]["object"].contains("spec"));
  all = json::parse(call("GET", hosts + "?includeObject=Object", "", "", table).body);
  EXPECT_EQ(all["rows"][0]["object"]["spec"]["engine"]["endpoint"], "unix:///var/run/docker.sock");
  all = json::parse(call("GET", hosts + "/uat?includeObject=None", "", "", table).body);
  EXPECT_TRUE(all["rows"][0]["object"].is_null());
}

// Events of the core group: by field selector, as objects and as a table with the columns people know.
TEST_F(ApiServerTest, ServesEvents) {
  ASSERT_EQ(call("POST", hosts, host("uat").dump()).code, 201);
  ASSERT_TRUE(api.store().record({{"Host", "", "uat"}, "", true, "Unreachable", "the engine does not answer"}));
  const std::string events =
      "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3Duat%2CinvolvedObject.kind%3DHost";
  EXPECT_EQ(body("GET", events)["items"].size(), 1u);
  const json table = json::parse(call("GET", events, "", "", "application/json;as=Table;v=v1;g=meta.k8s.io").body);
  EXPECT_EQ(table["columnDefinitions"][0]["name"], "Last Seen");
  EXPECT_EQ(table["rows"][0]["cells"][1], "Warning");
  EXPECT_EQ(table["rows"][0]["cells"][3], "host/uat");
  EXPECT_EQ(body("GET", "/api/v1/events?fieldSelector=involvedObject.name%3Dscience")["items"].size(), 0u);
}

// ---- watches

// A watch ends after its timeout with a clean end, not with a broken connection.
TEST_F(ApiServerTest, EndsAWatchAfterItsTime) {
  auto lines = https->open_lines({"GET", hosts + "?watch=true&timeoutSeconds=1"});
  ASSERT_TRUE(lines) << lines.error().message;
  const auto end = (*lines)->next(5s, {});
  ASSERT_FALSE(end);
  EXPECT_THAT(end.error().message, HasSubstr("the server ended the stream"));
}

// A version that is no longer kept: HTTP 200, one line of type ERROR with code 410, the end.
TEST(ApiServerWatch, TellsThatAVersionIsTooOld) {
  store::StoreOptions few;
  few.changes.count = 4;
  ApiUnderTest api({}, few);
  auto client = api.client();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(client->create(host("h" + std::to_string(i)), {}));
  auto watch = client->watch("Host", {}, "1");
  const auto event = watch ? (*watch)->next(5s, {}) : tl::unexpected(watch.error());
  ASSERT_FALSE(event);
  EXPECT_EQ(event.error().kind, ErrorKind::Expired);
  EXPECT_THAT(event.error().message, HasSubstr("too old resource version: 1"));
}

// The newer watch-list is declined with 422, so that clients fall back to list and watch.
TEST_F(ApiServerTest, DeclinesWatchList) {
  const auto reply = call("GET", hosts + "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan");
  EXPECT_EQ(reply.code, 422);
  EXPECT_THAT(reply.body, HasSubstr("sendInitialEvents"));
}

// A quiet watch is told how far it is where it asked for that, and is told nothing where it did not.
TEST(ApiServerWatch, SendsBookmarksToThoseWhoAsked) {
  store::StoreOptions chatty;
  chatty.bookmark_interval = 50ms;
  ApiUnderTest api({}, chatty);
  auto client = api.client();
  auto watch = client->watch("Host", {}, client->list("Host", {})->resource_version).value();
  json policy = host("p");
  policy["kind"] = "BackupPolicy";
  policy["metadata"]["namespace"] = "default";
  policy["spec"] = {{"source", {{"barman", {{"serverRef", {{"name", "m"}}}}}}}, {"schedule", {{"cron", "@daily"}}}};
  const auto other = client->create(policy, {});
  ASSERT_TRUE(other) << other.error().message;
  const auto event = watch->next(5s, {});
  ASSERT_TRUE(event && *event) << "no bookmark came";
  EXPECT_EQ((*event)->type, WatchEvent::Type::Bookmark);
  EXPECT_EQ((*event)->object["metadata"]["resourceVersion"], (*other)["metadata"]["resourceVersion"]);
}

// A watch of tables: each event's object is a table of one row.
TEST_F(ApiServerTest, WatchesTables) {
  auto client = api.client();
  auto watch = client->watch_table("Host", {}, "").value();
  ASSERT_TRUE(client->create(host("uat"), {}));
  const auto event = watch->next(5s, {});
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->type, WatchEvent::Type::Added);
  EXPECT_EQ((*event)->object["kind"], "Table");
  EXPECT_EQ((*event)->object["rows"][0]["cells"][0], "uat");
}

// When the server stops, watchers are told by the end of their stream, and nobody is kept waiting.
TEST_F(ApiServerTest, StopsWithWatchersAtOnce) {
  auto client = api.client();
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < 20; ++i) watches.push_back(client->watch("Host", {}, "").value());
  const auto begun = std::chrono::steady_clock::now();
  api.server().stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, 3s);
  for (const auto& watch : watches) {
    const auto end = watch->next(3s, {});
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().kind, ErrorKind::Unavailable);
  }
}

// 64 watches at once all see a write, and go without a trace.
TEST_F(ApiServerTest, ServesManyWatches) {
  auto client = api.client();
  {
    std::vector<std::unique_ptr<Watch>> watches;
    for (int i = 0; i < 64; ++i) watches.push_back(client->watch("Host", {}, "").value());
    ASSERT_TRUE(client->create(host("uat"), {}));
    for (const auto& watch : watches) {
      const auto event = watch->next(10s, {});
      ASSERT_TRUE(event && *event);
      EXPECT_EQ((*event)->object["metadata"]["name"], "uat");
    }
  }
  EXPECT_TRUE(client->list("Host", {}));
}

// A plain connection that speaks no TLS is closed; the server goes on.
TEST_F(ApiServerTest, ClosesWhatSpeaksNoTls) {
  roadstead::testing::RawConnection plain(api.server().port());
  plain.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(plain.closed_within(5s));
  EXPECT_EQ(call("GET", "/livez").code, 200);
}

}  // namespace
}  // namespace roadstead::apiserver
