// plan: what is backed up, from where to where, once everything that is named is there.

#include <algorithm>

#include "reconcilers/backup/volume_hosts.h"
#include "reconcilers/backup/volume_steps.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::backup {
namespace {

/// Source, destinations and transfer, of the policy or of the Backup itself.
Result<Plan> wanted(Run& run) {
  const auto& spec = run.backup.spec;
  if (!spec.policy_ref) {
    if (!spec.source) return fail(ErrorKind::Invalid, "spec names neither a policy nor a source");
    Plan plan;
    plan.source = *spec.source;
    plan.destinations = spec.destinations;
    plan.transfer = spec.transfer;
    return plan;
  }
  auto policy = get<crds::BackupPolicy>(run.context.api, run.backup.metadata.ns, spec.policy_ref->name);
  if (!policy) return within("spec.policyRef " + spec.policy_ref->name, policy.error());
  Plan plan;
  plan.source = std::move(policy->spec.source);
  plan.destinations = std::move(policy->spec.destinations);
  plan.transfer = policy->spec.transfer;
  if (policy->spec.retention) plan.suspicious_shrink_percent = policy->spec.retention->suspicious_shrink_percent;
  return plan;
}

void add_place(Plan& plan, Place place) {
  const auto same = std::ranges::find_if(plan.places, [&](const Place& known) {
    return known.source_host == place.source_host && known.volume == place.volume && known.host == place.host;
  });
  if (same == plan.places.end())
    plan.places.push_back(std::move(place));
  else
    same->policies.insert(same->policies.end(), place.policies.begin(), place.policies.end());
}

/// The places of the volumes that the named policies back up. Nothing: done.
std::optional<Outcome> add_copied_places(Run& run, Plan& plan) {
  for (const auto& ref : plan.source.repository->policy_refs) {
    auto policy = get<crds::BackupPolicy>(run.context.api, run.backup.metadata.ns, ref.name);
    if (!policy)
      return from_lookup(Error{policy.error().kind,
                               fmt::format("source.repository.policyRefs {}: {}", ref.name, policy.error().message)});
    const auto& source = policy->spec.source;
    if (source.volumes.empty() || !source.host_ref)
      return waits(
          "PolicyUnsuitable",
          fmt::format("BackupPolicy {} backs up no volumes; name the policies whose snapshots are to be copied",
                      ref.name));
    for (const auto& volume : source.volumes)
      for (const auto& destination : plan.destinations)
        add_place(plan, {source.host_ref->name, volume.name, destination.host_ref.name, {}, {ref.name}});
  }
  return std::nullopt;
}

std::optional<Outcome> judge_source(Run& run, const Plan& plan, const HostHandle& from) {
  const std::string& name = from.host.metadata.name;
  if (plan.copies_repository()) {
    if (from.host.spec.repository) return std::nullopt;
    return waits("NoRepository", fmt::format("host {} keeps no backups that could be copied", name));
  }
  for (const auto& volume : plan.source.volumes) {
    const auto found = from.engine->inspect_volume(volume.name, run.limits);
    if (!found && found.error().kind == ErrorKind::NotFound)
      return waits(
          "SourceVolumeMissing",
          fmt::format("volume {} is not there on host {}; create it, or take it out of the policy", volume.name, name));
    if (!found) return from_error(found.error(), from, true);
  }
  return std::nullopt;
}

}  // namespace

Outcome make_plan(Run& run) {
  auto plan = wanted(run);
  if (!plan) return from_lookup(plan.error());
  if (!plan->source.host_ref) return waits("ReferenceUnusable", "the source names no host");
  auto from = run.context.hosts.get(plan->from());
  if (!from)
    return from_lookup(
        Error{from.error().kind, fmt::format("source.hostRef {}: {}", plan->from(), from.error().message)});
  if (auto problem = judge_source(run, *plan, *from)) return *problem;
  for (const auto& destination : plan->destinations) {
    auto to = run.context.hosts.get(destination.host_ref.name);
    if (!to)
      return from_lookup(
          Error{to.error().kind, fmt::format("destination {}: {}", destination.host_ref.name, to.error().message)});
    if (auto problem = judge_destination(*from, *to)) return *problem;
  }
  if (plan->copies_repository()) {
    if (auto problem = add_copied_places(run, *plan)) return *problem;
  } else {
    for (const auto& volume : plan->source.volumes)
      for (const auto& destination : plan->destinations)
        add_place(*plan, {plan->from(), volume.name, destination.host_ref.name, volume.exclude, {}});
  }
  const auto places = plan->places.size();
  return Done{to_text(*plan), places == 1 ? std::string("Looks at one repository directory.")
                                          : fmt::format("Looks at {} repository directories.", places)};
}

}  // namespace roadstead::reconcilers::backup
