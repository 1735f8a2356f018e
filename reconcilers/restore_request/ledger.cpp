#include "reconcilers/restore_request/ledger.h"

#include <algorithm>
#include <charconv>

namespace roadstead::reconcilers::restore {

std::vector<Application> to_stop(const crds::RestoreRequest& request, const std::vector<Application>& all) {
  const auto& stop = request.spec.applications.stop;
  if (stop.mode == crds::StopMode::None) return {};
  const auto listed = [&](const Application& one) {
    if (std::ranges::find(stop.containers, one.name) != stop.containers.end()) return true;
    return one.compose && std::ranges::find(stop.compose_projects, one.compose->project) != stop.compose_projects.end();
  };
  std::vector<Application> out;
  for (const auto& one : all)
    if (one.runs && (one.mounts_target || listed(one))) out.push_back(one);
  std::ranges::stable_sort(out, [](const Application& a, const Application& b) {
    return std::pair(a.mounts_target, a.name) < std::pair(b.mounts_target, b.name);
  });
  return out;
}

bool extend_ledger(std::vector<crds::LedgerEntry>& ledger, const std::vector<Application>& applications) {
  bool grown = false;
  for (const auto& one : applications) {
    if (std::ranges::any_of(ledger, [&](const auto& entry) { return is_same(entry, one); })) continue;
    crds::LedgerEntry entry;
    entry.compose = one.compose;
    entry.name = one.name;
    entry.id = one.id;
    entry.restart_policy = one.restart_policy;
    entry.order = static_cast<std::int64_t>(ledger.size());
    entry.was_paused = one.paused;
    ledger.push_back(std::move(entry));
    grown = true;
  }
  return grown;
}

bool is_same(const crds::LedgerEntry& entry, const Application& application) {
  if (entry.compose && application.compose)
    return entry.compose->project == application.compose->project &&
           entry.compose->service == application.compose->service &&
           entry.compose->number == application.compose->number;
  return entry.name == application.name;
}

RestartPolicy parse_restart_policy(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos) return {text.empty() ? "no" : text, 0};
  RestartPolicy policy{text.substr(0, colon), 0};
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), policy.maximum);
  return policy;
}

}  // namespace roadstead::reconcilers::restore
