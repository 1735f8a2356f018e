#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "crds/backup_policy.h"
#include "crds/barman_server.h"
#include "crds/host.h"
#include "mover/contract/job.h"
#include "operator/ports/engine.h"

namespace roadstead::reconcilers::host {

struct Space {
  std::int64_t free_bytes = 0;
  std::int64_t total_bytes = 0;
};

/// Which policies back up which volumes of a host.
struct Coverage {
  std::map<std::string, std::vector<std::string>> policies;  ///< Volume → "namespace/name", sorted.
  std::set<std::string> own;  ///< Volumes that hold backups themselves, and what is restored from them.
};
Coverage coverage_of(const crds::Host& host, const std::vector<crds::BackupPolicy>& policies,
                     const std::vector<crds::BarmanServer>& servers);

/// What one look at an engine gave. An engine that did not answer leaves the rest empty.
struct Observed {
  Result<EngineInfo> info = fail(ErrorKind::Unavailable, "not asked yet");
  std::optional<std::vector<VolumeInfo>> volumes;
  std::optional<Space> space;                                      ///< Only when it was measured this time.
  std::optional<std::vector<crds::UnfinishedRestore>> unfinished;  ///< Only when the marks were read this time.
  std::optional<Coverage> coverage;
};

/// How often an engine that answers is looked at, and one that does not. A host that vanishes is told within 30 s.
inline constexpr Millis kInterval{15'000};
inline constexpr Millis kRetryInterval{5'000};
/// `lastSeen` moves at most this often, so that a quiet host does not fill the store with versions.
inline constexpr Millis kLastSeenStep{60'000};

/// What the survey worker saw: the space, and the restores that left a mark and no receipt.
void take_survey(Observed& seen, const mover::SurveyData& data);

/// The status after this look: pure, so that a table can show every case. What was not observed this time stays.
crds::HostStatus status_after(const crds::Host& host, const Observed& seen, Time now);

/// What the metrics say of a host, from its first look on: an alert cannot see a series that is not there yet.
struct Shown {
  double reachable = 0;
  Time last_seen{};       ///< As fine as kLastSeenStep; 0: never.
  double free_bytes = 0;  ///< NaN: not measured yet. 0 would be a full disk.
  double uncovered = 0;   ///< NaN: not known yet.
};
Shown shown(const crds::HostStatus& status);

}  // namespace roadstead::reconcilers::host
