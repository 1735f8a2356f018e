// The real program: killed at every stage and run again.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <thread>

#include "mover/address.h"
#include "mover/contract/job.h"
#include "scratch.h"

extern char** environ;

namespace roadstead::mover {
namespace {

using namespace testing;
using namespace std::chrono_literals;

constexpr std::string_view kHexDigits = "0123456789abcdef";

/// A running roadstead-mover; killed at the end if it still runs.
class Process {
 public:
  Process(const fs::path& directory, const std::string& name, const Job& job, const std::string& key)
      : key_(directory / (name + ".key")), output_(directory / (name + ".out")) {
    const std::string job_file = directory / (name + ".json");
    write_file(job_file, to_json(job));
    write_file(key_, key);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, output_.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    std::vector<std::string> words = {ROADSTEAD_MOVER, "--job", job_file, "--key", key_.string()};
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    EXPECT_EQ(::posix_spawn(&pid_, ROADSTEAD_MOVER, &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  ~Process() {
    kill(SIGKILL);
    wait(5s);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void kill(int signal) const {
    if (pid_ > 0 && !status_) ::kill(pid_, signal);
  }

  /// True when it ended within `limit`.
  bool wait(std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!status_) {
      int status = 0;
      if (::waitpid(pid_, &status, WNOHANG) == pid_)
        status_ = status;
      else if (std::chrono::steady_clock::now() > deadline)
        return false;
      else
        std::this_thread::sleep_for(1ms);
    }
    return true;
  }

  [[nodiscard]] bool running() { return !wait(0ms); }

  [[nodiscard]] int exit_code() const { return status_ && WIFEXITED(*status_) ? WEXITSTATUS(*status_) : -1; }

  [[nodiscard]] std::vector<Line> lines() const {
    std::vector<Line> lines;
    std::ifstream file(output_);
    for (std::string text; std::getline(file, text);)
      if (auto line = parse_line(text)) lines.push_back(*line);
    return lines;
  }

  [[nodiscard]] WorkerResult result() const {
    const auto all = lines();
    if (all.empty() || !std::holds_alternative<WorkerResult>(all.back())) return {};
    return std::get<WorkerResult>(all.back());
  }

  [[nodiscard]] const fs::path& key() const { return key_; }

 private:
  fs::path key_;
  fs::path output_;
  pid_t pid_ = -1;
  std::optional<int> status_;
};

class Program : public ::testing::Test {
 protected:
  void SetUp() override { fs::create_directories(scratch_ / "volume/_data"); }

  static std::uint16_t free_port() { return port_of(listen_on("127.0.0.1", 0)->get()); }

  Link link(LinkMode mode, std::uint16_t port) const {
    Link link;
    link.mode = mode;
    link.address = "127.0.0.1";
    link.port = port;
    link.connections = 3;
    link.transfer = "default.uat.db/copy." + std::to_string(attempt_);
    link.wait_seconds = 20;
    return link;
  }

  /// Both ends of a new attempt, with a new key.
  struct Attempt {
    std::unique_ptr<Process> sender;
    std::unique_ptr<Process> receiver;
    void wait() const {
      EXPECT_TRUE(sender->wait(60s));
      EXPECT_TRUE(receiver->wait(60s));
    }
  };

  Attempt start(bool sender_serves) {
    ++attempt_;
    const std::string key(64, kHexDigits[static_cast<std::size_t>(attempt_) % 16]);
    const std::uint16_t port = free_port();
    const Link serve = link(LinkMode::Serve, port), call = link(LinkMode::Call, port);
    const auto start_one = [&](const std::string& name, Copy job) {
      return std::make_unique<Process>(scratch_ / ".", name + std::to_string(attempt_), std::move(job), key);
    };
    Attempt attempt;
    attempt.sender = start_one("sender", {Role::Send, sender_serves ? serve : call, source_, std::nullopt});
    attempt.receiver = start_one("receiver", {Role::Receive, sender_serves ? call : serve, std::nullopt, target_});
    return attempt;
  }

  /// Bytes on the disk below the staged tree.
  std::uint64_t staged_bytes() const {
    std::uint64_t bytes = 0;
    std::error_code ignored;
    for (const auto& entry : fs::recursive_directory_iterator(tree_, ignored)) {
      struct stat status {};
      if (::lstat(entry.path().c_str(), &status) == 0 && S_ISREG(status.st_mode))
        bytes += static_cast<std::uint64_t>(status.st_blocks) * 512;
    }
    return bytes;
  }

  Scratch scratch_;
  Source source_{scratch_.str() + "/source", {}, std::nullopt};
  Target target_{scratch_.str() + "/volume", "default.uat.db"};
  fs::path tree_ = scratch_ / "volume/.roadstead/default.uat.db/tree";
  int attempt_ = 0;
};

/// Who is killed, and after how many of a hundred bytes.
struct Kill {
  bool sender;
  bool sender_serves;
  int percent;
};

class Killed : public Program, public ::testing::WithParamInterface<Kill> {};

TEST_P(Killed, TheNextAttemptGoesOnFromThereAndSendsNothingTwice) {
  constexpr std::uint64_t kSlack = std::uint64_t{6} << 20;  // extents half written, and blocks of small files
  make_tree(scratch_ / "source");
  write_file(scratch_ / "source/large/one", noise(24 << 20, 11));
  write_file(scratch_ / "source/large/two", noise(16 << 20, 12));
  const std::uint64_t total = (40 << 20) + (7 << 20);

  Attempt first = start(GetParam().sender_serves);
  Process& victim = GetParam().sender ? *first.sender : *first.receiver;
  Process& other = GetParam().sender ? *first.receiver : *first.sender;
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (victim.running() && staged_bytes() * 100 < total * static_cast<std::uint64_t>(GetParam().percent) &&
         std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(1ms);
  victim.kill(SIGKILL);
  ASSERT_TRUE(victim.wait(10s));
  if (GetParam().percent == 0) other.kill(SIGTERM);  // they may not have met yet; the operator would not wait either
  ASSERT_TRUE(other.wait(20s)) << "the other end ends by itself";
  const WorkerResult left = other.result();
  EXPECT_FALSE(left.ok) << left.message;
  EXPECT_TRUE(left.reason == "ConnectionLost" || GetParam().percent == 0) << left.reason << ": " << left.message;
  const std::uint64_t present = staged_bytes();

  const Attempt second = start(GetParam().sender_serves);
  second.wait();
  const WorkerResult received = second.receiver->result(), sent = second.sender->result();
  ASSERT_TRUE(received.ok) << received.message;
  ASSERT_TRUE(sent.ok) << sent.message;
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
  const CopyData data = parse_copy_data(sent.data).value();
  EXPECT_EQ(data.bytes_done, data.bytes_total);
  EXPECT_LE(data.bytes_sent, data.bytes_total - std::min(data.bytes_total, present - std::min(present, kSlack)))
      << present << " bytes were there";
}

INSTANTIATE_TEST_SUITE_P(Stages, Killed,
                         ::testing::Values(Kill{false, true, 0}, Kill{false, true, 10}, Kill{false, false, 50},
                                           Kill{false, true, 85}, Kill{true, true, 0}, Kill{true, false, 10},
                                           Kill{true, true, 50}, Kill{true, false, 85}),
                         [](const auto& kill) {
                           return std::string(kill.param.sender ? "Sender" : "Receiver") +
                                  (kill.param.sender_serves == kill.param.sender ? "Serving" : "Calling") +
                                  std::to_string(kill.param.percent);
                         });

TEST_F(Program, ManyTimesKilledItStillComesToTheEnd) {
  write_file(scratch_ / "source/large", noise(60 << 20, 11));
  for (int i = 0; i < 150; ++i)
    write_file(scratch_ / "source/small" / std::to_string(i), noise(5000, static_cast<unsigned>(i)));
  std::uint64_t before = 0;
  for (int kills = 0; kills < 6; ++kills) {
    Attempt attempt = start(kills % 2 == 0);
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (staged_bytes() < before + (4U << 20) && attempt.receiver->running() &&
           std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(1ms);
    attempt.receiver->kill(SIGKILL);
    attempt.sender->kill(SIGKILL);
    before = staged_bytes();
  }
  const Attempt last = start(true);
  last.wait();
  EXPECT_TRUE(last.receiver->result().ok) << last.receiver->result().message;
  EXPECT_EQ(snapshot(tree_), snapshot(scratch_ / "source"));
}

TEST_F(Program, ProgressKnowsItsTotalAndNeverGoesBackwards) {
  write_file(scratch_ / "source/large", noise(60 << 20, 11));
  const Attempt attempt = start(true);
  attempt.wait();
  for (const Process* process : {attempt.sender.get(), attempt.receiver.get()}) {
    const auto lines = process->lines();
    ASSERT_FALSE(lines.empty());
    Progress last;
    for (const Line& line : lines) {
      const auto* progress = std::get_if<Progress>(&line);
      if (!progress) continue;
      EXPECT_GE(progress->bytes_done, last.bytes_done);
      EXPECT_GE(progress->files_done, last.files_done);
      EXPECT_TRUE(!last.bytes_total || progress->bytes_total == last.bytes_total);
      EXPECT_TRUE(progress->bytes_total || progress->bytes_done == 0);
      last = *progress;
    }
    EXPECT_TRUE(std::holds_alternative<WorkerResult>(lines.back()));
    EXPECT_TRUE(process->result().ok);
    EXPECT_EQ(process->exit_code(), 0);
    EXPECT_FALSE(fs::exists(process->key())) << "the key is gone";
  }
}

TEST_F(Program, ToldToStopItSaysCancelled) {
  write_file(scratch_ / "source/f", "x");
  Process lonely(scratch_ / ".", "lonely", Copy{Role::Send, link(LinkMode::Serve, free_port()), source_, std::nullopt},
                 std::string(64, 'a'));
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (lonely.lines().empty() && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
  lonely.kill(SIGTERM);
  ASSERT_TRUE(lonely.wait(5s));
  EXPECT_EQ(lonely.result().reason, "Cancelled");
  EXPECT_EQ(lonely.exit_code(), 1);
}

TEST_F(Program, BadInputGetsOneSentence) {
  Process no_key(scratch_ / ".", "nokey", Connect{link(LinkMode::Call, 1)}, "not a key");
  ASSERT_TRUE(no_key.wait(5s));
  EXPECT_EQ(no_key.result().reason, "InvalidKey");
  Process no_source(scratch_ / ".", "nosource", Inspect{std::nullopt, false, Source{"/no/such/path", {}, std::nullopt}},
                    "");
  ASSERT_TRUE(no_source.wait(5s));
  EXPECT_EQ(no_source.result().reason, "NotFound");
  EXPECT_EQ(no_source.result().message, "Open directory /no/such/path: No such file or directory.");
}

}  // namespace
}  // namespace roadstead::mover
