#include "operator/host_events.h"

#include <condition_variable>
#include <mutex>

#include "crds/host.h"
#include "operator/base/log.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead {
namespace {

using reconcilers::label::kInstallation;

constexpr Millis kReconnectPause{2'000};

/// Waits for `time`, less if `stop` is asked for; true if it was.
bool wait_or_stop(Millis time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, time, [] { return false; });
  return stop.stop_requested();
}

/// The same as long as nobody changed the Host's spec.
std::string version_of(const crds::Host& host) {
  return fmt::format("{} {}", host.metadata.uid, host.metadata.generation);
}

/// "exec_start: psql …", "archive-path", …: an exec or a file copied in or out changes nothing of a container's state.
bool is_own_look(const std::string& action) {
  return action.starts_with("exec_") || action == "archive-path" || action == "extract-to-dir" || action == "top";
}

}  // namespace

HostEvents::HostEvents(ResourceClient& api, reconcilers::Hosts& hosts, std::string installation, Wake wake,
                       Millis interval)
    : api_(api), hosts_(hosts), installation_(std::move(installation)), wake_(std::move(wake)), interval_(interval) {}

Result<void> HostEvents::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
  return {};
}

void HostEvents::stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void HostEvents::run(const std::stop_token& stop) {
  bool told = false;
  do {
    const auto all = reconcilers::list<crds::Host>(api_);
    if (all) keep_followers(*all);
    if (!all && !told)
      log_warning("the hosts cannot be listed: new ones are not followed", {{"error", all.error().message}});
    told = !all;
  } while (!wait_or_stop(interval_, stop));
  for (auto& [name, follower] : followers_) follower.thread.request_stop();
  followers_.clear();
}

void HostEvents::keep_followers(const std::vector<crds::Host>& hosts) {
  std::map<std::string, std::string> versions;
  for (const crds::Host& host : hosts) versions[host.metadata.name] = version_of(host);
  const auto is_old = [&](const auto& follower) {
    const auto now = versions.find(follower.first);
    return now == versions.end() || now->second != follower.second.version;
  };
  for (auto& follower : followers_)
    if (is_old(follower)) follower.second.thread.request_stop();
  std::erase_if(followers_, is_old);
  for (const auto& [name, version] : versions)
    if (!followers_.contains(name))
      followers_[name] = {version,
                          std::jthread([this, host = name](const std::stop_token& own) { follow(host, own); })};
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
  const Limits limits{.stop = stop};
  Result<void> listed;
  auto ended = handle->engine->events(
      {{std::string(kInstallation), installation_}},
      [&](const EngineEvent& event) {
        if (event.type == kStreamOpened) {
          wake_({std::string(crds::Kind<crds::Host>::kind), {}, host});
          listed = wake_all(*handle->engine, limits);
          return listed.has_value();
        }
        // What the reconcilers do themselves while they look is no news: it would wake them for ever.
        if (is_own_look(event.action)) return !stop.stop_requested();
        if (const auto owner = reconcilers::owner_of(event.attributes, installation_)) wake_(*owner);
        return !stop.stop_requested();
      },
      limits);
  return listed ? ended : listed;
}

Result<void> HostEvents::wake_all(Engine& engine, const Limits& limits) {
  auto containers = engine.list_containers({{std::string(kInstallation), installation_}}, limits);
  if (!containers) return tl::unexpected(containers.error());
  for (const ContainerSummary& container : *containers)
    if (const auto owner = reconcilers::owner_of(container.labels, installation_)) wake_(*owner);
  return {};
}

}  // namespace roadstead
