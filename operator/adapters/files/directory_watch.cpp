#include "operator/adapters/files/directory_watch.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>

#include "operator/base/log.h"

namespace roadstead::files {
namespace {

constexpr std::uint32_t kInteresting = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
                                       IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

}  // namespace

DirectoryWatch::DirectoryWatch()
    : inotify_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)), stopped_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (inotify_ < 0)
    log_warning("manifests are not watched, only read again at times", {{"error", std::strerror(errno)}});
}

DirectoryWatch::~DirectoryWatch() {
  if (inotify_ >= 0) ::close(inotify_);
  if (stopped_ >= 0) ::close(stopped_);
}

bool DirectoryWatch::watch(const std::vector<std::filesystem::path>& directories) {
  if (inotify_ < 0) return false;
  bool added = false;
  for (const auto& directory : directories) {
    const int watch = ::inotify_add_watch(inotify_, directory.c_str(), kInteresting);
    if (watch >= 0)
      added |= watches_.insert(watch).second;
    else if (errno != ENOENT)
      log_warning("a manifest directory is not watched, only read again at times",
                  {{"directory", directory.string()}, {"error", std::strerror(errno)}});
  }
  return added;
}

void DirectoryWatch::wait(Millis longest, Millis quiet, const std::stop_token& stop) {
  const std::stop_callback wake(stop, [this] {
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(stopped_, &one, sizeof one);
  });
  if (!changed_within(longest)) return;
  // Whoever writes one file usually writes more.
  for (int i = 0; i < 10 && !stop.stop_requested() && changed_within(quiet); ++i) take_events();
}

bool DirectoryWatch::changed_within(Millis limit) {
  std::array<pollfd, 2> ends = {pollfd{stopped_, POLLIN, 0}, pollfd{inotify_, POLLIN, 0}};
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    const auto left = std::chrono::ceil<Millis>(deadline - std::chrono::steady_clock::now()).count();
    const int ready = ::poll(ends.data(), ends.size(), static_cast<int>(left > 0 ? left : 0));
    if (ready < 0 && errno == EINTR) continue;
    return ready > 0 && (ends[1].revents & POLLIN) != 0;
  }
}

void DirectoryWatch::take_events() const {
  std::array<char, std::size_t{16} << 10> buffer;
  while (::read(inotify_, buffer.data(), buffer.size()) > 0) {
  }
}

}  // namespace roadstead::files
