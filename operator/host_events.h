#pragma once

#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "operator/base/names.h"
#include "operator/base/runnable.h"
#include "reconcilers/support/hosts.h"

namespace roadstead {

/// Turns what happens to our containers on every host into keys to look at: one thread per Host follows its engine's
/// events, and is replaced when the Host changes. Once a stream is open all containers of this installation are listed,
/// so that nothing that happened before is missed. Only wakes: what it says is never believed, the reconcilers look for
/// themselves.
class HostEvents final : public Runnable {
 public:
  using Wake = std::function<void(const ObjectKey&)>;

  static constexpr Millis kHostsInterval{5'000};

  /// References outlive it. `wake` is called from several threads. `interval`: how often Hosts are looked at.
  HostEvents(ResourceClient& api, reconcilers::Hosts& hosts, std::string installation, Wake wake,
             Millis interval = kHostsInterval);

  ~HostEvents() override { stop(); }

  [[nodiscard]] std::string name() const override { return "host events"; }
  [[nodiscard]] Result<void> start() override;
  void stop() override;

 private:
  struct Follower {
    std::string version;  ///< Of the Host it was begun with: another one may be reached elsewhere.
    std::jthread thread;
  };

  /// Keeps one follower per Host until `stop` is asked for; then ends them all.
  void run(const std::stop_token& stop);
  void keep_followers(const std::vector<crds::Host>& hosts);
  void follow(const std::string& host, const std::stop_token& stop);
  Result<void> follow_once(const std::string& host, const std::stop_token& stop);
  Result<void> wake_all(Engine& engine, const Limits& limits);

  ResourceClient& api_;
  reconcilers::Hosts& hosts_;
  const std::string installation_;
  const Wake wake_;
  const Millis interval_;
  std::map<std::string, Follower> followers_;  // only run() touches it
  std::jthread thread_;                        // last, so that it joins first
};

}  // namespace roadstead
