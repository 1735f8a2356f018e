#pragma once

#include <string>
#include <vector>

#include "crds/all_kinds.h"
#include "operator/base/clock.h"

namespace roadstead::cli {

/// All that one screen says.
struct Overview {
  std::vector<crds::Host> hosts;
  std::vector<crds::BarmanServer> servers;
  std::vector<crds::BackupPolicy> policies;
  std::vector<crds::Backup> backups;
  std::vector<crds::RestoreRequest> restores;
};

/// The screen: hosts, barman servers, policies with the age of their last success, and what runs now with its bar.
[[nodiscard]] std::string screen(const Overview& overview, Time now);

/// "[##########----------]  52%"; without a percent "[--------------------]": no bar moves without a known total.
[[nodiscard]] std::string bar(std::optional<std::int64_t> percent);

}  // namespace roadstead::cli
