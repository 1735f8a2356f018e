#include "tests/component/docker/engine_under_test.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace roadstead::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// The engine's socket takes connections long before it answers on them.
bool engine_answers(const std::string& path) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) return false;
  const std::string ask = "GET /_ping HTTP/1.0\r\n\r\n";
  char first = 0;
  return ::send(socket.get(), ask.data(), ask.size(), MSG_NOSIGNAL) > 0 &&
         wait_for_fd(socket.get(), POLLIN, std::chrono::seconds(5), {}) && ::recv(socket.get(), &first, 1, 0) == 1;
}

bool port_answers(const sockaddr_in& address) {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

std::uint16_t free_port() {
  const UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  auto address = loopback(0);
  socklen_t size = sizeof(address);
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("no free port");
  return ntohs(address.sin_port);
}

pid_t first_child_of(pid_t pid) {
  std::ifstream children("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  pid_t child = -1;
  children >> child;
  return children ? child : -1;
}

void write_file(const fs::path& file, const std::string& content) { std::ofstream(file) << content; }

std::size_t entries_of(const char* directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

}  // namespace

TemporaryDirectory::TemporaryDirectory(const std::string& name) {
  std::string pattern = "/tmp/" + name + ".XXXXXX";
  if (!::mkdtemp(pattern.data())) throw std::runtime_error("mkdtemp " + pattern);
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

Child::Child(const std::vector<std::string>& command, const fs::path& log) {
  std::vector<char*> arguments;
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const UniqueFd output(::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  ::dup2(::open("/dev/null", O_RDONLY), 0);
  ::dup2(output.get(), 1);
  ::dup2(output.get(), 2);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

bool Child::running() { return pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) == 0; }

void Child::end() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void run(const std::vector<std::string>& command, const fs::path& log) {
  const Child child(command, log);
  int status = 0;
  if (::waitpid(child.pid(), &status, 0) < 0 || status != 0)
    throw std::runtime_error(command.front() + " failed: " + content_of(log));
}

bool eventually(std::chrono::milliseconds time, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

EngineUnderTest::EngineUnderTest() : cgroup_(directory().filename()) { start(); }

EngineUnderTest::~EngineUnderTest() {
  kill();
  std::error_code ignored;
  std::vector<fs::path> groups;
  for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup", ignored))
    groups.push_back(hierarchy.path() / cgroup_);
  groups.push_back(fs::path("/sys/fs/cgroup") / cgroup_);
  for (const auto& group : groups) {  // its containers' groups first
    for (const auto& inner : fs::directory_iterator(group, ignored)) ::rmdir(inner.path().c_str());
    ::rmdir(group.c_str());
  }
}

void EngineUnderTest::start() {
  const auto log = directory() / "dockerd.log";
  fs::remove(directory() / "pid");  // stale numbers may be other processes by now
  fs::remove_all(directory() / "exec");
  holder_ = Child({"unshare",
                   "--net",
                   "--mount",
                   "--propagation",
                   "private",
                   "--pid",
                   "--fork",
                   "--kill-child",
                   "--mount-proc",
                   "tini",
                   "-s",
                   "--",
                   "dockerd",
                   "--bridge=none",
                   "--iptables=false",
                   "--ip-forward=false",
                   "--exec-opt",
                   "native.cgroupdriver=cgroupfs",
                   "--cgroup-parent",
                   "/" + cgroup_,
                   "--data-root",
                   directory() / "data",
                   "--exec-root",
                   directory() / "exec",
                   "--pidfile",
                   directory() / "pid",
                   "-H",
                   "unix://" + socket()},
                  log);
  const bool up = eventually(30s, [&] { return engine_answers(socket()) || !holder_.running(); });
  if (!up || !holder_.running()) throw std::runtime_error("dockerd does not come up: " + content_of(log));
  first_ = UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, first_child_of(holder_.pid()), 0)));
}

void EngineUnderTest::kill() {
  if (!first_) return;
  ::syscall(SYS_pidfd_send_signal, first_.get(), SIGKILL, nullptr, 0);
  (void)wait_for_fd(first_.get(), POLLIN, std::chrono::seconds(30), {});
  first_.reset();
  holder_.end();
}

SshdUnderTest::SshdUnderTest(const fs::path& directory, bool allow_stream_local_forwarding,
                             const std::string& environment)
    : directory_(directory), port_(free_port()) {
  fs::create_directories(directory_);
  fs::create_directories("/run/sshd");  // sshd wants it, whatever its configuration says
  make_key(directory_ / "host_key");
  identity_ = make_key(directory_ / "identity");
  fs::copy_file(directory_ / "identity.pub", directory_ / "authorized_keys", fs::copy_options::overwrite_existing);
  known_hosts_ = "[127.0.0.1]:" + std::to_string(port_) + " " + content_of(directory_ / "host_key.pub");
  std::ostringstream config;
  config
      << "Port " << port_ << "\nListenAddress 127.0.0.1\nHostKey " << (directory_ / "host_key").string()
      << "\nPidFile none\n"
      << "AuthorizedKeysFile " << (directory_ / "authorized_keys").string()
      << "\nStrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n"
      // A login shell reads the start-up files of the person at this machine otherwise: slow, and none of our business.
      << "SetEnv HOME=" << directory_.string() << " " << environment << "\n"
      << "PasswordAuthentication no\nLogLevel VERBOSE\nAllowStreamLocalForwarding "
      << (allow_stream_local_forwarding ? "yes" : "no") << "\n";
  write_file(directory_ / "sshd_config", config.str());
  start();
}

void SshdUnderTest::start() {
  // In a process namespace of its own, so that its end is the end of its connections' processes too.
  daemon_ = Child(
      {"unshare", "--pid", "--fork", "--kill-child", "/usr/sbin/sshd", "-D", "-e", "-f", directory_ / "sshd_config"},
      directory_ / "sshd.log");
  if (!eventually(10s, [&] { return port_answers(loopback(port_)); }))
    throw std::runtime_error("sshd does not come up: " + content_of(directory_ / "sshd.log"));
}

void SshdUnderTest::freeze(bool frozen) const {
  std::vector<pid_t> tree{daemon_.pid()};
  for (std::size_t i = 0; i < tree.size(); ++i) {
    std::ifstream children("/proc/" + std::to_string(tree[i]) + "/task/" + std::to_string(tree[i]) + "/children");
    for (pid_t child = 0; children >> child;) tree.push_back(child);
  }
  for (const auto pid : tree) ::kill(pid, frozen ? SIGSTOP : SIGCONT);
}

void SshdUnderTest::stop() {
  daemon_.end();
  eventually(10s, [&] { return !port_answers(loopback(port_)); });
}

std::string make_key(const fs::path& file) {
  fs::remove(file);
  run({"ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file}, file.string() + ".log");
  return content_of(file);
}

fs::path busybox_root(const fs::path& directory) {
  const auto root = directory / "root";
  const auto tar = directory / "busybox.tar";
  fs::create_directories(root / "bin");
  fs::create_directories(root / "tmp");
  fs::create_directories(root / "data");
  write_file(root / "data" / "from-the-image", "x");
  fs::copy_file("/bin/busybox", root / "bin" / "busybox", fs::copy_options::overwrite_existing);
  for (const auto* name :
       {"sh", "cat", "sleep", "echo", "id", "head", "tee", "stat", "dd", "true", "sha256sum", "wc", "ls", "yes"})
    fs::create_symlink("busybox", root / "bin" / name);
  run({"tar", "-C", root, "--owner=0", "--group=0", "-cf", tar, "."}, directory / "tar.log");
  return tar;
}

std::string content_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::size_t open_descriptors() { return entries_of("/proc/self/fd"); }
std::size_t running_threads() { return entries_of("/proc/self/task"); }

}  // namespace roadstead::test
