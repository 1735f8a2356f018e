// exchange: one step of the file system, all old or all new. "Make inode N current": saying it twice changes nothing.

#include <algorithm>

#include "operator/base/rfc3339.h"
#include "reconcilers/restore_request/applications.h"
#include "reconcilers/restore_request/steps.h"
#include "reconcilers/support/commands.h"

namespace roadstead::reconcilers::restore {

namespace {

/// What the mover said, and when it had ended by the clock of its host.
std::string with_end(const MoverAnswer& answer) {
  nlohmann::json result = nlohmann::json::parse(answer.data, nullptr, false);
  if (!result.is_object()) result = nlohmann::json::object();
  if (answer.finished_at) result["finishedAt"] = format_rfc3339_millis(*answer.finished_at);
  return result.dump();
}

/// The containers that were stopped, each with its restart policy, in the order in which they are started again.
std::string start_by_hand(const crds::RestoreRequestStatus& status, const std::string& docker) {
  std::string commands;
  for (const auto* entry : in_start_order(status.ledger)) {
    const std::string policy = entry->restart_policy.empty() ? "no" : entry->restart_policy;
    commands += fmt::format("{}`{} update --restart {} {}`, `{} start {}`", commands.empty() ? "" : ", ", docker,
                            policy, entry->name, docker, entry->name);
  }
  return commands.empty() ? commands : fmt::format("; start what was stopped: {}", commands);
}

/// Which of the two trees was there first is not known: that is for a person to see. A request that a directory of
/// manifests brings back would go on with it.
std::string way_back_by_hand(const Run& run, const crds::RestoreItem& item, const std::string& docker) {
  const auto& metadata = run.request.metadata;
  const std::string own =
      fmt::format("{}/{}", mover::kOwnName, mover::request_name(metadata.ns, metadata.name, item.name));
  return fmt::format(
      "the old data of volume {0} is not known any more, so the applications stay stopped. Take this request's "
      "manifest away if it has one, then let go of it: `roadstead delete restorerequest {1} -n {2} --wait=false` and "
      "`{3}`; `{4} volume inspect {0}` says where the volume is on host {5}, and the tree that is not current stands "
      "beside it in {6}/tree: put the right one in place by hand and remove {6}{7}",
      item.to.volume, metadata.name, metadata.ns,
      patch_command<crds::RestoreRequest>(metadata.ns, metadata.name, R"({"metadata":{"finalizers":null}})"), docker,
      run.request.spec.target.host_ref.name, own, start_by_hand(run.request.status, docker));
}

}  // namespace

Outcome exchange(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  const auto inode = result_number(run.request.status, name_of({item.name, step::kCopy}), "treeInode");
  if (!inode || *inode == 0) return Failed{"Internal", "the staged tree's inode is not known", "apply a new request"};
  // Somebody may have started something since.
  if (auto outcome = quiesce(run, frame, *target)) return *outcome;
  if (!frame.remembers(std::string(kExchanging))) {
    frame.remember_done(std::string(kExchanging));
    return Working{fmt::format("The data of volume {} is exchanged.", item.to.volume), Millis{0}, {}};
  }

  MoverAnswer answer;
  const mover::Exchange job{mover_target(run.request, item.name), *inode};
  if (auto outcome = run_mover(run, frame, "exchange", item.to.volume, job, answer)) return *outcome;
  auto data = mover::parse_exchange_data(answer.data);
  if (!data || data->inode != *inode)
    return Retry{"ExchangeUnclear",
                 fmt::format("after the exchange the data of volume {} on host {} is not the new one", item.to.volume,
                             target->host.metadata.name),
                 fmt::format("look who else works on it: `{} ps --all --filter volume={}`",
                             docker_command(target->host), item.to.volume)};
  return Done{with_end(answer), fmt::format("Volume {} holds the new data.", item.to.volume)};
}

Outcome put_back(Run& run, Frame& frame) {
  const crds::RestoreItem& item = frame.item();
  auto target = run.target();
  const auto mark = std::ranges::find(run.request.status.marks, item.name, &crds::MarkSummary::item);
  if (mark == run.request.status.marks.end() || mark->old_inode.value_or(0) == 0)
    return Blocked{"DataNotWhole", way_back_by_hand(run, item, target ? docker_command(target->host) : "docker"),
                   kBlockedRetry};
  if (!target) return from_lookup(target.error());
  const auto old_inode = static_cast<std::uint64_t>(*mark->old_inode);
  if (auto outcome = quiesce(run, frame, *target)) return *outcome;
  MoverAnswer answer;
  const mover::Exchange job{mover_target(run.request, item.name), old_inode};
  if (auto outcome = run_mover(run, frame, std::string(frame.ref().step), item.to.volume, job, answer)) {
    if (auto* retry = std::get_if<Retry>(&*outcome))
      retry->message =
          fmt::format("the old data of volume {} could not be put back, so the applications stay stopped: {}",
                      item.to.volume, retry->message);
    return *outcome;
  }
  return Done{with_end(answer), fmt::format("Volume {} holds the old data again.", item.to.volume)};
}

}  // namespace roadstead::reconcilers::restore
