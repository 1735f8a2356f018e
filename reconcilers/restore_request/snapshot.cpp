#include "reconcilers/restore_request/snapshot.h"

#include <algorithm>
#include <set>

#include "operator/base/rfc3339.h"
#include "reconcilers/restore_request/record.h"

namespace roadstead::reconcilers::restore {
namespace {

/// Keeps the order and each place once; those of one host stand together, and the target's own come first.
void put_in_order(std::vector<SnapshotPlace>& places, const std::string& target) {
  std::vector<std::string> hosts{target};
  for (const auto& place : places)
    if (std::ranges::find(hosts, place.host) == hosts.end()) hosts.push_back(place.host);
  std::vector<SnapshotPlace> ordered;
  for (const auto& host : hosts)
    for (const auto& place : places)
      if (place.host == host && std::ranges::find(ordered, place) == ordered.end()) ordered.push_back(place);
  places = std::move(ordered);
}

/// A person chose the repository: the same directories of that host.
void choose_host(std::vector<SnapshotPlace>& places, const std::optional<crds::NameRef>& host) {
  if (!host) return;
  for (auto& place : places) place.host = host->name;
}

/// The hosts whose volumes a policy's snapshots come from.
std::vector<std::string> source_hosts_of(const crds::BackupPolicy& policy,
                                         const std::vector<crds::BackupPolicy>& policies) {
  const auto& source = policy.spec.source;
  if (!source.repository) return source.host_ref ? std::vector{source.host_ref->name} : std::vector<std::string>{};
  std::vector<std::string> hosts;
  for (const auto& ref : source.repository->policy_refs)
    for (const auto& other : policies)
      if (other.metadata.name == ref.name && other.spec.source.host_ref && !other.spec.source.repository)
        hosts.push_back(other.spec.source.host_ref->name);
  return hosts;
}

bool backs_up(const crds::BackupPolicy& policy, const std::string& volume) {
  return !policy.spec.source.repository &&
         std::ranges::any_of(policy.spec.source.volumes, [&](const auto& one) { return one.name == volume; });
}

bool is_of_policy(const crds::Backup& backup, const std::string& policy) {
  if (backup.spec.policy_ref) return backup.spec.policy_ref->name == policy;
  const auto label = backup.metadata.labels.find(std::string(crds::kPolicyLabel));
  return label != backup.metadata.labels.end() && label->second == policy;
}

/// The hosts that an off-site policy has snapshots of this volume from; of one that is gone what its Backups tell.
std::set<std::string> copied_from(const crds::BackupPolicy* policy, const std::string& name, const std::string& volume,
                                  const std::vector<crds::BackupPolicy>& policies,
                                  const std::vector<crds::Backup>& backups) {
  std::set<std::string> hosts;
  if (policy != nullptr && policy->spec.source.repository)
    for (const auto& ref : policy->spec.source.repository->policy_refs)
      for (const auto& other : policies)
        if (other.metadata.name == ref.name && other.spec.source.host_ref && backs_up(other, volume))
          hosts.insert(other.spec.source.host_ref->name);
  for (const auto& backup : backups)
    if (is_of_policy(backup, name))
      for (const auto& snapshot : backup.status.snapshots)
        if (snapshot.volume == volume) hosts.insert(snapshot.source_host);
  return hosts;
}

/// Snapshots of one name from several hosts are of different data: which is meant, only a person knows. Empty: they are
/// of one host.
std::string why_ambiguous(const std::string& whose, const std::string& volume, const std::set<std::string>& sources,
                          const std::vector<crds::BackupPolicy>& policies) {
  if (sources.size() < 2) return {};
  std::vector<std::string> makers;
  for (const auto& policy : policies)
    if (policy.spec.source.host_ref && sources.contains(policy.spec.source.host_ref->name) && backs_up(policy, volume))
      makers.push_back(fmt::format("{} (host {})", policy.metadata.name, policy.spec.source.host_ref->name));
  const std::string hosts =
      fmt::format("{} holds snapshots of volume {} from hosts {}", whose, volume, fmt::join(sources, ", "));
  if (makers.empty()) return hosts + "; name the Backup that made the one you mean in from.backupRef of a new request";
  return fmt::format(
      "{}; name the policy that makes those you mean in from.backupPolicyRef of a new request: {}; where "
      "to take them from can be said in from.hostRef",
      hosts, fmt::join(makers, ", "));
}

void want_policy(const crds::RestoreItem& item, const std::vector<crds::BackupPolicy>& policies,
                 const std::vector<crds::Backup>& backups, WantedSnapshot& wanted) {
  const std::string& name = item.from.backup_policy_ref->name;
  const auto policy = std::ranges::find(policies, name, [](const auto& one) { return one.metadata.name; });
  wanted.policies = {name};
  wanted.as_of = item.from.as_of;
  if (policy != policies.end()) {
    if (policy->spec.source.barman) {
      wanted.problem = fmt::format(
          "BackupPolicy {} makes base backups of BarmanServer {}; restore it with `from: "
          "{{barman: {{serverRef: {{name: {}}}, point: {{latest: true}}}}}}`",
          name, policy->spec.source.barman->server_ref.name, policy->spec.source.barman->server_ref.name);
      return;
    }
    // What is copied off site keeps the name of the policy that made it.
    if (policy->spec.source.repository)
      for (const auto& ref : policy->spec.source.repository->policy_refs) wanted.policies.push_back(ref.name);
    for (const auto& destination : policy->spec.destinations)
      for (const auto& source : source_hosts_of(*policy, policies))
        wanted.places.push_back({destination.host_ref.name, source, item.from.volume});
  }
  // A destination that the policy has no more, or a policy that is gone: its Backups still tell.
  for (const auto& backup : backups)
    if (is_of_policy(backup, name))
      for (const auto& snapshot : backup.status.snapshots)
        if (snapshot.volume == item.from.volume)
          wanted.places.push_back({snapshot.host, snapshot.source_host, snapshot.volume});
  const bool is_there = policy != policies.end();
  if (!is_there || policy->spec.source.repository)
    wanted.problem =
        why_ambiguous("BackupPolicy " + name, item.from.volume,
                      copied_from(is_there ? &*policy : nullptr, name, item.from.volume, policies, backups), policies);
  if (wanted.places.empty())
    wanted.problem =
        policy == policies.end()
            ? fmt::format("there is no BackupPolicy {} here, and no Backup that it made; correct from.backupPolicyRef",
                          name)
            : fmt::format("BackupPolicy {} names no host of volume {}; look at `roadstead describe backuppolicy {}`",
                          name, item.from.volume, name);
}

void want_backup(const crds::RestoreItem& item, const std::vector<crds::BackupPolicy>& policies,
                 const std::vector<crds::Backup>& backups, WantedSnapshot& wanted) {
  const std::string& name = item.from.backup_ref->name;
  const auto backup = std::ranges::find(backups, name, [](const auto& one) { return one.metadata.name; });
  if (backup == backups.end()) {
    wanted.problem = fmt::format("there is no Backup {} here; choose one of `roadstead get backups`", name);
    return;
  }
  std::set<std::string> volumes, sources;
  for (const auto& snapshot : backup->status.snapshots) {
    volumes.insert(snapshot.volume);
    if (!item.from.volume.empty() && snapshot.volume != item.from.volume) continue;
    sources.insert(snapshot.source_host);
    wanted.places.push_back({snapshot.host, snapshot.source_host, snapshot.volume});
    if (std::ranges::find(wanted.ids, snapshot.id) == wanted.ids.end()) wanted.ids.push_back(snapshot.id);
  }
  if (item.from.volume.empty() && volumes.size() > 1)
    wanted.problem = fmt::format(
        "Backup {} holds volumes {}; say in a new request which one: `from: {{backupRef: "
        "{{name: {}}}, volume: {}}}`",
        name, fmt::join(volumes, ", "), name, *volumes.begin());
  else if (backup->status.barman)
    wanted.problem = fmt::format(
        "Backup {} is base backup {} of BarmanServer {}; restore it with `from: {{barman: "
        "{{serverRef: {{name: {}}}, point: {{backupID: {}}}}}}}`",
        name, backup->status.barman->backup_id, backup->status.barman->server, backup->status.barman->server,
        backup->status.barman->backup_id);
  else if (wanted.places.empty())
    wanted.problem = fmt::format("Backup {} holds no snapshot{}; look at it: `roadstead describe backup {}`", name,
                                 item.from.volume.empty() ? std::string() : " of volume " + item.from.volume, name);
  else
    wanted.problem = why_ambiguous("Backup " + name, wanted.places.front().volume, sources, policies);
}

std::string why_none(const WantedSnapshot& wanted, std::size_t fitting, std::size_t whole, std::optional<Time> oldest) {
  const SnapshotPlace& place = wanted.places.front();
  if (!wanted.ids.empty())
    return fmt::format("the repository holds no snapshot {} of volume {} any more; choose another Backup",
                       fmt::join(wanted.ids, ", "), place.volume);
  const std::string& policy = wanted.policies.front();
  if (fitting == 0)
    return fmt::format("no snapshot of volume {} by BackupPolicy {} is there yet; make one: `roadstead backup {}`",
                       place.volume, policy, policy);
  if (whole == 0)
    return fmt::format(
        "every snapshot of volume {} by BackupPolicy {} lacks files that could not be read; to restore "
        "one of them name its Backup in from.backupRef of a new request",
        place.volume, policy);
  return fmt::format(
      "the oldest good snapshot of volume {} by BackupPolicy {} is of {}, after from.asOf; choose a "
      "later time in a new request",
      place.volume, policy, format_rfc3339(oldest.value_or(Time{})));
}

}  // namespace

WantedSnapshot wanted_snapshot(const crds::RestoreRequest& request, const crds::RestoreItem& item,
                               const std::vector<crds::BackupPolicy>& policies,
                               const std::vector<crds::Backup>& backups) {
  WantedSnapshot wanted;
  if (item.from.backup_policy_ref)
    want_policy(item, policies, backups, wanted);
  else if (item.from.backup_ref)
    want_backup(item, policies, backups, wanted);
  else
    wanted.problem = fmt::format("item {}: spec.items.from names no source", item.name);
  choose_host(wanted.places, item.from.host_ref);
  put_in_order(wanted.places, request.spec.target.host_ref.name);
  return wanted;
}

ChosenSnapshot choose_snapshot(const WantedSnapshot& wanted, const std::vector<SnapshotFound>& there,
                               const std::string& installation, const std::string& ns) {
  const SnapshotFound* newest = nullptr;
  std::size_t fitting = 0, whole = 0;
  std::optional<Time> oldest;
  for (const auto& one : there) {
    const auto origin = mover::parse_origin(one.seen.origin);
    const bool by_policy = origin && origin->installation == installation && origin->ns == ns &&
                           std::ranges::find(wanted.policies, origin->policy) != wanted.policies.end();
    if (wanted.ids.empty() ? !by_policy : std::ranges::find(wanted.ids, one.seen.id) == wanted.ids.end()) continue;
    fitting += 1;
    if (wanted.ids.empty() && one.seen.unreadable.count > 0) continue;
    whole += 1;
    if (!oldest || one.seen.data_as_of < *oldest) oldest = one.seen.data_as_of;
    // A time as it is printed, without a fraction, includes what was taken in that second.
    if (wanted.as_of && std::chrono::floor<std::chrono::seconds>(one.seen.data_as_of) > *wanted.as_of) continue;
    if (newest == nullptr || one.seen.data_as_of > newest->seen.data_as_of) newest = &one;
  }
  if (newest == nullptr) return {{}, why_none(wanted, fitting, whole, oldest)};
  return {*newest, {}};
}

}  // namespace roadstead::reconcilers::restore
