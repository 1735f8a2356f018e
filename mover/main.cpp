// roadstead-mover: does one job and prints one result (docs/mover.md).
// Exit code: 0 the result is ok, 1 it is not, 2 the command line is wrong.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>

#include "mover/files.h"
#include "mover/run.h"

namespace roadstead::mover {
namespace {

struct Arguments {
  std::string job{kJobPath};
  std::string key{kKeyPath};
};

/// One line, whole, to standard output: what the operator follows.
void print(const Line& line) {
  const std::string text = to_json(line) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

Outcome<std::string> read_file(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return failed_call(errno, "open {}", path);
  return content_of(file.get(), std::size_t{64} << 20);
}

/// The key is good for one session: nobody finds it in the container afterwards.
Outcome<Key> take_key(const std::string& path) {
  const auto text = read_file(path);
  if (!text) return failed(text.error());
  if (::unlink(path.c_str()) != 0) return failed_call(errno, "remove {}", path);
  return parse_key(*text);
}

/// SIGTERM and SIGINT ask for an end; they arrive at a thread that only waits for them.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    thread_ = std::thread([this] {
      int signal = 0;
      sigwait(&set_, &signal);
      source_.request_stop();
    });
  }
  ~Signals() {
    // NOLINTNEXTLINE(bugprone-bad-signal-to-kill-thread): blocked in every thread, taken by sigwait
    pthread_kill(thread_.native_handle(), SIGTERM);
    thread_.join();
  }
  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }

 private:
  sigset_t set_{};
  std::stop_source source_;
  std::thread thread_;
};

WorkerResult do_job(const Arguments& arguments, const std::stop_token& stop) {
  const auto text = read_file(arguments.job);
  if (!text) return result_of(text.error());
  const auto job = parse_job(*text);
  if (!job) return result_of({"InvalidJob", job.error().message, "correct the job"});
  Key key{};
  if (needs_key(*job)) {
    const auto taken = take_key(arguments.key);
    if (!taken) return result_of(taken.error());
    key = *taken;
  }
  Meter meter;
  const ProgressPrinter printer(meter, [](const Progress& progress) { print(progress); });
  return run(*job, key, stop, meter);
}

int main_of(const Arguments& arguments) {
  ::umask(0);  // modes are given as they are meant
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  const Signals signals;
  const WorkerResult result = do_job(arguments, signals.token());
  print(result);
  return result.ok ? 0 : 1;
}

}  // namespace
}  // namespace roadstead::mover

int main(int argc, char** argv) {
  roadstead::mover::Arguments arguments;
  for (int i = 1; i < argc; i += 2) {
    std::string* value = std::strcmp(argv[i], "--job") == 0   ? &arguments.job
                         : std::strcmp(argv[i], "--key") == 0 ? &arguments.key
                                                              : nullptr;
    if (!value || i + 1 == argc) {
      std::fprintf(stderr, "usage: roadstead-mover [--job FILE] [--key FILE]\n");
      return 2;
    }
    *value = argv[i + 1];
  }
  return roadstead::mover::main_of(arguments);
}
