#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <thread>

#include "tests/component/store/store_fixture.h"

namespace roadstead::store {
namespace {

using nlohmann::json;

constexpr int kKills = 12;
constexpr int kWriters = 4;
constexpr int kAcknowledgedPerRound = 40;

json host(const std::string& name) {
  return {{"apiVersion", "roadstead.dev/v1alpha1"},
          {"kind", "Host"},
          {"metadata", {{"name", name}}},
          {"spec", {{"engine", {{"endpoint", "unix:///var/run/docker.sock"}}}}}};
}

/// In the child: several writers make hosts for ever; each name goes into the pipe after the store has answered.
[[noreturn]] void write_for_ever(const std::filesystem::path& data, int round, int pipe) {
  SystemClock clock;
  auto store = open_store(data, clock);
  if (!store) ::_exit(1);
  std::vector<std::jthread> writers;
  for (int w = 0; w < kWriters; ++w)
    writers.emplace_back([&, w] {
      for (int n = 0;; ++n) {
        const std::string name = fmt::format("r{}-w{}-n{}", round, w, n);
        if (!(*store)->create(host(name), {})) ::_exit(2);
        const std::string line = name + "\n";
        if (::write(pipe, line.data(), line.size()) < 0) ::_exit(3);
      }
    });
  for (auto& writer : writers) writer.join();
  ::_exit(0);
}

/// The names that came through the pipe; kills the child after so many, then takes what is left in it.
std::set<std::string> kill_after(pid_t child, int pipe, int lines) {
  std::string text;
  char buffer[4096];
  bool alive = true;
  for (ssize_t got = 0; (got = ::read(pipe, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
    if (alive && std::count(text.begin(), text.end(), '\n') >= lines) {
      ::kill(child, SIGKILL);
      alive = false;
    }
  }
  std::set<std::string> names;
  for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
    names.insert(text.substr(begin, end - begin));
  return names;
}

TEST(StoreKill, NoAcknowledgedWriteIsLostWhenTheProcessIsKilled) {
  TemporaryDirectory directory;
  const auto data = directory.path() / "data";
  std::set<std::string> acknowledged;
  std::uint64_t last_version = 0;
  for (int round = 0; round < kKills; ++round) {
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      ::close(ends[0]);
      write_for_ever(data, round, ends[1]);
    }
    ::close(ends[1]);
    acknowledged.merge(kill_after(child, ends[0], kAcknowledgedPerRound + round * 7));
    ::close(ends[0]);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the child ended by itself: " << status;

    SystemClock clock;
    auto store = open_store(data, clock);
    ASSERT_TRUE(store) << store.error().message;
    const auto list = (*store)->list("Host", {});
    ASSERT_TRUE(list);
    std::set<std::string> kept;
    std::uint64_t newest = 0;
    for (const json& item : list->items) {
      kept.insert(item.at("metadata").at("name"));
      newest =
          std::max<std::uint64_t>(newest, std::stoull(item.at("metadata").at("resourceVersion").get<std::string>()));
    }
    for (const std::string& name : acknowledged) EXPECT_TRUE(kept.contains(name)) << name << " was acknowledged";
    EXPECT_EQ(newest, std::stoull(list->resource_version)) << "the sequence is that of the last write";
    EXPECT_GT(newest, last_version);
    last_version = newest;
  }
}

}  // namespace
}  // namespace roadstead::store
