#include "reconcilers/host/decide.h"

#include <algorithm>
#include <cstdlib>
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
  all.reserve(seen.size());
  for (const VolumeInfo& volume : seen) all.push_back({volume.name, volume.driver, volume.size_bytes, {}});
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

/// Nobody gave it a name: it comes and goes with a container.
bool is_anonymous(const std::string& volume) {
  constexpr std::size_t kLength = 64;
  return volume.size() == kLength && volume.find_first_not_of("0123456789abcdef") == std::string::npos;
}

struct Uncovered {
  std::size_t counted = 0;
  std::vector<std::string> names;
};

Uncovered uncovered_of(const crds::HostStatus& status, const Coverage& coverage) {
  Uncovered found;
  for (const crds::HostVolume& volume : status.volumes) {
    if (coverage.own.contains(volume.name) || is_anonymous(volume.name)) continue;
    ++found.counted;
    if (volume.policies.empty()) found.names.push_back(volume.name);
  }
  return found;
}

crds::Condition covered(const crds::Host& host, const Uncovered& uncovered) {
  constexpr std::size_t kNamed = 10;
  crds::Condition condition{.type = "VolumesCovered", .observed_generation = host.metadata.generation};
  condition.status = uncovered.names.empty() ? crds::ConditionStatus::True : crds::ConditionStatus::False;
  condition.reason = uncovered.names.empty() ? "AllCovered" : "VolumesUncovered";
  if (uncovered.names.empty()) {
    condition.message = "Every volume is backed up by a policy.";
    return condition;
  }
  std::string names;
  for (std::size_t i = 0; i < std::min(kNamed, uncovered.names.size()); ++i)
    names += (names.empty() ? "" : ", ") + uncovered.names[i];
  if (uncovered.names.size() > kNamed) names += fmt::format(" and {} more", uncovered.names.size() - kNamed);
  condition.message = fmt::format(
      "No policy backs up {}; name what is worth keeping in spec.source.volumes of a BackupPolicy with "
      "spec.source.hostRef.name {}.",
      names, host.metadata.name);
  return condition;
}

void take_coverage(crds::HostStatus& status, const crds::Host& host, const Coverage& coverage, Time now) {
  for (crds::HostVolume& volume : status.volumes) {
    const auto found = coverage.policies.find(volume.name);
    volume.policies = found == coverage.policies.end() ? std::vector<std::string>{} : found->second;
  }
  const Uncovered uncovered = uncovered_of(status, coverage);
  crds::set_condition(status.conditions, covered(host, uncovered), now);
  if (!status.summary) status.summary.emplace();
  status.summary->uncovered = fmt::format("{} of {}", uncovered.names.size(), uncovered.counted);
}

/// As the summary says it; NaN where it says nothing.
double uncovered_number(const crds::HostStatus& status) {
  if (!status.summary || !status.summary->uncovered) return std::numeric_limits<double>::quiet_NaN();
  return std::strtod(status.summary->uncovered->c_str(), nullptr);
}

}  // namespace

Coverage coverage_of(const crds::Host& host, const std::vector<crds::BackupPolicy>& policies,
                     const std::vector<crds::BarmanServer>& servers) {
  const std::string& name = host.metadata.name;
  Coverage coverage;
  for (const crds::BackupPolicy& policy : policies) {
    if (!policy.spec.source.host_ref || policy.spec.source.host_ref->name != name) continue;
    for (const crds::SourceVolume& volume : policy.spec.source.volumes)
      coverage.policies[volume.name].push_back(policy.metadata.ns + "/" + policy.metadata.name);
  }
  for (auto& [volume, names] : coverage.policies) std::sort(names.begin(), names.end());
  coverage.own.insert(std::string(mover::kMarksVolume));
  if (host.spec.repository) coverage.own.insert(host.spec.repository->volume);
  for (const crds::BarmanServer& server : servers)
    if (server.spec.host_ref.name == name) coverage.own.insert({server.spec.volumes.data, server.spec.volumes.recover});
  return coverage;
}

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
  if (seen.volumes) {
    auto volumes = volumes_of(*seen.volumes);
    for (crds::HostVolume& volume : volumes)
      for (const crds::HostVolume& known : status.volumes)
        if (known.name == volume.name) volume.policies = known.policies;
    status.volumes = std::move(volumes);
  }
  if (seen.unfinished) status.unfinished_restores = *seen.unfinished;
  if (!status.last_seen || !was_reachable || has_passed(*status.last_seen, kLastSeenStep, now)) status.last_seen = now;
  const auto uncovered = status.summary ? status.summary->uncovered : std::nullopt;
  crds::refresh_summary(status);
  if (uncovered) {
    if (!status.summary) status.summary.emplace();
    status.summary->uncovered = uncovered;
  }
  if (seen.coverage) take_coverage(status, host, *seen.coverage, now);
  return status;
}

Shown shown(const crds::HostStatus& status) {
  const auto free = status.data_root ? status.data_root->free_bytes : std::nullopt;
  return {crds::is_true(status.conditions, "Reachable") ? 1.0 : 0.0, status.last_seen.value_or(Time{}),
          free ? static_cast<double>(*free) : std::numeric_limits<double>::quiet_NaN(), uncovered_number(status)};
}

}  // namespace roadstead::reconcilers::host
