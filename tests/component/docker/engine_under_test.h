#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "operator/base/result.h"
#include "operator/ports/fd_stream.h"

namespace roadstead::test {

/// A directory below /tmp (socket addresses are short), removed with everything in it.
class TemporaryDirectory {
 public:
  explicit TemporaryDirectory(const std::string& name);
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// A child process; killed when it goes out of scope, and when this process dies.
class Child {
 public:
  Child() = default;
  Child(const std::vector<std::string>& command, const std::filesystem::path& log);
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Child& operator=(Child&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  ~Child() { end(); }
  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running();
  void end();

 private:
  pid_t pid_ = -1;
};

/// Runs to the end; throws if it fails.
void run(const std::vector<std::string>& command, const std::filesystem::path& log);

/// True as soon as `condition` is, false if it was not within `time`.
bool eventually(std::chrono::milliseconds time, const std::function<bool()>& condition);

/// A real Docker Engine in a process, mount and network namespace of its own, without networks. Killing the first
/// process of its namespace kills engine and containers at once, as a power failure would.
class EngineUnderTest {
 public:
  EngineUnderTest();
  ~EngineUnderTest();
  EngineUnderTest(const EngineUnderTest&) = delete;
  EngineUnderTest& operator=(const EngineUnderTest&) = delete;

  [[nodiscard]] const std::filesystem::path& directory() const { return directory_.path(); }
  [[nodiscard]] std::string socket() const { return directory() / "docker.sock"; }
  void start();  ///< Returns when it answers; throws with its log's end if it does not.
  void kill();

 private:
  TemporaryDirectory directory_{"roadstead-docker-test"};
  std::string cgroup_;
  Child holder_;    // unshare
  UniqueFd first_;  // the namespace's first process; readable when all of the namespace is gone
};

/// An sshd on a loopback port with keys of its own, logging root in by key.
class SshdUnderTest {
 public:
  /// `environment`: "NAME=value" for what is run there.
  SshdUnderTest(const std::filesystem::path& directory, bool allow_stream_local_forwarding,
                const std::string& environment = {});
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] const std::string& identity() const { return identity_; }        ///< A key it accepts.
  [[nodiscard]] const std::string& known_hosts() const { return known_hosts_; }  ///< Its host key's line.
  void start();
  /// Stops (SIGSTOP) or continues (SIGCONT) all of its processes: a host that is silent, not gone.
  void freeze(bool frozen) const;
  void stop();  ///< Also ends the connections, as a host that goes away in order.

 private:
  std::filesystem::path directory_;
  std::uint16_t port_;
  std::string identity_, known_hosts_;
  Child daemon_;
};

/// A new ed25519 key; returns the private key's text.
std::string make_key(const std::filesystem::path& file);

/// The path of a tar archive of a root directory with a static busybox under the names the tests call.
std::filesystem::path busybox_root(const std::filesystem::path& directory);

std::string content_of(const std::filesystem::path& file);

/// Open descriptors and threads of this process.
std::size_t open_descriptors();
std::size_t running_threads();

}  // namespace roadstead::test
