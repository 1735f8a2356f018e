#include "reconcilers/restore_request/applications.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "reconcilers/support/labels.h"

namespace roadstead::reconcilers::restore {
namespace {

std::optional<crds::ComposeIdentity> compose_of(const Labels& labels) {
  crds::ComposeIdentity identity{value_of(labels, "com.docker.compose.project"),
                                 value_of(labels, "com.docker.compose.service"), 1};
  if (identity.project.empty() || identity.service.empty()) return std::nullopt;
  // `docker compose run` leaves containers with the service's own identity; they are known by their names.
  if (value_of(labels, "com.docker.compose.oneoff") == "True") return std::nullopt;
  const std::string number = value_of(labels, "com.docker.compose.container-number");
  std::from_chars(number.data(), number.data() + number.size(), identity.number);
  return identity;
}

struct TargetVolume {
  std::string name, mountpoint;
};

bool mounts(const ContainerSummary& container, const std::vector<TargetVolume>& volumes) {
  return std::ranges::any_of(container.mounts, [&](const MountPoint& mount) {
    return std::ranges::any_of(volumes, [&](const TargetVolume& volume) {
      if (mount.type == "volume" && mount.name == volume.name) return true;
      return mount.source == volume.mountpoint || mount.source.starts_with(volume.mountpoint + "/");
    });
  });
}

bool runs(ContainerState state) {
  return state == ContainerState::Running || state == ContainerState::Paused || state == ContainerState::Restarting;
}

std::string policy_text(const ContainerInfo& info) {
  if (info.restart_policy == "on-failure" && info.restart_maximum > 0)
    return fmt::format("on-failure:{}", info.restart_maximum);
  return info.restart_policy.empty() ? "no" : info.restart_policy;
}

Result<std::vector<TargetVolume>> target_volumes(const Run& run, const HostHandle& target) {
  std::vector<TargetVolume> volumes;
  for (const auto& item : run.request.spec.items) {
    auto found = target.engine->inspect_volume(item.to.volume, run.limits);
    if (found)
      volumes.push_back({item.to.volume, found->mountpoint});
    else if (found.error().kind != ErrorKind::NotFound)
      return tl::unexpected(found.error());
  }
  return volumes;
}

Application application_of(const ContainerSummary& container, const std::vector<TargetVolume>& volumes) {
  Application one;
  one.id = container.id;
  one.name = container.name;
  one.runs = runs(container.state);
  one.paused = container.state == ContainerState::Paused;
  one.mounts_target = mounts(container, volumes);
  one.compose = compose_of(container.labels);
  return one;
}

}  // namespace

Result<std::vector<Application>> find_applications(const Run& run, const HostHandle& target) {
  auto volumes = target_volumes(run, target);
  if (!volumes) return tl::unexpected(volumes.error());
  auto containers = target.engine->list_containers({}, run.limits);
  if (!containers) return tl::unexpected(containers.error());
  std::vector<Application> all;
  for (const auto& container : *containers)
    if (value_of(container.labels, label::kRole) != kWorkerRole) all.push_back(application_of(container, *volumes));

  std::set<std::string> concerned;
  for (const auto& one : to_stop(run.request, all)) concerned.insert(one.id);
  for (auto& one : all) {
    if (!concerned.contains(one.id)) continue;
    auto info = target.engine->inspect_container(one.id, run.limits);
    if (!info && info.error().kind == ErrorKind::NotFound) {
      one.runs = false;  // gone between the two calls
      continue;
    }
    if (!info) return tl::unexpected(info.error());
    one.auto_remove = info->auto_remove;
    one.restart_policy = policy_text(*info);
  }
  return all;
}

Result<std::optional<Application>> find_again(const Run& run, const HostHandle& target,
                                              const crds::LedgerEntry& entry) {
  auto containers = target.engine->list_containers({}, run.limits);
  if (!containers) return tl::unexpected(containers.error());
  std::optional<Application> found;
  for (const auto& container : *containers) {
    Application one = application_of(container, {});
    if (!is_same(entry, one)) continue;
    if (one.id == entry.id) return one;
    if (!found) found = std::move(one);
  }
  return found;
}

}  // namespace roadstead::reconcilers::restore
