#include "reconcilers/host/decide.h"

#include <algorithm>
#include <limits>

#include "reconcilers/support/pace.h"

namespace roadstead::reconcilers::host {
namespace {

/// The command that shows a person the same thing the operator saw.
std::string try_it(const std::string& endpoint) { return "try: docker -H " + endpoint + " version"; }

crds::Condition reachable(const crds::Host& host, const Result<EngineInfo>& info) {
  using crds::ConditionStatus;
  crds::Condition condition{.type = "Reachable", .observed_generation = host.metadata.generation};
  if (info) {
    condition.status = ConditionStatus::True;
    condition.reason = "EngineAnswers";
    condition.message = fmt::format("Docker Engine {} answers, API {}.", info->version, info->api_version);
    return condition;
  }
  condition.status = ConditionStatus::False;
  switch (info.error().kind) {
    case ErrorKind::Forbidden:
      condition.reason = "CredentialsRefused";
      break;
    case ErrorKind::Invalid:
      condition.reason = "EndpointInvalid";
      break;
    case ErrorKind::NotFound:
      condition.reason = "SecretNotFound";
      break;
    default:
      condition.reason = "EngineUnreachable";
      break;
  }
  condition.message = fmt::format("{}; {}.", info.error().message, try_it(host.spec.engine.endpoint));
  return condition;
}

std::vector<crds::HostVolume> volumes_of(const std::vector<VolumeInfo>& seen) {
  std::vector<crds::HostVolume> all;
  for (const VolumeInfo& volume : seen) all.push_back({volume.name, volume.driver, volume.size_bytes});
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

}  // namespace

void take_survey(Observed& seen, const mover::SurveyData& data) {
  seen.space = Space{static_cast<std::int64_t>(data.free_bytes), static_cast<std::int64_t>(data.total_bytes)};
  seen.unfinished.emplace();
  for (const mover::MarkSeen& mark : data.marks)
    seen.unfinished->push_back(
        {mark.volume, mark.name.empty() ? std::string() : mark.ns + "/" + mark.name, mark.state});
}

crds::HostStatus status_after(const crds::Host& host, const Observed& seen, Time now) {
  crds::HostStatus status = host.status;
  status.observed_generation = host.metadata.generation;
  const bool was_reachable = crds::is_true(status.conditions, "Reachable");
  crds::set_condition(status.conditions, reachable(host, seen.info), now);
  if (!seen.info) return status;
  status.engine_version = seen.info->version;
  status.api_version = seen.info->api_version;
  status.operating_system = seen.info->operating_system;
  status.architecture = seen.info->architecture;
  status.storage_driver = seen.info->storage_driver;
  status.memory_bytes = seen.info->memory_bytes;
  if (!status.data_root) status.data_root.emplace();
  status.data_root->path = seen.info->root_directory;
  if (seen.space) {
    status.data_root->free_bytes = seen.space->free_bytes;
    status.data_root->total_bytes = seen.space->total_bytes;
  }
  if (seen.volumes) status.volumes = volumes_of(*seen.volumes);
  if (seen.unfinished) status.unfinished_restores = *seen.unfinished;
  if (!status.last_seen || !was_reachable || has_passed(*status.last_seen, kLastSeenStep, now)) status.last_seen = now;
  crds::refresh_summary(status);
  return status;
}

Shown shown(const crds::HostStatus& status) {
  const auto free = status.data_root ? status.data_root->free_bytes : std::nullopt;
  return {crds::is_true(status.conditions, "Reachable") ? 1.0 : 0.0, status.last_seen.value_or(Time{}),
          free ? static_cast<double>(*free) : std::numeric_limits<double>::quiet_NaN()};
}

}  // namespace roadstead::reconcilers::host
