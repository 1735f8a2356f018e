#pragma once

// Which containers a restore stops, and the ledger by which exactly those are started again.

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "crds/restore_request.h"

namespace roadstead::reconcilers::restore {

/// A container on the target, as far as a restore cares.
struct Application {
  std::string id, name;
  bool runs = false;           ///< Running, paused or restarting.
  bool mounts_target = false;  ///< Mounts a target volume, or binds a path under its mount point.
  bool paused = false;
  bool auto_remove = false;
  std::string restart_policy;  ///< "on-failure:5"
  std::optional<crds::ComposeIdentity> compose;
};

/// Which of them must be stopped: what mounts a target volume, what the request lists, and its compose projects.
/// In the order of stopping: those that mount a target volume last.
std::vector<Application> to_stop(const crds::RestoreRequest& request, const std::vector<Application>& all);

/// Adds to the ledger what is not in it yet; true if there was something.
bool extend_ledger(std::vector<crds::LedgerEntry>& ledger, const std::vector<Application>& applications);

/// True if `application` is the one of the entry: compose identity where it has one, else the name.
bool is_same(const crds::LedgerEntry& entry, const Application& application);

/// "on-failure:5" → {"on-failure", 5}.
struct RestartPolicy {
  std::string name;
  int maximum = 0;
};
RestartPolicy parse_restart_policy(const std::string& text);

/// What was stopped last comes first. The pointers live as long as the ledger is not changed.
template <class Ledger>
auto in_start_order(Ledger& ledger) {
  std::vector<decltype(ledger.data())> ordered;
  ordered.reserve(ledger.size());
  for (auto& entry : ledger) ordered.push_back(&entry);
  std::ranges::stable_sort(ordered, std::ranges::greater(), &crds::LedgerEntry::order);
  return ordered;
}

}  // namespace roadstead::reconcilers::restore
