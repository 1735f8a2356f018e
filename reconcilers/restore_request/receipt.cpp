// receipt: what is not needed any more goes, and the mark becomes the receipt. Gone through at every end.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "operator/base/log.h"
#include "reconcilers/restore_request/end.h"
#include "reconcilers/restore_request/mark.h"
#include "reconcilers/restore_request/order.h"
#include "reconcilers/restore_request/snapshot_look.h"
#include "reconcilers/restore_request/steps.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers::restore {
namespace {

/// Its BarmanServer, or that one's Host, is deleted: there is no way to the backup host any more. A secret that cannot
/// be read is something else: it comes back.
bool is_undeclared(const Run& run, const crds::RestoreItem& item) {
  if (!item.from.barman) return true;
  auto server = get<crds::BarmanServer>(run.context.api, run.request.metadata.ns, item.from.barman->server_ref.name);
  if (!server) return server.error().kind == ErrorKind::NotFound;
  auto host = get<crds::Host>(run.context.api, {}, server->spec.host_ref.name);
  return !host && host.error().kind == ErrorKind::NotFound;
}

/// Readers of a repository. A host that holds nothing for this request, or is no longer declared, is not waited for.
std::optional<Outcome> sweep_keepers(Run& run, const crds::RestoreItem& item) {
  const bool pinned = pinned_of(run.request.status, item.name) != nullptr;
  for (const auto& name : keepers_of(run, item)) {
    auto host = run.keeper(name);
    if (!host && host.error().kind == ErrorKind::NotFound) continue;
    if (!host) return from_lookup(host.error());
    auto done = remove_workers_of(*(*host)->engine, run.context.installation, run.key, {}, run.limits);
    if (!done && pinned) return from_error(done.error(), **host, true);
  }
  return std::nullopt;
}

/// Workers that may still write into what is thrown away next.
std::optional<Outcome> sweep_workers(Run& run, Frame& frame, const HostHandle& target) {
  if (frame.remembers("swept")) return std::nullopt;
  for (const auto& item : run.request.spec.items) {
    if (!item.from.barman)
      if (auto outcome = sweep_keepers(run, item)) return outcome;
    if (is_undeclared(run, item)) continue;
    auto source = run.source_of(item);
    if (!source) return from_lookup(source.error());
    const HostHandle& host = (*source)->access.host;
    if (auto done = remove_workers_of(*host.engine, run.context.installation, run.key, {}, run.limits); !done)
      return from_error(done.error(), host, true);
  }
  if (auto done = remove_workers_of(*target.engine, run.context.installation, run.key, {}, run.limits); !done)
    return from_error(done.error(), target, false);
  frame.remember_done("swept");
  return std::nullopt;
}

/// The old data stays where somebody may want it back; decided once.
bool is_kept(const Run& run, Frame& frame) {
  nlohmann::json memory = frame.memory();
  if (!memory.contains(kKept)) memory[std::string(kKept)] = kept_until(run.request, run.now()).has_value();
  frame.remember(memory);
  return memory[std::string(kKept)].get<bool>();
}

std::optional<Outcome> discard_tree(Run& run, Frame& frame, const crds::RestoreItem& item) {
  const std::string done = "discarded/" + item.name;
  if (frame.remembers(done)) return std::nullopt;
  MoverAnswer answer;
  // Whichever it is: what is current is not inside the request's directory.
  const mover::Discard job{mover_target(run.request, item.name), 0};
  if (auto outcome = run_mover(run, frame, "discard-" + item.name, item.to.volume, job, answer)) return outcome;
  frame.remember_done(done);
  return Working{"Threw away what is not needed any more.", Millis{0}, {}};
}

void forget_recover_mark(const Run& run, const ItemSource& source) {
  const std::string path =
      fmt::format("{}/.roadstead/recover/{}.json", kBarmanHome, source.server.spec.volumes.recover);
  const std::string owner = fmt::format("\"request\":\"{}/{}/{}/", run.context.installation, run.request.metadata.ns,
                                        run.request.metadata.name);
  ExecSpec spec;
  spec.command = {"sh", "-c", "! grep -qsF \"$2\" \"$1\" || rm -f \"$1\"", "sh", path, owner};
  spec.user = std::string(kBarmanUser);
  // Left behind it does no harm: it names this request alone, and every other one begins by emptying the volume.
  if (auto done = source.access.host.engine->exec(source.access.container, spec, run.limits); !done)
    log_debug("the recover volume's mark stays", {{"why", done.error().message}});
}

std::optional<Outcome> release_source(Run& run, Frame& frame, const crds::RestoreItem& item) {
  const std::string done = "released/" + item.name;
  const auto* pinned = pinned_of(run.request.status, item.name);
  if (pinned == nullptr || frame.remembers(done)) return std::nullopt;
  if (!is_undeclared(run, item)) {
    auto source = run.source_of(item);
    if (!source) return from_lookup(source.error());
    auto all = list<crds::RestoreRequest>(run.context.api);
    if (!all) return Blocked{"ApiUnavailable", all.error().message, kHostRetry};
    Barman barman = (*source)->access.barman(run.limits);
    if (pinned->keep_set && !needed_by_another(run.request, *all, barman.server(), pinned->backup_root_id)) {
      auto released = barman.release(pinned->backup_root_id);
      if (!released && released.error().kind != ErrorKind::NotFound)
        return from_error(released.error(), (*source)->access.host, true);
    }
    forget_recover_mark(run, **source);
  }
  frame.remember_done(done);
  return std::nullopt;
}

std::string result_of(const crds::RestoreRequest& request) {
  if (rolling_back(request.status)) return "RolledBack";
  return is_ending(request.status) ? request.status.receipt->result : "Succeeded";
}

std::optional<Outcome> write_one(Run& run, Frame& frame, const crds::RestoreItem& item, std::optional<Time> kept) {
  const std::string done = "receipt/" + item.name;
  if (frame.remembers(done)) return std::nullopt;
  Mark mark = mark_of(run.request, item, run.context.installation, MarkState::Receipt);
  const bool ending = is_ending(run.request.status);
  mark.receipt = crds::Receipt{result_of(run.request), run.now(), kept};
  if (const auto* told = crds::find_condition(run.request.status.conditions, "Complete"); ending && told) {
    mark.reason = told->reason;
    mark.message = told->message;
  }
  MoverAnswer answer;
  const mover::Mark job{mover_target(run.request, item.name), to_json(mark)};
  if (auto outcome = run_mover(run, frame, "receipt-" + item.name, item.to.volume, job, answer)) return outcome;
  frame.remember_done(done);
  for (auto& summary : run.request.status.marks)
    if (summary.item == item.name) summary.phase = "Receipt";
  return Working{"Wrote the receipt.", Millis{0}, {}};
}

/// Nothing: it can be done, as far as this volume is concerned.
std::optional<Outcome> judge_rollback(const crds::RestoreRequest& request, const crds::RestoreItem& item,
                                      const crds::MarkSummary& mark, const mover::VolumeSeen& volume) {
  const auto own = mover_target(request, item.name).request;
  const auto beside = std::ranges::find(volume.requests, own, &mover::RequestSeen::request);
  const auto old_inode = static_cast<std::uint64_t>(mark.old_inode.value_or(0));
  const auto new_inode = static_cast<std::uint64_t>(mark.new_inode.value_or(0));
  if (beside == volume.requests.end() || old_inode == 0 || beside->tree_inode != old_inode)
    return Failed{
        "NothingKept",
        fmt::format("the data that volume {} held before the restore is not beside it any more", item.to.volume),
        "restore an earlier backup with a new request; nothing was touched"};
  if (volume.inode != new_inode)
    return Failed{"Superseded",
                  fmt::format("volume {} does not hold what this request restored: something has replaced it since",
                              item.to.volume),
                  "roll back the newer restore, or restore a backup with a new request; nothing was touched"};
  return std::nullopt;
}

}  // namespace

Outcome write_receipt(Run& run, Frame& frame) {
  auto target = run.target();
  const bool untouched = !touched(run.request.status);
  if (!target && untouched) return Done{"{}", "Nothing was touched."};
  if (!target) return from_lookup(target.error());
  if (auto outcome = sweep_workers(run, frame, *target)) {
    // Only probes ran; the next request of this name removes what they left.
    if (untouched && std::holds_alternative<Unreachable>(*outcome)) return Done{"{}", "Nothing was touched."};
    return *outcome;
  }
  const bool kept = is_kept(run, frame);
  const auto marked = [&](const crds::RestoreItem& item) {
    return was_begun(run.request.status.steps, name_of({item.name, step::kMark}));
  };
  for (const auto& item : run.request.spec.items)
    if (marked(item) && !kept)
      if (auto outcome = discard_tree(run, frame, item)) return *outcome;
  for (const auto& item : run.request.spec.items)
    if (auto outcome = release_source(run, frame, item)) return *outcome;
  for (const auto& item : run.request.spec.items)
    if (marked(item))
      if (auto outcome = write_one(run, frame, item, kept ? kept_until(run.request, run.now()) : std::nullopt))
        return *outcome;
  return Done{nlohmann::json{{kKept, kept}}.dump(), "The receipt stands beside the volume."};
}

Outcome discard_kept(Run& run, Frame& frame) {
  auto target = run.target();
  // Its object is deleted: there is no way there any more, and nobody who could take it.
  if (!target && target.error().kind == ErrorKind::NotFound && run.request.metadata.deletion_timestamp)
    return Done{"{}", "The host is no longer declared."};
  if (!target) return from_lookup(target.error());
  for (const auto& item : run.request.spec.items) {
    auto volume = target->engine->inspect_volume(item.to.volume, run.limits);
    if (!volume && volume.error().kind == ErrorKind::NotFound) continue;  // somebody removed it with all of it
    if (!volume) return from_error(volume.error(), *target, false);
    if (auto outcome = discard_tree(run, frame, item)) return *outcome;
  }
  return Done{"{}", "The data from before the restore is thrown away."};
}

Outcome probe_rollback(Run& run, Frame& frame) {
  auto all = list<crds::RestoreRequest>(run.context.api);
  if (!all) return Blocked{"ApiUnavailable", all.error().message, kHostRetry};
  if (const auto* other = first_before(run.request, *all))
    return Blocked{"WaitsForAnother",
                   fmt::format("restore {}/{} is at work on the same volume; the rollback goes on when it has ended",
                               other->metadata.ns, other->metadata.name),
                   kHostRetry};
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  for (const auto& item : run.request.spec.items) {
    const auto mark = std::ranges::find(run.request.status.marks, item.name, &crds::MarkSummary::item);
    MoverAnswer answer;
    const mover::Inspect job{.parent = std::string(kParent), .sizes = false, .source = {}};
    if (auto outcome = run_mover(run, frame, "inspect-" + item.name, item.to.volume, job, answer)) return *outcome;
    const auto data = mover::parse_inspect_data(answer.data);
    if (mark == run.request.status.marks.end() || !data || !data->volume)
      return Retry{"WorkerFailed", "inspect told nothing of volume " + item.to.volume, {}};
    if (auto refused = judge_rollback(run.request, item, *mark, *data->volume)) return *refused;
  }
  return Done{"{}", "The data from before the restore is there."};
}

Outcome write_rollback_receipt(Run& run, Frame& frame) {
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  for (const auto& item : run.request.spec.items)
    if (auto outcome = discard_tree(run, frame, item)) return *outcome;
  for (const auto& item : run.request.spec.items)
    if (auto outcome = write_one(run, frame, item, std::nullopt)) return *outcome;
  return Done{"{}", "The receipt of the rollback stands beside the volume."};
}

}  // namespace roadstead::reconcilers::restore
