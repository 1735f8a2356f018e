#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "crds/backup_policy.h"
#include "crds/host.h"

namespace roadstead::reconcilers::backup_policy {

/// What a host keeps of one volume: one directory of its repository.
struct Place {
  std::string host;         ///< Keeps it.
  std::string source_host;  ///< Whose volume it is.
  std::string volume;
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the 0 that <=> is compared with for a pointer
  auto operator<=>(const Place&) const = default;
};
/// "annex2/production2/montagu_mq"
std::string to_text(const Place& place);

/// The objects that a policy names, as far as they are there.
struct Named {
  std::map<std::string, crds::Host> hosts;
  std::map<std::string, crds::BackupPolicy> policies;
};

/// What a policy's snapshots are, and where.
struct Scope {
  std::vector<Place> places;       ///< Every destination of every volume.
  std::set<std::string> policies;  ///< Whose name its snapshots carry: its own, or those whose snapshots it copies.
  Result<void> ready;  ///< Why its runs cannot succeed, naming the field and what to do; of the first cause.
};

/// Pure. Whether a volume is there is only judged by hosts that answer.
Scope scope_of(const crds::BackupPolicy& policy, const Named& named);

}  // namespace roadstead::reconcilers::backup_policy
