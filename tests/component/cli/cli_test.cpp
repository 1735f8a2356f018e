#include "operator/cli/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/component/apiserver/api_fixture.h"

namespace roadstead::cli {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kHost =
    "apiVersion: roadstead.dev/v1alpha1\n"
    "kind: Host\n"
    "metadata: {name: uat}\n"
    "spec: {engine: {endpoint: 'unix:///var/run/docker.sock'}}\n";
constexpr const char* kPolicy =
    "apiVersion: roadstead.dev/v1alpha1\n"
    "kind: BackupPolicy\n"
    "metadata: {name: montagu-base}\n"
    "spec:\n"
    "  source: {barman: {serverRef: {name: montagu}}}\n"
    "  schedule: {cron: '0 0 1 * *', timeZone: Europe/London}\n";

/// Written by one thread, read by another while it goes on.
class SharedText final : public std::streambuf {
 public:
  std::string text() const {
    std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  int_type overflow(int_type c) override {
    std::lock_guard lock(mutex_);
    if (c != traits_type::eof()) text_.push_back(static_cast<char>(c));
    return c;
  }
  mutable std::mutex mutex_;  // guards text_
  std::string text_;
};

struct Ran {
  int code = -1;
  std::string out, err;
};

/// The real command line in this process, against the real server and store.
class CliTest : public ::testing::Test {
 protected:
  CliHooks hooks(std::istream& in, std::ostream& out, std::ostream& err) {
    CliHooks made;
    made.connect = [this](const std::string& path) -> Result<std::unique_ptr<ApiClient>> {
      auto config = kube::read_kubeconfig(path);
      if (!config) return tl::unexpected(config.error());
      auto client = kube::KubeClient::make(std::move(*config), api.kinds().types);
      if (!client) return tl::unexpected(client.error());
      return std::unique_ptr<ApiClient>(std::move(*client));
    };
    made.types = &api.kinds().types;
    made.clock = &clock;
    made.in = &in;
    made.out = &out;
    made.err = &err;
    made.interrupted = [this] { return interrupted.load(); };
    made.version = "0.1.0";
    return made;
  }
  Ran run(std::vector<std::string> words, const std::string& input = {}) {
    std::istringstream in(input);
    std::ostringstream out, err;
    Ran ran;
    ran.code = run_with(std::move(words), hooks(in, out, err));
    ran.out = out.str();
    ran.err = err.str();
    return ran;
  }
  int run_with(std::vector<std::string> words, const CliHooks& with) {
    words.insert(words.begin(), "roadstead");
    if (words.at(1) != "validate") words.insert(words.begin() + 2, "--data=" + api.directory());
    std::vector<const char*> arguments;
    for (const std::string& word : words) arguments.push_back(word.c_str());
    return run_cli(static_cast<int>(arguments.size()), arguments.data(), with);
  }
  std::string file(const std::string& name, const std::string& text) {
    const auto path = directory.path() / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path.string();
  }
  json stored(const std::string& kind, const std::string& ns, const std::string& name) {
    return api.store().get({kind, ns, name}).value_or(json());
  }
  static bool eventually(const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (std::chrono::steady_clock::now() < end) {
      if (holds()) return true;
      std::this_thread::sleep_for(5ms);
    }
    return holds();
  }

  ManualClock clock{SystemClock().now()};
  std::atomic<bool> interrupted{false};
  store::TemporaryDirectory directory;
  apiserver::ApiUnderTest api{{}, {}, clock};
};

// ---- apply

// A file of several documents: created, then unchanged, then only what differs is configured.
TEST_F(CliTest, AppliesAndTellsWhatBecameOfEach) {
  const std::string both = file("site.yaml", std::string(kHost) + "---\n" + kPolicy);
  Ran ran = run({"apply", "-f", both});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "host.roadstead.dev/uat created\nbackuppolicy.roadstead.dev/montagu-base created\n");
  EXPECT_EQ(stored("BackupPolicy", "default", "montagu-base")["spec"]["schedule"]["timeZone"], "Europe/London");
  EXPECT_EQ(run({"apply", "-f", both}).out,
            "host.roadstead.dev/uat unchanged\nbackuppolicy.roadstead.dev/montagu-base unchanged\n");
  std::string changed = kPolicy;
  changed.replace(changed.find("0 0 1"), 5, "0 0 2");
  ran = run({"apply", "-f", "-"}, std::string(kHost) + "---\n" + changed);
  EXPECT_EQ(ran.out, "host.roadstead.dev/uat unchanged\nbackuppolicy.roadstead.dev/montagu-base configured\n");
}

// A directory: its files in the order of their names, deeper ones only where asked for, other files never.
TEST_F(CliTest, AppliesDirectories) {
  file("d/2.yaml", kPolicy);
  file("d/1.yml", kHost);
  file("d/notes.txt", "not: [yaml");
  std::string deeper = kHost;
  deeper.replace(deeper.find("uat"), 3, "science");
  file("d/more/3.yaml", deeper);
  EXPECT_EQ(run({"apply", "-f", (directory.path() / "d").string()}).out,
            "host.roadstead.dev/uat created\nbackuppolicy.roadstead.dev/montagu-base created\n");
  EXPECT_THAT(run({"apply", "-R", "-f", (directory.path() / "d").string()}).out,
              HasSubstr("host.roadstead.dev/science created"));
}

// One wrong document among good ones: file, line and field are told, and nothing at all is changed.
TEST_F(CliTest, AppliesNothingOfABrokenSet) {
  std::string wrong = kPolicy;
  wrong.replace(wrong.find("timeZone"), 8, "timezone");
  const std::string path = file("site.yaml", std::string(kHost) + "---\n" + wrong);
  const Ran ran = run({"apply", "-f", path});
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_EQ(ran.out, "");
  EXPECT_THAT(ran.err, StartsWith("error: " + path + ":11:"));
  EXPECT_THAT(ran.err, HasSubstr("spec.schedule.timezone: unknown field"));
  EXPECT_TRUE(stored("Host", "", "uat").is_null());
}

// A dry run says what would be, and stores nothing.
TEST_F(CliTest, AppliesDry) {
  EXPECT_EQ(run({"apply", "--dry-run=server", "-f", "-"}, kHost).out,
            "host.roadstead.dev/uat created (server dry run)\n");
  EXPECT_TRUE(stored("Host", "", "uat").is_null());
}

// What only the server can refuse is told with its reason and place, and nothing of the set is written.
TEST_F(CliTest, TellsWhatTheServerRefused) {
  const std::string backup =
      "apiVersion: roadstead.dev/v1alpha1\nkind: Backup\nmetadata: {name: first}\nspec: {policyRef: {name: a}}\n";
  ASSERT_EQ(run({"apply", "-f", "-"}, backup).code, kExitOk);
  std::string other = backup;
  other.replace(other.find("name: a}"), 8, "name: b}");
  const Ran ran = run({"apply", "-f", "-"}, std::string(kHost) + "---\n" + other);
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_THAT(ran.err, StartsWith("Error from server (Invalid): standard input:5: Backup.roadstead.dev \"first\" is "
                                  "invalid: spec"));
  EXPECT_THAT(ran.err, HasSubstr("\nerror: nothing was applied\n"));
  EXPECT_EQ(ran.out, "");
  EXPECT_TRUE(stored("Host", "", "uat").is_null());
}

// "namespace: null" is a manifest without one, and a name that the server would make up is no name to delete or apply.
TEST_F(CliTest, TakesManifestsWithoutNamespaceOrName) {
  const std::string nowhere =
      "apiVersion: roadstead.dev/v1alpha1\nkind: Backup\nmetadata: {name: first, namespace: null}\n"
      "spec: {policyRef: {name: a}}\n";
  EXPECT_EQ(run({"apply", "-n", "other", "-f", "-"}, nowhere).out, "backup.roadstead.dev/first created\n");
  EXPECT_FALSE(stored("Backup", "other", "first").is_null());
  EXPECT_EQ(run({"delete", "-n", "other", "-f", "-"}, nowhere).out, "backup.roadstead.dev \"first\" deleted\n");
  const std::string nameless =
      "apiVersion: roadstead.dev/v1alpha1\nkind: Backup\nmetadata: {generateName: run-, name: null}\n"
      "spec: {policyRef: {name: a}}\n";
  const Ran ran = run({"delete", "-f", "-"}, nameless);
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_EQ(ran.err,
            "error: standard input:1: metadata.name: this manifest has only a generateName; name what is to be "
            "deleted: delete backup NAME\n");
  EXPECT_THAT(run({"apply", "-f", "-"}, nameless).err, HasSubstr("standard input:1: a Backup without a name"));
}

// ---- validate

// Offline, without a server: what is good is counted, what is wrong is told by place.
TEST_F(CliTest, ValidatesOffline) {
  const std::string good = file("good.yaml", std::string(kHost) + "---\n" + kPolicy);
  EXPECT_EQ(run({"validate", "-f", good}).out, good + ": 2 objects, nothing wrong\n");
  const std::string bad =
      file("bad.yaml", "apiVersion: roadstead.dev/v1alpha1\nkind: Host\nmetadata: {name: uat}\nspec:\n\tx: 1\n");
  const Ran ran = run({"validate", "-f", bad});
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_THAT(ran.err, StartsWith("error: " + bad + ":5"));
  EXPECT_THAT(run({"validate", "-f", "/nowhere.yaml"}).err, HasSubstr("file /nowhere.yaml: No such file"));
}

// ---- get

// The server's columns, padded as kubectl pads them; ages by the server's clock.
TEST_F(CliTest, GetsTables) {
  ASSERT_EQ(run({"apply", "-f", "-"}, std::string(kHost) + "---\n" + kPolicy).code, kExitOk);
  clock.advance(5min);
  EXPECT_EQ(run({"get", "hosts"}).out,
            "NAME   ENDPOINT                      REACHABLE   ENGINE   FREE   UNCOVERED   AGE\n"
            "uat    unix:///var/run/docker.sock                                           5m\n");
  EXPECT_THAT(run({"get", "HST", "uat", "-o", "wide"}).out, HasSubstr("PROTECTED"));
  EXPECT_THAT(run({"get", "bp", "-A"}).out, StartsWith("NAMESPACE   NAME "));
  EXPECT_EQ(run({"get", "bp", "-n", "other"}).err, "No resources found in other namespace.\n");
  EXPECT_EQ(run({"get", "rr", "-A"}).err, "No resources found\n");
  EXPECT_THAT(run({"get", "hosts", "--no-headers"}).out, StartsWith("uat "));
}

// What is not there is an error of the server in its words, exit code 1.
TEST_F(CliTest, GetsNothingOfWhatIsNotThere) {
  const Ran ran = run({"get", "host/ghost"});
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_EQ(ran.err, "Error from server (NotFound): hosts.roadstead.dev \"ghost\" not found\n");
}

// One object as YAML or JSON is the object; several are a List; names are ready to be used again.
TEST_F(CliTest, GetsObjects) {
  ASSERT_EQ(run({"apply", "-f", "-"}, std::string(kHost) + "---\n" + kPolicy).code, kExitOk);
  const Ran yaml = run({"get", "host", "uat", "-o", "yaml"});
  EXPECT_THAT(yaml.out, StartsWith("apiVersion: roadstead.dev/v1alpha1\nkind: Host\nmetadata:\n"));
  EXPECT_THAT(yaml.out, HasSubstr("\n  name: uat\n"));
  EXPECT_EQ(json::parse(run({"get", "host/uat", "-o", "json"}).out), stored("Host", "", "uat"));
  const json list = json::parse(run({"get", "hosts", "-o", "json"}).out);
  EXPECT_EQ(list["kind"], "List");
  EXPECT_EQ(list["items"].size(), 1u);
  EXPECT_EQ(run({"get", "bp", "-o", "name"}).out, "backuppolicy.roadstead.dev/montagu-base\n");
  EXPECT_EQ(run({"get", "hosts", "-l", "tier=x", "-o", "name"}).out, "");
}

// A watch prints the rows there are, then each change under the same columns, until it is interrupted.
TEST_F(CliTest, WatchesRows) {
  ASSERT_EQ(run({"apply", "-f", "-"}, kHost).code, kExitOk);
  SharedText shared;
  std::ostream out(&shared);
  std::istringstream in;
  std::ostringstream err;
  std::jthread watching([&] { run_with({"get", "hosts", "-w"}, hooks(in, out, err)); });
  ASSERT_TRUE(eventually([&] { return shared.text().find("uat") != std::string::npos; }));
  json host = stored("Host", "", "uat");
  host["status"]["engineVersion"] = "20.10.24";
  ASSERT_TRUE(api.store().update_status(host, {}));
  EXPECT_TRUE(eventually([&] { return shared.text().find("20.10.24") != std::string::npos; })) << shared.text();
  interrupted = true;
  watching.join();
  EXPECT_EQ(err.str(), "");
  const std::string text = shared.text();
  EXPECT_EQ(text.find("NAME"), text.rfind("NAME")) << "the header comes once";
}

// An object that was quiet for longer than the server keeps changes is followed all the same.
TEST_F(CliTest, WatchesOneQuietObject) {
  ASSERT_EQ(run({"apply", "-f", "-"}, kHost).code, kExitOk);
  // What happened after it is forgotten, as soon as something is written.
  for (const char* name : {"a", "b"}) {
    ASSERT_TRUE(api.store().create({{"apiVersion", "roadstead.dev/v1alpha1"},
                                    {"kind", "Host"},
                                    {"metadata", {{"name", name}}},
                                    {"spec", {{"engine", {{"endpoint", "unix:///x"}}}}}},
                                   {}));
    clock.advance(2h);
  }
  auto too_old = api.store().watch("Host", {}, stored("Host", "", "uat")["metadata"]["resourceVersion"]).value();
  const auto expired = too_old->next(0ms, {});
  ASSERT_TRUE(!expired && expired.error().kind == ErrorKind::Expired);
  SharedText shared;
  std::ostream out(&shared);
  std::istringstream in;
  std::ostringstream err;
  std::jthread watching([&] { run_with({"get", "host", "uat", "-w"}, hooks(in, out, err)); });
  ASSERT_TRUE(eventually([&] { return shared.text().find("uat") != std::string::npos; }));
  json host = stored("Host", "", "uat");
  host["status"]["engineVersion"] = "20.10.24";
  ASSERT_TRUE(api.store().update_status(host, {}));
  EXPECT_TRUE(eventually([&] { return shared.text().find("20.10.24") != std::string::npos; })) << shared.text();
  interrupted = true;
  watching.join();
  EXPECT_EQ(err.str(), "");
  EXPECT_EQ(run({"get", "host", "ghost", "-w"}).err,
            "Error from server (NotFound): hosts.roadstead.dev \"ghost\" not found\n");
}

// ---- describe

// All of an object, its conditions and its own events, counted.
TEST_F(CliTest, Describes) {
  ASSERT_EQ(run({"apply", "-f", "-"}, kPolicy).code, kExitOk);
  const json policy = stored("BackupPolicy", "default", "montagu-base");
  const EventRecord event{
      {"BackupPolicy", "default", "montagu-base"}, policy["metadata"]["uid"], true, "RunMissed", "the deadline passed"};
  ASSERT_TRUE(api.store().record(event));
  clock.advance(2min);
  ASSERT_TRUE(api.store().record(event));
  ASSERT_TRUE(api.store().record({{"BackupPolicy", "default", "another"}, "", true, "Other", "not mine"}));
  const Ran ran = run({"describe", "bp", "montagu-base"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_THAT(ran.out, StartsWith("Name:         montagu-base\nNamespace:    default\n"));
  EXPECT_THAT(
      ran.out,
      HasSubstr("  Schedule:\n    Cron:         0 0 1 * *\n    Jitter Seconds: 0\n    Time Zone:    Europe/London\n"));
  EXPECT_THAT(ran.out, HasSubstr("Warning"));
  EXPECT_THAT(ran.out, HasSubstr("0s (x2 over 2m)"));
  EXPECT_THAT(ran.out, Not(HasSubstr("not mine")));
}

// ---- delete and wait

// By name, by file, and what is not there.
TEST_F(CliTest, Deletes) {
  const std::string both = file("site.yaml", std::string(kHost) + "---\n" + kPolicy);
  ASSERT_EQ(run({"apply", "-f", both}).code, kExitOk);
  EXPECT_EQ(run({"delete", "host", "uat"}).out, "host.roadstead.dev \"uat\" deleted\n");
  const Ran again = run({"delete", "host/uat"});
  EXPECT_EQ(again.code, kExitError);
  EXPECT_EQ(again.err, "Error from server (NotFound): hosts.roadstead.dev \"uat\" not found\n");
  EXPECT_EQ(run({"delete", "host/uat", "--ignore-not-found"}).code, kExitOk);
  EXPECT_EQ(run({"delete", "-f", both, "--ignore-not-found"}).out,
            "backuppolicy.roadstead.dev \"montagu-base\" deleted\n");
  EXPECT_THAT(run({"delete", "hosts"}).err, HasSubstr("name what is to be deleted"));
}

// A finalizer holds: the wait runs out with the reason; without --wait it returns at once; when the finalizer goes, so
// does the wait.
TEST_F(CliTest, WaitsForTheEndOfADeletion) {
  json host{{"apiVersion", "roadstead.dev/v1alpha1"},
            {"kind", "Host"},
            {"metadata", {{"name", "uat"}, {"finalizers", {"roadstead.dev/test"}}}},
            {"spec", {{"engine", {{"endpoint", "unix:///x"}}}}}};
  ASSERT_TRUE(api.store().create(host, {}));
  EXPECT_EQ(run({"delete", "host/uat", "--wait=false"}).code, kExitOk);
  const Ran late = run({"delete", "host/uat", "--timeout", "200ms"});
  EXPECT_EQ(late.code, kExitError);
  EXPECT_THAT(
      late.err,
      HasSubstr("timed out waiting for the deletion of host.roadstead.dev/uat; its finalizers are still there"));
  Ran ran;
  std::jthread waiting([&] { ran = run({"wait", "host/uat", "--for=delete", "--timeout=10s"}); });
  json dying = stored("Host", "", "uat");
  dying["metadata"]["finalizers"] = json::array();
  ASSERT_TRUE(api.store().update(dying, {}));
  waiting.join();
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "host.roadstead.dev/uat deleted\n");
}

// A condition that comes while one waits; one that is there already; one that never comes; an object that is not there.
TEST_F(CliTest, WaitsForConditions) {
  ASSERT_EQ(run({"apply", "-f", "-"}, kHost).code, kExitOk);
  Ran ran;
  std::jthread waiting([&] { ran = run({"wait", "hst", "uat", "--for=condition=Reachable", "--timeout=20s"}); });
  const auto set = [&](const std::string& value) {
    json host = stored("Host", "", "uat");
    host["status"]["conditions"] = {{{"type", "Reachable"},
                                     {"status", value},
                                     {"reason", "Test"},
                                     {"message", ""},
                                     {"lastTransitionTime", "2026-11-22T09:41:07Z"}}};
    const auto written = api.store().update_status(host, {});
    ASSERT_TRUE(written) << written.error().message;
  };
  set("False");
  set("True");
  waiting.join();
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_EQ(ran.out, "host.roadstead.dev/uat condition met\n");
  EXPECT_EQ(run({"wait", "host/uat", "--for=condition=reachable=true"}).code, kExitOk);
  EXPECT_EQ(run({"wait", "host/uat", "--for=jsonpath={.spec.engine.endpoint}=unix:///var/run/docker.sock"}).code,
            kExitOk);
  const Ran never = run({"wait", "host/uat", "--for=condition=Reachable=False", "--timeout=200ms"});
  EXPECT_EQ(never.code, kExitError);
  EXPECT_EQ(never.err, "error: timed out waiting for the condition on hosts/uat\n");
  EXPECT_EQ(run({"wait", "host/ghost", "--for=condition=Reachable"}).err,
            "Error from server (NotFound): hosts.roadstead.dev \"ghost\" not found\n");
  EXPECT_THAT(run({"wait", "host/uat", "--for=luck"}).err, HasSubstr("write condition=NAME"));
}

// ---- backup

/// The only Backup there is; null before there is one.
json only_backup(ResourceClient& store) {
  const auto all = store.list("Backup", {});
  return all && all->items.size() == 1 ? all->items.front() : json();
}

void end_backup(ResourceClient& store, const std::string& type, const std::string& message) {
  json object = only_backup(store);
  object["status"] = {{"phase", type == "Complete" ? "Succeeded" : "Failed"},
                      {"progress", {{"percent", 100}}},
                      {"conditions",
                       {{{"type", "Complete"},
                         {"status", type == "Complete" ? "True" : "False"},
                         {"reason", "Test"},
                         {"message", message},
                         {"lastTransitionTime", "2026-11-22T09:41:07Z"}},
                        {{"type", "Failed"},
                         {"status", type == "Failed" ? "True" : "False"},
                         {"reason", "Test"},
                         {"message", message},
                         {"lastTransitionTime", "2026-11-22T09:41:07Z"}}}}};
  const auto written = store.update_status(object, {});
  ASSERT_TRUE(written) << written.error().message;
}

TEST_F(CliTest, MakesABackupByHand) {
  ASSERT_EQ(run({"apply", "-f", "-"}, kPolicy).code, kExitOk);
  const Ran ran = run({"backup", "montagu-base"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  const json made = only_backup(api.store());
  ASSERT_TRUE(made.is_object());
  const std::string name = made["metadata"]["name"];
  EXPECT_EQ(ran.out, "backup.roadstead.dev/" + name + " created\n");
  EXPECT_THAT(name, StartsWith("montagu-base-"));
  EXPECT_EQ(made["spec"]["policyRef"]["name"], "montagu-base");
  EXPECT_EQ(run({"backup", "montagu-base"}).code, kExitOk) << "each has a name of its own";
}

TEST_F(CliTest, MakesNoBackupOfAPolicyThatIsNotThere) {
  const Ran ran = run({"backup", "ghost", "-n", "other"});
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_THAT(ran.err, HasSubstr("NotFound"));
  EXPECT_THAT(ran.err, HasSubstr("ghost"));
  EXPECT_TRUE(only_backup(api.store()).is_null());
}

TEST_F(CliTest, WatchesABackupToItsEnd) {
  ASSERT_EQ(run({"apply", "-f", "-"}, kPolicy).code, kExitOk);
  for (const auto& [type, code] : {std::pair("Complete", kExitOk), std::pair("Failed", kExitError)}) {
    Ran ran;
    std::jthread watching([&] { ran = run({"backup", "montagu-base", "--watch"}); });
    ASSERT_TRUE(eventually([&] { return only_backup(api.store()).is_object(); }));
    end_backup(api.store(), type, "That is how it ended.");
    watching.join();
    EXPECT_EQ(ran.code, code) << ran.err;
    EXPECT_THAT(ran.out, HasSubstr("[####################] 100%"));
    EXPECT_THAT(ran.out, HasSubstr("That is how it ended."));
    const json object = only_backup(api.store());
    ASSERT_TRUE(api.store().remove({"Backup", "default", object["metadata"]["name"]}, {}));
  }
}

// ---- verify

constexpr const char* kVolumePolicy = R"(apiVersion: roadstead.dev/v1alpha1
kind: BackupPolicy
metadata: {name: outpack}
spec:
  source: {hostRef: {name: production2}, volumes: [{name: outpack}]}
  destinations: [{hostRef: {name: annex2}}]
  schedule: {cron: "@daily"}
)";

TEST_F(CliTest, AsksForAVerificationAndTellsWhatItFound) {
  const ObjectKey key{"BackupPolicy", "default", "outpack"};
  for (const int damaged : {0, 2}) {
    ASSERT_EQ(run({"apply", "-f", "-"}, kVolumePolicy).code, kExitOk);
    Ran ran;
    std::jthread watching([&] { ran = run({"verify", "outpack", "--watch"}); });
    std::string asked;
    ASSERT_TRUE(eventually([&] {
      const auto annotations = api.store().get(key).value()["metadata"].value("annotations", json::object());
      asked = annotations.value("roadstead.dev/verify", "");
      return !asked.empty();
    }));
    json object = api.store().get(key).value();
    object["status"]["repositories"] = {{{"host", "annex2"},
                                         {"sourceHost", "production2"},
                                         {"volume", "outpack"},
                                         {"snapshots", 3},
                                         {"lastVerifiedTime", asked},
                                         {"damagedExtents", damaged},
                                         {"damagedFiles", {"default.b10: data/index"}}}};
    ASSERT_TRUE(api.store().update_status(object, {}));
    watching.join();
    EXPECT_EQ(ran.code, damaged == 0 ? kExitOk : kExitError) << ran.err;
    EXPECT_THAT(ran.out, HasSubstr("backuppolicy.roadstead.dev/outpack is being verified\n"));
    EXPECT_THAT(ran.out, HasSubstr(damaged == 0 ? "annex2/production2/outpack: 3 snapshots, no damage"
                                                : "2 pieces of data damaged or missing\n  default.b10: data/index"));
    ASSERT_TRUE(api.store().remove(key, {}));
  }
}

TEST_F(CliTest, VerifiesNoBaseBackups) {
  ASSERT_EQ(run({"apply", "-f", "-"}, kPolicy).code, kExitOk);
  const Ran ran = run({"verify", "montagu-base"});
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_THAT(ran.err, HasSubstr("its base backups are barman's to check"));
}

// ---- status and version

// The screen from real objects.
TEST_F(CliTest, ShowsTheStatus) {
  ASSERT_EQ(run({"apply", "-f", "-"}, std::string(kHost) + "---\n" + kPolicy).code, kExitOk);
  const Ran ran = run({"status"});
  EXPECT_EQ(ran.code, kExitOk) << ran.err;
  EXPECT_THAT(ran.out, StartsWith("Roadstead at https://127.0.0.1:"));
  EXPECT_THAT(ran.out, HasSubstr("\nuat    unknown     -"));
  EXPECT_THAT(ran.out, HasSubstr("montagu-base   waiting   never"));
  EXPECT_THAT(ran.out, HasSubstr("Nothing is running"));
}

TEST_F(CliTest, TellsVersions) {
  EXPECT_EQ(run({"version"}).out, "Client Version: v0.1.0\nServer Version: v0.1.0\n");
  EXPECT_EQ(run({"version", "--client"}).out, "Client Version: v0.1.0\n");
}

// An operator that has gone: one sentence with what to do.
TEST_F(CliTest, SaysThatTheOperatorIsNotRunning) {
  api.server().stop();
  const Ran ran = run({"get", "hosts"});
  EXPECT_EQ(ran.code, kExitError);
  EXPECT_THAT(ran.err, StartsWith("error: cannot connect to https://127.0.0.1:"));
  EXPECT_THAT(ran.err, HasSubstr("is the operator running? (roadstead operator --data " + api.directory() + ")"));
}

}  // namespace
}  // namespace roadstead::cli
