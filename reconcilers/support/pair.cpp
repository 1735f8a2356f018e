#include "reconcilers/support/pair.h"

#include <algorithm>

#include "operator/base/hash.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/transfer.h"

namespace roadstead::reconcilers {
namespace {

constexpr Millis kRenewPause{500};
constexpr Millis kFullHostPause{5'000};
constexpr std::size_t kNonceBytes = 16;

using PairLook = std::variant<PairEnd, Underway, EngineError, Error>;

bool is_good(const WorkerSeen& seen) { return seen.state == WorkerState::Exited && seen.result && seen.result->ok; }
bool is_there(const WorkerSeen& seen) {
  return seen.state == WorkerState::Running || seen.state == WorkerState::Exited;
}

/// A server that nobody called in time, or that was ended from outside, says nothing against the next attempt.
bool may_be_renewed(const WorkerSeen& server) {
  return server.interrupted || (server.result && (server.result->ok || server.result->reason == "ListenExpired"));
}

class Pair {
 public:
  Pair(const PairId& id, const PairJob& job, Attempt& attempt, const Limits& limits)
      : id_(id), job_(job), attempt_(attempt), limits_(limits) {}

  PairLook look() {
    PairEnd ends;
    if (auto lost = observe(ends)) return *lost;
    if (is_good(ends.receiver)) return ends;
    if (auto adopted = adopt_or_renew(ends)) return *adopted;
    const WorkerSeen& server = job_.source_serves ? ends.sender : ends.receiver;
    const WorkerSeen& caller = job_.source_serves ? ends.receiver : ends.sender;
    if (server.state == WorkerState::Exited && !is_there(caller) && !may_be_renewed(server)) return ends;
    if (!is_there(ends.sender) || !is_there(ends.receiver))
      if (auto problem = make(ends)) return *problem;
    if (is_good(ends.receiver)) return ends;
    if (ends.sender.interrupted || ends.receiver.interrupted)
      return renew("A mover was interrupted; both are made again.");
    if (ends.sender.state == WorkerState::Exited && ends.receiver.state == WorkerState::Exited) return ends;
    return Underway{fmt::format("{} from host {} to host {}.", id_.step, job_.sender.host->host.metadata.name,
                                job_.receiver.host->host.metadata.name),
                    Millis{1'000}, ends.receiver.progress};
  }

 private:
  [[nodiscard]] WorkerId id(const PairSide& side) const { return worker_of(id_, side, attempt_.number); }
  static PairLook error(const Error& why, const PairSide& side) { return EngineError{why, side.host}; }

  std::optional<PairLook> observe(PairEnd& ends) {
    for (const auto& [side, into] :
         {std::pair(&job_.sender, &ends.sender), std::pair(&job_.receiver, &ends.receiver)}) {
      auto seen = observe_worker(*side->host->engine, id(*side), limits_);
      if (!seen) return error(seen.error(), *side);
      *into = std::move(*seen);
    }
    return std::nullopt;
  }

  /// One of them is gone though both were started, or a lost store has forgotten how many attempts there were.
  std::optional<PairLook> adopt_or_renew(const PairEnd& ends) {
    const bool missing = ends.sender.state == WorkerState::Absent || ends.receiver.state == WorkerState::Absent;
    if (!missing) return std::nullopt;
    int highest = 0;
    for (const auto* side : {&job_.sender, &job_.receiver}) {
      auto one = highest_attempt(*side->host->engine, id(*side), limits_);
      if (!one) return error(one.error(), *side);
      highest = std::max(highest, *one);
    }
    if (attempt_.started) return renew("A mover has vanished; both are made again.", highest + 1);
    if (highest <= attempt_.number) return std::nullopt;
    attempt_.number = highest;
    return Underway{fmt::format("Goes on with attempt {}.", highest), Millis{0}, {}};
  }

  std::optional<PairLook> make(PairEnd& ends) {
    const PairSide& server = job_.source_serves ? job_.sender : job_.receiver;
    const PairSide& caller = job_.source_serves ? job_.receiver : job_.sender;
    WorkerSeen& server_seen = job_.source_serves ? ends.sender : ends.receiver;
    WorkerSeen& caller_seen = job_.source_serves ? ends.receiver : ends.sender;
    // A server that has ended has no port any more: a caller that is missing then comes too late.
    if (server_seen.state == WorkerState::Exited)
      return renew("A mover ended before its peer was there; both are made again.");
    if (auto full = no_free_place()) return *full;

    const std::string transfer = transfer_name(id_.worker.installation, id_.worker.owner, id_.worker.item,
                                               fmt::format("{}-{}", id_.step, id_.worker.spec_hash), attempt_.number);
    const auto& data = server.host->host.spec.data;
    auto ports = parse_port_range(data && data->ports ? *data->ports : "");
    if (!ports) return ports.error();
    const std::string nonce = random_hex(kNonceBytes);
    auto spec = finished(server, serving_link(transfer), transfer_key(id_.secret, transfer, nonce));
    if (!spec) return error(spec.error(), server);
    spec->container.labels[std::string(label::kNonce)] = nonce;
    auto seen = ensure_server(*server.host->engine, std::move(*spec), *ports, limits_);
    if (!seen) return error(seen.error(), server);
    server_seen = std::move(*seen);
    if (server_seen.state != WorkerState::Running) return std::nullopt;

    // It may be an earlier operator's, with a nonce of its own.
    auto serving = look_at_server(*server.host->engine, server_seen.id, limits_);
    if (!serving && serving.error().kind == ErrorKind::Conflict)
      return Underway{"A mover ended before its peer was there.", kRenewPause, {}};  // its end is looked at next
    if (!serving) return error(serving.error(), server);
    spec = finished(caller, calling_link(transfer, data->address, serving->port),
                    transfer_key(id_.secret, transfer, serving->nonce));
    if (!spec) return error(spec.error(), caller);
    seen = ensure_worker(*caller.host->engine, *spec, limits_);
    if (!seen) return error(seen.error(), caller);
    caller_seen = std::move(*seen);
    attempt_.started = true;
    return std::nullopt;
  }

  Result<WorkerSpec> finished(const PairSide& side, const mover::Link& link, const std::string& key) {
    auto spec = side.make(link);
    if (!spec) return spec;
    spec->id = id(side);
    spec->files.push_back({.path = std::string(mover::kKeyPath.substr(1)), .content = key, .mode = 0600});
    return spec;
  }

  std::optional<PairLook> no_free_place() {
    for (const auto* side : {&job_.sender, &job_.receiver}) {
      auto count = running_workers(*side->host->engine, id_.worker.installation, limits_);
      if (!count) return error(count.error(), *side);
      // One of ours may be among them already.
      if (*count > kWorkersPerHost) return Underway{full_host(*side->host, *count), kFullHostPause, {}};
    }
    return std::nullopt;
  }

  PairLook renew(std::string message, int at_least = 0) {
    for (const auto* side : {&job_.sender, &job_.receiver})
      if (auto removed = remove_worker(*side->host->engine, id(*side), std::chrono::seconds(0), limits_); !removed)
        return error(removed.error(), *side);
    attempt_ = {std::max(attempt_.number + 1, at_least), false};
    return Underway{std::move(message), kRenewPause, {}};
  }

  const PairId& id_;
  const PairJob& job_;
  Attempt& attempt_;
  const Limits& limits_;
};

}  // namespace

const WorkerSeen& telling(const PairEnd& end) {
  const auto only_lost = [](const WorkerSeen& seen) { return !seen.result || seen.result->reason == "ConnectionLost"; };
  if (end.receiver.state == WorkerState::Absent) return end.sender;
  return only_lost(end.receiver) && !only_lost(end.sender) ? end.sender : end.receiver;
}

WorkerId worker_of(const PairId& id, const PairSide& side, int attempt) {
  WorkerId worker = id.worker;
  worker.step = side.step;
  worker.attempt = attempt;
  return worker;
}

std::variant<PairEnd, Underway, EngineError, Error> look_at_pair(const PairId& id, const PairJob& job, Attempt& attempt,
                                                                 const Limits& limits) {
  return Pair(id, job, attempt, limits).look();
}

Serving serving_side(const crds::Host& source, const crds::Host& target, Keeper keeper) {
  if (source.metadata.name == target.metadata.name) return Serving::Local;
  const bool source_can = source.spec.data && source.spec.data->ports;
  const bool target_can = target.spec.data && target.spec.data->ports;
  if (source_can && (keeper == Keeper::Source || !target_can)) return Serving::Source;
  return target_can ? Serving::Target : Serving::Nobody;
}

}  // namespace roadstead::reconcilers
