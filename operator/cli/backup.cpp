#include "crds/backup.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "operator/base/quantity.h"
#include "operator/cli/overview.h"
#include "operator/cli/verbs.h"

namespace roadstead::cli {
namespace {

using nlohmann::json;

std::string kind_of_backup() { return std::string(crds::Kind<crds::Backup>::kind); }

/// One line of where a run is: "[####----]  40% 12.0 MiB/s 5s left  Running: Copying".
std::string line_of(const crds::Backup& backup) {
  const auto progress = backup.status.progress.value_or(crds::Progress{});
  std::string line = bar(progress.percent);
  if (progress.bytes_per_second)
    line += fmt::format(" {}/s",
                        human_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(0, *progress.bytes_per_second))));
  if (progress.eta_seconds)
    line += fmt::format(" {} left", human_duration(std::chrono::seconds(*progress.eta_seconds)));
  const auto* complete = crds::find_condition(backup.status.conditions, "Complete");
  line += fmt::format("  {}", backup.status.phase ? crds::to_string(*backup.status.phase) : "Pending");
  if (complete != nullptr) line += ": " + complete->message;
  return line;
}

/// Prints each new line once; on a terminal over the one before.
class Lines {
 public:
  explicit Lines(const Session& session) : session_(session) {}
  void print(const std::string& line) {
    if (line == last_) return;
    last_ = line;
    session_.out() << (session_.hooks().terminal ? "\r\x1b[K" : "") << line << (session_.hooks().terminal ? "" : "\n");
    session_.out().flush();
  }
  void end() {
    if (session_.hooks().terminal) session_.out() << "\n";
  }

 private:
  const Session& session_;
  std::string last_;
};

int watch(const Session& session, ApiClient& client, const ObjectKey& key) {
  Lines lines(session);
  bool gone = false, good = false;
  const auto ended = follow(client, key, std::nullopt, session.hooks().interrupted, [&](const json* object) {
    gone = object == nullptr;
    if (gone) return true;
    const auto backup = crds::from_json<crds::Backup>(*object);
    if (!backup) return false;
    lines.print(line_of(*backup));
    good = crds::is_true(backup->status.conditions, "Complete");
    return crds::is_finished(backup->status);
  });
  lines.end();
  if (!ended) return session.failed(ended.error());
  if (gone) return session.failed(fmt::format("Backup {} was deleted meanwhile", key.name));
  if (!*ended) session.err() << fmt::format("it goes on: roadstead get backup {} -n {} --watch\n", key.name, key.ns);
  return *ended && good ? kExitOk : kExitError;
}

}  // namespace

int backup(const Session& session, const BackupFlags& flags) {
  const auto client = session.connect();
  if (!client) return session.failed(client.error());
  // A Backup of a policy that is not there would only wait for it.
  const auto policy = (*client)->get({std::string(crds::Kind<crds::BackupPolicy>::kind), flags.ns, flags.policy});
  if (!policy) return session.failed(policy.error());
  const auto made = (*client)->create({{"apiVersion", crds::kApiVersion},
                                       {"kind", kind_of_backup()},
                                       {"metadata", {{"generateName", flags.policy + "-"}, {"namespace", flags.ns}}},
                                       {"spec", {{"policyRef", {{"name", flags.policy}}}}}},
                                      {});
  if (!made) return session.failed(made.error());
  const std::string name = made->at("metadata").at("name").get<std::string>();
  const ResourceType* type = session.types().by_kind(kind_of_backup());
  session.out() << (type != nullptr ? display_name(*type, name) : name) << " created\n";
  session.out().flush();
  return flags.watch ? watch(session, **client, {kind_of_backup(), flags.ns, name}) : kExitOk;
}

}  // namespace roadstead::cli
