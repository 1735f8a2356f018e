#include "operator/schedule_round.h"

#include <nlohmann/json.hpp>

#include "crds/backup_policy.h"

namespace roadstead {

Result<void> schedule_round(ResourceClient& api, const std::function<void(const ObjectKey&)>& wake) {
  const std::string kind(crds::Kind<crds::BackupPolicy>::kind);
  // No object can have this name: nothing changes, but the answer comes from the writer.
  (void)api.remove({kind, "default", "-"}, {});
  const auto policies = api.list(kind, {});
  if (!policies) return tl::unexpected(policies.error());
  for (const nlohmann::json& policy : policies->items) {
    const nlohmann::json& metadata = policy.at("metadata");
    wake({kind, metadata.value("namespace", ""), metadata.value("name", "")});
  }
  return {};
}

}  // namespace roadstead
