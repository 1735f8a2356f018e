#include "reconcilers/backup_policy/places.h"

#include <algorithm>

namespace roadstead::reconcilers::backup_policy {
namespace {

using Fields = std::string;

Result<const crds::Host*> host_named(const Named& named, const std::string& name, const Fields& field) {
  const auto found = named.hosts.find(name);
  if (found != named.hosts.end()) return &found->second;
  return fail(ErrorKind::NotFound,
              "{}: there is no Host {}, so the runs wait; apply it, or correct the name (see: roadstead get hosts)",
              field, name);
}

Result<void> keeps_backups(const Named& named, const std::string& name, const Fields& field) {
  const auto host = host_named(named, name, field);
  if (!host) return tl::unexpected(host.error());
  if ((*host)->spec.repository) return {};
  return fail(ErrorKind::NotFound, "{}: Host {} keeps no backups; name a volume for them in its spec.repository.volume",
              field, name);
}

Result<void> has_volumes(const crds::Host& host, const std::vector<crds::SourceVolume>& volumes) {
  if (!crds::is_true(host.status.conditions, "Reachable")) return {};
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    const std::string& name = volumes[i].name;
    const auto& there = host.status.volumes;
    if (std::any_of(there.begin(), there.end(), [&](const auto& volume) { return volume.name == name; })) continue;
    return fail(
        ErrorKind::NotFound,
        "spec.source.volumes[{}]: there is no volume {} on host {}; create it, or correct the name (see: roadstead "
        "describe host {})",
        i, name, host.metadata.name, host.metadata.name);
  }
  return {};
}

bool goes_to(const crds::BackupPolicy& policy, const std::string& host) {
  const auto& destinations = policy.spec.destinations;
  return std::any_of(destinations.begin(), destinations.end(),
                     [&](const auto& one) { return one.host_ref.name == host; });
}

void add_places(Scope& scope, const crds::BackupPolicy& of, const std::vector<crds::Destination>& destinations) {
  if (!of.spec.source.host_ref) return;
  for (const crds::Destination& destination : destinations)
    for (const crds::SourceVolume& volume : of.spec.source.volumes)
      scope.places.push_back({destination.host_ref.name, of.spec.source.host_ref->name, volume.name});
}

/// One policy whose snapshots are copied.
Result<void> take_copied(Scope& scope, const crds::BackupPolicy& policy, const Named& named, const std::string& name,
                         const Fields& field) {
  const auto found = named.policies.find(name);
  if (found == named.policies.end())
    return fail(ErrorKind::NotFound,
                "{}: there is no BackupPolicy {} in namespace {}; apply it, or correct the name (see: roadstead get "
                "backuppolicies -n {})",
                field, name, policy.metadata.ns, policy.metadata.ns);
  const crds::BackupPolicy& copied = found->second;
  if (copied.spec.source.volumes.empty())
    return fail(ErrorKind::Invalid,
                "{}: BackupPolicy {} backs up no volumes itself; name the policies whose volumes are copied", field,
                name);
  for (const crds::Destination& destination : policy.spec.destinations)
    if (goes_to(copied, destination.host_ref.name))
      return fail(ErrorKind::Invalid,
                  "{}: BackupPolicy {} keeps its snapshots on host {} itself, and two policies would thin them out; "
                  "take the host out of one of them",
                  field, name, destination.host_ref.name);
  add_places(scope, copied, policy.spec.destinations);
  if (goes_to(copied, policy.spec.source.host_ref->name)) return {};
  return fail(ErrorKind::Invalid, "{}: BackupPolicy {} keeps nothing on host {} (its spec.destinations)", field, name,
              policy.spec.source.host_ref->name);
}

void first_of(Result<void>& kept, Result<void> other) {
  if (kept) kept = std::move(other);
}

}  // namespace

std::string to_text(const Place& place) { return fmt::format("{}/{}/{}", place.host, place.source_host, place.volume); }

Scope scope_of(const crds::BackupPolicy& policy, const Named& named) {
  Scope scope;
  const crds::BackupSource& source = policy.spec.source;
  if (!source.host_ref) return scope;
  const std::string& from = source.host_ref->name;
  const auto host = host_named(named, from, "spec.source.hostRef");
  if (!host) scope.ready = tl::unexpected(host.error());
  if (source.repository) {
    if (host) first_of(scope.ready, keeps_backups(named, from, "spec.source.hostRef"));
    for (std::size_t i = 0; i < source.repository->policy_refs.size(); ++i) {
      const std::string& name = source.repository->policy_refs[i].name;
      scope.policies.insert(name);
      first_of(scope.ready,
               take_copied(scope, policy, named, name, fmt::format("spec.source.repository.policyRefs[{}]", i)));
    }
  } else {
    scope.policies.insert(policy.metadata.name);
    if (host) first_of(scope.ready, has_volumes(**host, source.volumes));
    add_places(scope, policy, policy.spec.destinations);
  }
  for (std::size_t i = 0; i < policy.spec.destinations.size(); ++i)
    first_of(scope.ready, keeps_backups(named, policy.spec.destinations[i].host_ref.name,
                                        fmt::format("spec.destinations[{}].hostRef", i)));
  return scope;
}

}  // namespace roadstead::reconcilers::backup_policy
