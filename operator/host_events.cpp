#include "operator/host_events.h"

#include <condition_variable>
#include <mutex>
#include <set>

#include "crds/host.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead {
namespace {

using reconcilers::label::kInstallation;

constexpr Millis kHostsInterval{5'000};
constexpr Millis kReconnectPause{2'000};
// An engine may have nothing to tell for days; a dead connection is noticed by the transport's own keep-alive.
constexpr Millis kSilence = std::chrono::hours(24 * 365);

/// Waits for `time`, less if `stop` is asked for; true if it was.
bool wait_or_stop(Millis time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, time, [] { return false; });
  return stop.stop_requested();
}

/// "exec_start: psql …", "archive-path", …: an exec or a file copied in or out changes nothing of a container's state.
bool is_own_look(const std::string& action) {
  return action.starts_with("exec_") || action == "archive-path" || action == "extract-to-dir" || action == "top";
}

}  // namespace

HostEvents::HostEvents(ResourceClient& api, reconcilers::Hosts& hosts, std::string installation, Wake wake)
    : api_(api), hosts_(hosts), installation_(std::move(installation)), wake_(std::move(wake)) {}

Result<void> HostEvents::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  return {};
}

void HostEvents::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void HostEvents::run(const std::stop_token& stop) {
  do {
    auto all = reconcilers::list<crds::Host>(api_);
    if (!all) continue;
    std::set<std::string> names;
    for (const crds::Host& host : *all) names.insert(host.metadata.name);
    std::erase_if(followers_, [&](const auto& follower) { return !names.contains(follower.first); });
    for (const std::string& name : names)
      if (!followers_.contains(name))
        followers_.emplace(name, [this, name](const std::stop_token& own) { follow(name, own); });
  } while (!wait_or_stop(kHostsInterval, stop));
  for (auto& [name, thread] : followers_) thread.request_stop();
  followers_.clear();
}

void HostEvents::follow(const std::string& host, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    (void)follow_once(host, stop);  // why it ended is the Host reconciler's to find and tell
    wake_({std::string(crds::Kind<crds::Host>::kind), {}, host});
    wait_or_stop(kReconnectPause, stop);
  }
}

Result<void> HostEvents::follow_once(const std::string& host, const std::stop_token& stop) {
  auto handle = hosts_.get(host);
  if (!handle) return tl::unexpected(handle.error());
  Limits limits{.stop = stop};
  if (auto listed = wake_all(host, *handle->engine, limits); !listed) return listed;
  limits.idle = kSilence;
  return handle->engine->events(
      {{std::string(kInstallation), installation_}},
      [&](const EngineEvent& event) {
        // What the reconcilers do themselves while they look is no news: it would wake them for ever.
        if (is_own_look(event.action)) return !stop.stop_requested();
        if (const auto owner = reconcilers::owner_of(event.attributes, installation_)) wake_(*owner);
        return !stop.stop_requested();
      },
      limits);
}

Result<void> HostEvents::wake_all(const std::string& host, Engine& engine, const Limits& limits) {
  auto containers = engine.list_containers({{std::string(kInstallation), installation_}}, limits);
  if (!containers) return tl::unexpected(containers.error());
  wake_({std::string(crds::Kind<crds::Host>::kind), {}, host});
  for (const ContainerSummary& container : *containers)
    if (const auto owner = reconcilers::owner_of(container.labels, installation_)) wake_(*owner);
  return {};
}

}  // namespace roadstead
