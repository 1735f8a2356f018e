#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <mutex>
#include <thread>

#include "operator/adapters/docker/engine_factory.h"
#include "operator/adapters/ssh/ssh_transport.h"
#include "tests/component/docker/engine_under_test.h"

/// Every call of the Engine port against a real engine, the same tests over each way to reach it.
namespace roadstead {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using SteadyClock = std::chrono::steady_clock;

enum class Way { Unix, SshForward, SshDialStdio };

std::string name_of(const testing::TestParamInfo<Way>& info) {
  switch (info.param) {
    case Way::Unix:
      return "Unix";
    case Way::SshForward:
      return "SshForward";
    case Way::SshDialStdio:
      return "SshDialStdio";
  }
  return {};
}

/// What all tests share: one engine, two sshds before it.
struct World {
  World()
      : forwarding(engine.directory() / "forwarding", true),
        no_forwarding(engine.directory() / "no-forwarding", false) {}
  test::EngineUnderTest engine;
  test::SshdUnderTest forwarding, no_forwarding;

  [[nodiscard]] EngineEndpoint endpoint(Way way) const {
    const auto over = [this](const test::SshdUnderTest& sshd) {
      return EngineEndpoint{fmt::format("ssh://root@127.0.0.1:{}{}", sshd.port(), engine.socket()), sshd.identity(),
                            sshd.known_hosts()};
    };
    switch (way) {
      case Way::Unix:
        return {"unix://" + engine.socket(), {}, {}};
      case Way::SshForward:
        return over(forwarding);
      case Way::SshDialStdio:
        return over(no_forwarding);
    }
    return {};
  }
};

ByteSource source_of(std::string content) {
  auto rest = std::make_shared<std::string>(std::move(content));
  auto at = std::make_shared<std::size_t>(0);
  return [rest, at]() -> Result<std::span<const std::byte>> {
    const auto piece = std::as_bytes(std::span(*rest).subspan(*at, std::min<std::size_t>(100'000, rest->size() - *at)));
    *at += piece.size();
    return piece;
  };
}

template <class T>
std::string message_of(const Result<T>& result) {
  return result ? "no error" : fmt::format("{}: {}", to_string(result.error().kind), result.error().message);
}

template <class T>
std::optional<ErrorKind> kind_of(const Result<T>& result) {
  return result ? std::nullopt : std::optional(result.error().kind);
}

#define ASSERT_OK(result) \
  if (const auto& ok_ = (result); !ok_) FAIL() << message_of(ok_)

class EngineOver : public testing::TestWithParam<Way> {
 protected:
  static void SetUpTestSuite() {
    world = std::make_unique<World>();
    const auto engine = make(Way::Unix);
    const auto tar = test::content_of(test::busybox_root(world->engine.directory()));
    const std::vector<std::string> changes{R"(CMD ["sh"])"};
    const auto imported = engine->import_image(source_of(tar), "busybox:test", changes, {});
    if (!imported) throw std::runtime_error(message_of(imported));
  }
  static void TearDownTestSuite() { world.reset(); }

  void SetUp() override { engine = make(GetParam()); }
  void TearDown() override {
    const auto left = make(Way::Unix);
    const auto containers = left->list_containers({{"test", ""}}, {});
    ASSERT_OK(containers);
    for (const auto& container : *containers) (void)left->remove_container(container.name, true, {});
  }

  static std::shared_ptr<Engine> make(Way way) {
    docker::DockerEngineFactory factory(ssh::make_ssh_transport);
    return factory.make(world->endpoint(way)).value();
  }

  /// A shell script as a container.
  static ContainerSpec script(const std::string& name, const std::string& text) {
    ContainerSpec spec;
    spec.name = name;
    spec.image = "busybox:test";
    spec.command = {"sh", "-c", text};
    spec.network_mode = "none";
    spec.labels = {{"test", "yes"}, {"name", name}};
    spec.init = true;
    return spec;
  }

  void run_script(const std::string& name, const std::string& text) {
    ASSERT_OK(engine->create_container(script(name, text), {}));
    ASSERT_OK(engine->start_container(name, {}));
  }

  static inline std::unique_ptr<World> world;
  std::shared_ptr<Engine> engine;
};

TEST_P(EngineOver, SaysWhatItIs) {
  const auto info = engine->info({});
  ASSERT_OK(info);
  EXPECT_FALSE(info->id.empty());
  EXPECT_FALSE(info->version.empty());
  EXPECT_THAT(info->api_version, testing::StartsWith("1."));
  EXPECT_EQ(info->root_directory, world->engine.directory() / "data");
  EXPECT_GT(info->cpus, 0);
  EXPECT_GT(info->memory_bytes, 0);
  EXPECT_EQ(info->user_namespace, "");
}

TEST_P(EngineOver, RunsAContainerFromCreateToRemove) {
  auto spec = script("life", "echo started; trap 'exit 7' TERM; while :; do sleep 0.05; done");
  spec.environment = {"WHO=me"};
  spec.stop_timeout = 5s;
  const auto id = engine->create_container(spec, {});
  ASSERT_OK(id);
  auto seen = engine->inspect_container("life", {});
  ASSERT_OK(seen);
  EXPECT_EQ(seen->id, *id);
  EXPECT_EQ(seen->name, "life");
  EXPECT_EQ(seen->image, "busybox:test");
  EXPECT_EQ(seen->state, ContainerState::Created);
  EXPECT_EQ(seen->restart_policy, "no");
  EXPECT_EQ(seen->labels, spec.labels);
  EXPECT_TRUE(seen->created_at);
  EXPECT_FALSE(seen->started_at);

  ASSERT_OK(engine->start_container("life", {}));
  ASSERT_OK(engine->start_container("life", {}));  // again: counts as started
  EXPECT_TRUE(test::eventually(10s, [&] { return engine->logs("life", {}, {})->size() == 1; }));  // the trap comes next
  const auto listed = engine->list_containers({{"name", "life"}, {"test", ""}}, {});
  ASSERT_OK(listed);
  ASSERT_EQ(listed->size(), 1U);
  EXPECT_EQ(listed->front().name, "life");
  EXPECT_EQ(listed->front().state, ContainerState::Running);
  EXPECT_THAT(*engine->list_containers({{"name", "other"}}, {}), IsEmpty());

  ASSERT_OK(engine->stop_container("life", 10s, {}));
  ASSERT_OK(engine->stop_container("life", 10s, {}));
  seen = engine->inspect_container("life", {});
  EXPECT_EQ(seen->state, ContainerState::Exited);
  EXPECT_TRUE(seen->exit_code == 7 || seen->exit_code == 143) << seen->exit_code;
  EXPECT_TRUE(seen->started_at && seen->finished_at && *seen->finished_at >= *seen->started_at);
  EXPECT_EQ(kind_of(engine->kill_container("life", "KILL", {})), ErrorKind::Conflict);
  ASSERT_OK(engine->remove_container("life", false, {}));
  ASSERT_OK(engine->remove_container("life", false, {}));
  EXPECT_EQ(kind_of(engine->inspect_container("life", {})), ErrorKind::NotFound);
}

TEST_P(EngineOver, NamesWhatIsMissingOrTaken) {
  const auto missing = engine->start_container("nobody", {});
  EXPECT_EQ(kind_of(missing), ErrorKind::NotFound);
  EXPECT_THAT(message_of(missing), HasSubstr("start container nobody: No such container: nobody"));
  auto spec = script("taken", "true");
  ASSERT_OK(engine->create_container(spec, {}));
  const auto again = engine->create_container(spec, {});
  EXPECT_EQ(kind_of(again), ErrorKind::Conflict) << message_of(again);
  spec.name = "no-image";
  spec.image = "busybox:none";
  const auto no_image = engine->create_container(spec, {});
  EXPECT_EQ(kind_of(no_image), ErrorKind::NotFound);
  EXPECT_THAT(message_of(no_image), HasSubstr("create container no-image: No such image"));
  EXPECT_EQ(kind_of(engine->inspect_container("", {})), ErrorKind::Invalid);
  EXPECT_EQ(kind_of(engine->inspect_image("busybox:none", {})), ErrorKind::NotFound);
  EXPECT_EQ(kind_of(engine->inspect_volume("none", {})), ErrorKind::NotFound);
  spec = script("bad-bind", "true");
  spec.mounts = {{MountSpec::Type::Bind, "/there/is/no/such/directory", "/data", false}};
  EXPECT_EQ(kind_of(engine->create_container(spec, {})), ErrorKind::Invalid);
}

TEST_P(EngineOver, WaitsForTheExitCode) {
  run_script("waited", "sleep 0.2; exit 42");
  const auto code = engine->wait_container("waited", {});
  ASSERT_OK(code);
  EXPECT_EQ(*code, 42);
  run_script("endless", "sleep 1000");
  Limits limits;
  limits.idle = 100ms;
  EXPECT_EQ(kind_of(engine->wait_container("endless", limits)), ErrorKind::Timeout);
}

TEST_P(EngineOver, ChangesRestartPoliciesAndPauses) {
  run_script("policy", "sleep 1000");
  ASSERT_OK(engine->set_restart_policy("policy", "on-failure", 3, {}));
  auto seen = engine->inspect_container("policy", {});
  EXPECT_EQ(seen->restart_policy, "on-failure");
  EXPECT_EQ(seen->restart_maximum, 3);
  ASSERT_OK(engine->set_restart_policy("policy", "no", 0, {}));
  EXPECT_EQ(engine->inspect_container("policy", {})->restart_policy, "no");
  EXPECT_EQ(kind_of(engine->unpause_container("policy", {})), ErrorKind::Conflict);
  ASSERT_OK(engine->pause_container("policy", {}));
  // containerd's word of it comes to the engine later than the answer to the call, and late words of the call before
  // too
  const auto becomes = [&](ContainerState state) {
    return test::eventually(10s, [&] { return engine->inspect_container("policy", {})->state == state; });
  };
  EXPECT_TRUE(becomes(ContainerState::Paused));
  EXPECT_EQ(kind_of(engine->pause_container("policy", {})), ErrorKind::Conflict);
  ASSERT_OK(engine->unpause_container("policy", {}));
  EXPECT_TRUE(becomes(ContainerState::Running));
}

TEST_P(EngineOver, ReadsTheLogsTailAndFollowsIt) {
  run_script("talker",
             "for i in 1 2 3 4 5; do echo line $i; done; echo oops >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; "
             "sleep 0.3; echo -n end");
  std::vector<std::string> followed;
  bool error_stream = false;
  std::size_t longest = 0;
  ASSERT_OK(engine->follow_logs("talker", {-1, {}},
                                [&](const LogLine& line) {
                                  if (line.text.size() < 100) followed.push_back(line.text);
                                  longest = std::max(longest, line.text.size());
                                  error_stream = error_stream || (line.error_stream && line.text == "oops");
                                  EXPECT_GT(line.time, Time(std::chrono::sys_days(std::chrono::year{2020} / 1 / 1)));
                                  return true;
                                },
                                {}));
  EXPECT_EQ(longest, 40'000U);  // three messages of the engine, one line
  EXPECT_THAT(followed, testing::IsSupersetOf({"line 1", "line 5", "oops", "end"}));
  EXPECT_EQ(followed.size(), 7U);
  EXPECT_TRUE(error_stream);

  const auto tail = engine->logs("talker", {1, {}}, {});
  ASSERT_OK(tail);
  ASSERT_EQ(tail->size(), 1U);
  EXPECT_EQ(tail->front().text, "end");
  const auto since = engine->logs("talker", {-1, tail->front().time}, {});
  ASSERT_OK(since);
  EXPECT_EQ(since->size(), 1U);
  int calls = 0;
  ASSERT_OK(engine->follow_logs("talker", {-1, {}}, [&](const LogLine&) { return ++calls < 2; }, {}));
  EXPECT_EQ(calls, 2);
}

TEST_P(EngineOver, ExecutesWithInputHalfCloseAndExitCode) {
  run_script("host", "sleep 1000");
  auto result =
      engine->exec("host", {{"sh", "-c", "cat; echo done; echo err $WHO >&2; exit 3"}, "", {"WHO=you"}, "hello\n"}, {});
  ASSERT_OK(result);
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->out, "hello\ndone\n");
  EXPECT_EQ(result->err, "err you\n");
  result = engine->exec("host", {{"id", "-u"}, "123", {}, ""}, {});
  ASSERT_OK(result);
  EXPECT_EQ(result->out, "123\n");
  EXPECT_EQ(engine->exec("host", {{"true"}, "", {}, std::string(5'000'000, 'x')}, {})->exit_code, 0)
      << "input nobody reads";
  const auto missing = engine->exec("host", {{"/no/such/program"}}, {});
  EXPECT_TRUE(!missing || missing->exit_code == 126 || missing->exit_code == 127) << message_of(missing);
  EXPECT_EQ(kind_of(engine->exec("nobody", {{"true"}}, {})), ErrorKind::NotFound);
  ASSERT_OK(engine->stop_container("host", 0s, {}));
  EXPECT_EQ(kind_of(engine->exec("host", {{"true"}}, {})), ErrorKind::Conflict);
}

TEST_P(EngineOver, ExecEchoesMebibytesBothWaysAndStopsAtItsLimit) {
  run_script("echo", "sleep 1000");
  std::string input(4 * 1024 * 1024, '\0');
  for (std::size_t i = 0; i < input.size(); ++i) input[i] = static_cast<char>(i * 2654435761U >> 13);
  const auto result = engine->exec("echo", {{"tee", "/dev/stderr"}, "", {}, input}, {});  // 8 MiB come back
  ASSERT_OK(result);
  EXPECT_TRUE(result->out == input && result->err == input);
  const auto too_much = engine->exec("echo", {{"cat"}, "", {}, input + "x"}, {});
  EXPECT_EQ(kind_of(too_much), ErrorKind::Invalid);
  EXPECT_THAT(message_of(too_much), HasSubstr("more than 4194304 bytes"));
  ExecSpec slow{{"sleep", "100"}};
  slow.time_limit = 200ms;
  const auto late = engine->exec("echo", slow, {});
  EXPECT_EQ(kind_of(late), ErrorKind::Timeout) << message_of(late);
}

TEST_P(EngineOver, CarriesArchivesUpAndDown) {
  ASSERT_OK(engine->create_container(script("archive", "cat /etc/app/config; stat -c '%u:%g %a' /etc/app/config"), {}));
  std::string big(3 * 1024 * 1024, '\0');
  for (std::size_t i = 0; i < big.size(); ++i) big[i] = static_cast<char>(i * 40503U >> 7);
  const std::vector<ArchiveFile> files{{"etc/app", {}, 0750, 999, 998, true},
                                       {"etc/app/config", "secret\n", 0640, 999, 998},
                                       {"etc/app/grün", "name beyond ASCII", 0600},
                                       {"etc/app/big", big, 0600}};
  ASSERT_OK(engine->upload("archive", "/", files, {}));  // before it ever ran
  const auto back = engine->download("archive", "/etc/app", 10'000'000, {});
  ASSERT_OK(back);
  ASSERT_EQ(back->size(), 3U);
  const auto find = [&](const std::string& path) {
    return *std::find_if(back->begin(), back->end(), [&](const auto& file) { return file.path == path; });
  };
  EXPECT_EQ(find("app/config").content, "secret\n");
  EXPECT_EQ(find("app/config").uid, 999U);
  EXPECT_EQ(find("app/config").gid, 998U);
  EXPECT_EQ(find("app/config").mode, 0640U);
  EXPECT_EQ(find("app/grün").content, "name beyond ASCII");
  EXPECT_TRUE(find("app/big").content == big);
  EXPECT_EQ(kind_of(engine->download("archive", "/etc/app", 1000, {})), ErrorKind::Invalid);
  EXPECT_EQ(kind_of(engine->download("archive", "/no/where", 1000, {})), ErrorKind::NotFound);
  EXPECT_EQ(kind_of(engine->upload("archive", "/no/where", files, {})), ErrorKind::NotFound);
  ASSERT_OK(engine->start_container("archive", {}));
  EXPECT_EQ(*engine->wait_container("archive", {}), 0);
  const auto log = engine->logs("archive", {}, {});
  ASSERT_EQ(log->size(), 2U);
  EXPECT_EQ(log->back().text, "999:998 640");
}

TEST_P(EngineOver, MountsAFreshVolumeEmptyAndMeasuresIt) {
  const auto created = engine->create_volume("fresh", {{"a", "b"}}, {});
  ASSERT_OK(created);
  EXPECT_EQ(created->driver, "local");
  EXPECT_EQ(created->labels, (Labels{{"a", "b"}}));
  ASSERT_OK(engine->create_volume("fresh", {}, {}));  // one that exists counts as created
  auto spec = script("mounts",
                     "ls -a /data; head -c 1000000 /dev/zero > /data/new; cat /host/dockerd.log | head -c 1 | wc -c; "
                     "echo x > /host/y || echo refused");
  spec.mounts = {{MountSpec::Type::Volume, "fresh", "/data", false},
                 {MountSpec::Type::Bind, world->engine.directory(), "/host", true}};
  ASSERT_OK(engine->create_container(spec, {}));
  ASSERT_OK(engine->start_container("mounts", {}));
  EXPECT_EQ(*engine->wait_container("mounts", {}), 0);
  std::vector<std::string> out;
  const auto lines = engine->logs("mounts", {}, {});
  for (const auto& line : *lines)
    if (!line.error_stream) out.push_back(line.text);
  EXPECT_THAT(out, ElementsAre(".", "..", "1", "refused"));  // the image's file is not in it
  const auto seen = engine->inspect_container("mounts", {});
  ASSERT_EQ(seen->mounts.size(), 2U);
  const auto& volume = seen->mounts[0].type == "volume" ? seen->mounts[0] : seen->mounts[1];
  EXPECT_EQ(volume.name, "fresh");
  EXPECT_EQ(volume.source, created->mountpoint);
  EXPECT_EQ(volume.destination, "/data");
  const auto usage = engine->disk_usage({});
  ASSERT_OK(usage);
  ASSERT_EQ(usage->size(), 1U);
  EXPECT_GE(usage->front().size_bytes.value_or(-1), 1'000'000);
  EXPECT_EQ(engine->list_volumes({})->front().name, "fresh");
  EXPECT_EQ(kind_of(engine->remove_volume("fresh", {})), ErrorKind::Conflict);  // in use
  ASSERT_OK(engine->remove_container("mounts", true, {}));
  ASSERT_OK(engine->remove_volume("fresh", {}));
}

TEST_P(EngineOver, ImportsAndLoadsImagesAndTellsErrorsInTheStream) {
  const auto tar = test::content_of(world->engine.directory() / "busybox.tar");
  const std::vector<std::string> changes{R"(ENTRYPOINT ["/bin/echo"])", R"(CMD ["from the image"])"};
  ASSERT_OK(engine->import_image(source_of(tar), "imported:1", changes, {}));
  const auto image = engine->inspect_image("imported:1", {});
  ASSERT_OK(image);
  EXPECT_THAT(image->id, testing::StartsWith("sha256:"));
  EXPECT_THAT(image->tags, Contains("imported:1"));
  EXPECT_GT(image->size_bytes, 1'000'000);
  ContainerSpec spec;
  spec.name = "imported";
  spec.image = "imported:1";
  spec.network_mode = "none";
  spec.labels = {{"test", "yes"}};
  ASSERT_OK(engine->create_container(spec, {}));
  ASSERT_OK(engine->start_container("imported", {}));
  EXPECT_EQ(*engine->wait_container("imported", {}), 0);
  EXPECT_EQ(engine->logs("imported", {}, {})->front().text, "from the image");

  const auto saved = world->engine.directory() / "saved.tar";
  test::run({"docker", "-H", "unix://" + world->engine.socket(), "save", "-o", saved, "busybox:test"},
            world->engine.directory() / "save.log");
  ASSERT_OK(engine->load_image(source_of(test::content_of(saved)), {}));
  const auto not_tar = engine->load_image(source_of(std::string(300'000, 'x')), {});
  EXPECT_FALSE(not_tar) << "no archive at all";
  EXPECT_THAT(message_of(not_tar), HasSubstr("load image: "));
  const auto cut = engine->import_image(source_of(tar.substr(0, tar.size() / 2)), "cut:1", {}, {});
  EXPECT_FALSE(cut) << "an archive cut short";
  EXPECT_EQ(kind_of(engine->inspect_image("cut:1", {})), ErrorKind::NotFound);
  const ByteSource fails = []() -> Result<std::span<const std::byte>> {
    return fail(ErrorKind::NotFound, "the archive is gone");
  };
  EXPECT_THAT(message_of(engine->load_image(fails, {})), HasSubstr("NotFound: load image: the archive is gone"));
}

TEST_P(EngineOver, TellsWhyAPullFailed) {
  const auto pulled =
      engine->pull_image("127.0.0.1:1/no/such:image", RegistryCredentials{"127.0.0.1:1", "me", "secret"}, {});
  ASSERT_FALSE(pulled);
  EXPECT_THAT(pulled.error().message, HasSubstr("pull image 127.0.0.1:1/no/such:image: "));
  EXPECT_THAT(pulled.error().message, testing::Not(HasSubstr("secret")));
}

TEST_P(EngineOver, StreamsTheEventsOfOneLabel) {
  std::mutex mutex;
  std::vector<std::string> seen;
  std::jthread listener([&](const std::stop_token& stop) {
    Limits limits;
    limits.stop = stop;
    const auto end = engine->events(
        {{"watched", "yes"}},
        [&](const EngineEvent& event) {
          const std::lock_guard lock(mutex);
          if (event.type == kStreamOpened) {
            seen.emplace_back("opened");
            return true;
          }
          seen.push_back(event.action + " " + event.attributes.at("name"));
          EXPECT_GT(event.time, Time(std::chrono::sys_days(std::chrono::year{2020} / 1 / 1)));
          return true;
        },
        limits);
    EXPECT_EQ(kind_of(end), ErrorKind::Cancelled) << message_of(end);
  });
  const auto count = [&](const std::string& text) {
    const std::lock_guard lock(mutex);
    return std::count(seen.begin(), seen.end(), text);
  };
  auto spec = script("seen", "true");
  spec.labels["watched"] = "yes";
  ASSERT_OK(engine->create_container(script("unseen", "true"), {}));
  // The listener may connect after the first event: make them until one is seen.
  EXPECT_TRUE(test::eventually(20s, [&] {
    (void)engine->remove_container("seen", true, {});
    (void)engine->create_container(spec, {});
    return count("create seen") > 0;
  }));
  ASSERT_OK(engine->start_container("seen", {}));
  EXPECT_TRUE(test::eventually(20s, [&] { return count("die seen") == 1; }));
  EXPECT_EQ(count("create unseen"), 0);
  EXPECT_EQ(count("opened"), 1);
  const std::lock_guard lock(mutex);
  EXPECT_EQ(seen.front(), "opened");
}

TEST_P(EngineOver, StopsEveryWaitingCallAtOnce) {
  run_script("quiet", "trap '' TERM; while :; do sleep 1000; done");
  const std::vector<std::pair<std::string, std::function<std::optional<ErrorKind>(const Limits&)>>> calls{
      {"events",
       [&](const Limits& limits) {
         return kind_of(engine->events(
             {}, [](const EngineEvent&) { return true; }, limits));
       }},
      {"logs",
       [&](const Limits& limits) {
         return kind_of(engine->follow_logs(
             "quiet", {}, [](const LogLine&) { return true; }, limits));
       }},
      {"wait", [&](const Limits& limits) { return kind_of(engine->wait_container("quiet", limits)); }},
      {"exec",
       [&](const Limits& limits) {
         return kind_of(engine->exec("quiet", {{"sleep", "100"}, "", {}, std::string(2'000'000, 'x')}, limits));
       }},
      {"stop", [&](const Limits& limits) { return kind_of(engine->stop_container("quiet", 100s, limits)); }}};
  for (const auto& [name, call] : calls) {
    std::stop_source source;
    Limits limits;
    limits.stop = source.get_token();
    std::optional<ErrorKind> kind;
    std::atomic<bool> ended = false;
    SteadyClock::time_point end;
    std::thread caller([&] {
      kind = call(limits);
      end = SteadyClock::now();
      ended = true;
    });
    EXPECT_FALSE(test::eventually(150ms, [&] { return ended.load(); })) << name << " did not wait";
    const auto asked = SteadyClock::now();
    source.request_stop();
    caller.join();
    EXPECT_EQ(kind, ErrorKind::Cancelled) << name;
    EXPECT_LT(end - asked, 250ms) << name;  // under 5 ms as a rule; the rest is for a busy machine
    RecordProperty(name + "_stopped_after_us", std::to_string((end - asked) / 1us));
  }
}

TEST_P(EngineOver, SurvivesTheEnginesDeathAndReturnWithoutLeaking) {
  run_script("victim", "while :; do echo tick; sleep 0.05; done");
  const auto before_descriptors = test::open_descriptors();
  const auto before_threads = test::running_threads();
  std::optional<Result<void>> events, logs;
  std::atomic<int> lines = 0;
  std::thread listener([&] { events = engine->events({}, [](const EngineEvent&) { return true; }, {}); });
  std::thread reader(
      [&] { logs = engine->follow_logs("victim", {}, [&](const LogLine&) { return ++lines > 0; }, {}); });
  EXPECT_TRUE(test::eventually(10s, [&] { return lines > 3; }));
  world->engine.kill();
  listener.join();
  reader.join();
  EXPECT_EQ(kind_of(*events), ErrorKind::Unavailable) << message_of(*events);
  EXPECT_EQ(kind_of(*logs), ErrorKind::Unavailable) << message_of(*logs);
  for (int i = 0; i < 5; ++i) {
    const auto down = engine->info({});
    ASSERT_EQ(kind_of(down), ErrorKind::Unavailable) << message_of(down);
  }
  const auto down = engine->info({});
  std::printf("while down: %s\n", message_of(down).c_str());
  world->engine.start();
  const auto up = engine->info({});
  ASSERT_OK(up);
  EXPECT_EQ(engine->inspect_container("victim", {})->state, ContainerState::Exited);
  // Up to four idle connections and one ssh session stay.
  EXPECT_LE(test::open_descriptors(), before_descriptors + 4);
  EXPECT_LE(test::running_threads(), before_threads);
  engine.reset();
  engine = make(GetParam());
  for (int i = 0; i < 20; ++i) ASSERT_OK(engine->info({}));
  EXPECT_LE(test::open_descriptors(), before_descriptors + 1);
}

INSTANTIATE_TEST_SUITE_P(Real, EngineOver, testing::Values(Way::Unix, Way::SshForward, Way::SshDialStdio), name_of);

}  // namespace
}  // namespace roadstead
