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

/// Which of the two trees was there first is not known: that is for a person to see.
std::string way_back_by_hand(const Run& run, const crds::RestoreItem& item, const crds::Host& host) {
  const auto& metadata = run.request.metadata;
  const std::string docker = docker_command(host);
  std::string start;
  for (const auto& entry : run.request.status.ledger) start += " " + entry.name;
  if (!start.empty()) start = fmt::format(", start what was stopped (`{} start{}`)", docker, start);
  return fmt::format(
      "the old data of volume {0} is not known any more, so the applications stay stopped; `{1} volume inspect {0}` "
      "says where the volume is on host {2}, and the tree that is not current stands beside it in {3}/{4}/tree: put "
      "the right one in place by hand{5}, then let go of this request: `kubectl delete restorerequest {6} -n {7} "
      "--wait=false` and `{8}`",
      item.to.volume, docker, host.metadata.name, mover::kOwnName,
      mover::request_name(metadata.ns, metadata.name, item.name), start, metadata.name, metadata.ns,
      patch_command<crds::RestoreRequest>(metadata.ns, metadata.name, R"({"metadata":{"finalizers":null}})"));
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
  if (!target) return from_lookup(target.error());
  const auto mark = std::ranges::find(run.request.status.marks, item.name, &crds::MarkSummary::item);
  if (mark == run.request.status.marks.end() || mark->old_inode.value_or(0) == 0)
    return Blocked{"DataNotWhole", way_back_by_hand(run, item, target->host), kBlockedRetry};
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
