#include "reconcilers/backup/volume_hosts.h"

namespace roadstead::reconcilers::backup {

std::variant<Ends, Outcome> ends_of(Run& run, const Plan& plan, const Place& place) {
  auto from = run.context.hosts.get(plan.from());
  if (!from) return from_lookup(from.error());
  auto to = run.context.hosts.get(place.host);
  if (!to) return from_lookup(to.error());
  return Ends{std::move(*from), std::move(*to)};
}

Outcome waits(std::string reason, std::string message) {
  return Blocked{std::move(reason), std::move(message), kBlockedRetry};
}

std::optional<Outcome> judge_destination(const HostHandle& from, const HostHandle& to) {
  const std::string& name = to.host.metadata.name;
  if (!to.host.spec.repository)
    return waits("NoRepository",
                 fmt::format("host {} keeps no backups; name a volume for them in its spec.repository.volume", name));
  if (serving_side(from.host, to.host, Keeper::Target) == Serving::Nobody)
    return waits("NoDataPath",
                 fmt::format("neither host {} nor host {} has spec.data.ports; set it (e.g. ports: \"10022-10031\") on "
                             "the one that the other can reach",
                             from.host.metadata.name, name));
  return std::nullopt;
}

}  // namespace roadstead::reconcilers::backup
