#include <nlohmann/json.hpp>
#include <ostream>

#include "crds/backup_policy.h"
#include "operator/base/rfc3339.h"
#include "operator/cli/verbs.h"

namespace roadstead::cli {
namespace {

using nlohmann::json;

/// How often the request is written again where somebody else wrote the policy meanwhile.
constexpr int kTries = 5;

/// Asks for the verification; returns the policy as it is then.
Result<crds::BackupPolicy> ask(ApiClient& client, const ObjectKey& key, Time now) {
  for (int i = 1;; ++i) {
    auto object = client.get(key);
    if (!object) return tl::unexpected(object.error());
    auto policy = crds::from_json<crds::BackupPolicy>(*object);
    if (!policy) return policy;
    if (policy->spec.source.barman)
      return fail(ErrorKind::Invalid, "BackupPolicy {} keeps no snapshots: its base backups are barman's to check",
                  key.name);
    (*object)["metadata"]["annotations"][std::string(crds::kVerifyAnnotation)] = format_rfc3339(now);
    const auto written = client.update(*object, {});
    if (written) return crds::from_json<crds::BackupPolicy>(*written);
    if (written.error().kind != ErrorKind::Conflict || i == kTries) return tl::unexpected(written.error());
  }
}

bool is_verified(const crds::RepositoryStatus& repository, Time asked) {
  // One that holds nothing is not read.
  if (repository.last_listed_time && repository.snapshots == 0 && repository.stored_bytes == 0) return true;
  return repository.last_verified_time && *repository.last_verified_time >= asked;
}

std::string line_of(const crds::RepositoryStatus& repository) {
  std::string line = fmt::format("{}/{}/{}: ", repository.host, repository.source_host, repository.volume);
  if (repository.damaged_extents == 0) return line + fmt::format("{} snapshots, no damage", repository.snapshots);
  line += fmt::format("{} pieces of data damaged or missing", repository.damaged_extents);
  for (const std::string& file : repository.damaged_files) line += "\n  " + file;
  return line;
}

int watch(const Session& session, ApiClient& client, const ObjectKey& key, Time asked) {
  crds::BackupPolicy policy;
  bool gone = false;
  const auto ended = follow(client, key, std::nullopt, session.hooks().interrupted, [&](const json* object) {
    gone = object == nullptr;
    if (gone) return true;
    const auto now = crds::from_json<crds::BackupPolicy>(*object);
    if (!now) return false;
    policy = *now;
    const auto& all = policy.status.repositories;
    return !all.empty() &&
           std::all_of(all.begin(), all.end(), [&](const auto& one) { return is_verified(one, asked); });
  });
  if (!ended) return session.failed(ended.error());
  if (gone) return session.failed(fmt::format("BackupPolicy {} was deleted meanwhile", key.name));
  if (!*ended)
    return session.failed(fmt::format("it goes on: roadstead describe backuppolicy {} -n {}", key.name, key.ns));
  bool whole = true;
  for (const crds::RepositoryStatus& repository : policy.status.repositories) {
    session.out() << line_of(repository) << "\n";
    whole = whole && repository.damaged_extents == 0;
  }
  return whole ? kExitOk : kExitError;
}

}  // namespace

int verify(const Session& session, const VerifyFlags& flags) {
  const auto client = session.connect();
  if (!client) return session.failed(client.error());
  // A status tells whole seconds.
  const Time now = std::chrono::floor<std::chrono::seconds>(session.hooks().clock->now());
  const ObjectKey key{std::string(crds::Kind<crds::BackupPolicy>::kind), flags.ns, flags.policy};
  if (const auto asked = ask(**client, key, now); !asked) return session.failed(asked.error());
  const ResourceType* type = session.types().by_kind(key.kind);
  session.out() << (type != nullptr ? display_name(*type, key.name) : key.name) << " is being verified\n";
  session.out().flush();
  return flags.watch ? watch(session, **client, key, now) : kExitOk;
}

}  // namespace roadstead::cli
