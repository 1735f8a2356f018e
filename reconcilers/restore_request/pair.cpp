#include "reconcilers/restore_request/pair.h"

#include <algorithm>

#include "reconcilers/support/transfer.h"

namespace roadstead::reconcilers::restore {
namespace {

using Json = nlohmann::json;

constexpr Millis kRenewPause{500};

/// The pair's movers as workers.
struct Ends {
  WorkerSeen sender, receiver;
};

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
  Pair(Run& run, Frame& frame, const PairJob& job) : run_(run), frame_(frame), job_(job) {}

  std::variant<PairEnd, Outcome> look() {
    Ends ends;
    if (auto lost = observe(ends)) return *lost;
    if (is_good(ends.receiver)) return PairEnd{std::move(ends.sender), std::move(ends.receiver)};
    if (auto adopted = adopt_or_renew(ends)) return *adopted;
    const WorkerSeen& server = job_.source_serves ? ends.sender : ends.receiver;
    const WorkerSeen& caller = job_.source_serves ? ends.receiver : ends.sender;
    if (server.state == WorkerState::Exited && !is_there(caller) && !may_be_renewed(server))
      return PairEnd{ends.sender, ends.receiver};
    if (!is_there(ends.sender) || !is_there(ends.receiver))
      if (auto problem = make(ends)) return *problem;
    if (is_good(ends.receiver)) return PairEnd{std::move(ends.sender), std::move(ends.receiver)};
    if (ends.sender.interrupted || ends.receiver.interrupted)
      return renew("A mover was interrupted; both are made again.");
    if (ends.sender.state == WorkerState::Exited && ends.receiver.state == WorkerState::Exited)
      return PairEnd{std::move(ends.sender), std::move(ends.receiver)};
    return working(ends);
  }

 private:
  [[nodiscard]] int attempt() { return static_cast<int>(frame_.entry().attempt); }
  [[nodiscard]] WorkerId id(const PairSide& side) { return run_.worker_id(frame_.ref().item, side.step, attempt()); }
  [[nodiscard]] bool is_source(const PairSide& side) const { return &side == &job_.sender; }
  [[nodiscard]] Outcome error(const Error& error, const PairSide& side) const {
    return from_error(error, *side.host, is_source(side));
  }

  std::optional<Outcome> observe(Ends& ends) {
    for (const auto& [side, into] :
         {std::pair(&job_.sender, &ends.sender), std::pair(&job_.receiver, &ends.receiver)}) {
      auto seen = observe_worker(*side->host->engine, id(*side), run_.limits);
      if (!seen) return error(seen.error(), *side);
      *into = std::move(*seen);
    }
    return std::nullopt;
  }

  /// One of them is gone though both were started, or a lost store has forgotten how many attempts there were.
  std::optional<Outcome> adopt_or_renew(const Ends& ends) {
    const bool started = frame_.memory().value("pair", 0) == attempt();
    const bool missing = ends.sender.state == WorkerState::Absent || ends.receiver.state == WorkerState::Absent;
    if (!missing) return std::nullopt;
    int highest = 0;
    for (const auto* side : {&job_.sender, &job_.receiver}) {
      auto one = highest_attempt(*side->host->engine, id(*side), run_.limits);
      if (!one) return error(one.error(), *side);
      highest = std::max(highest, *one);
    }
    if (started) return renew("A mover has vanished; both are made again.", highest + 1);
    if (highest <= attempt()) return std::nullopt;
    frame_.entry().attempt = highest;
    return Working{fmt::format("Goes on with attempt {}.", highest), Millis{0}, {}};
  }

  std::optional<Outcome> make(Ends& ends) {
    const PairSide& server = job_.source_serves ? job_.sender : job_.receiver;
    const PairSide& caller = job_.source_serves ? job_.receiver : job_.sender;
    WorkerSeen& server_seen = job_.source_serves ? ends.sender : ends.receiver;
    WorkerSeen& caller_seen = job_.source_serves ? ends.receiver : ends.sender;
    // A server that has ended has no port any more: a caller that is missing then comes too late.
    if (server_seen.state == WorkerState::Exited)
      return renew("A mover ended before its peer was there; both are made again.");
    if (auto full = no_free_place()) return *full;

    // With the spec and the point in it: a request made anew under an old name does not use an old key again.
    const std::string transfer =
        transfer_name(run_.context.installation, run_.key, frame_.ref().item,
                      fmt::format("{}-{}", frame_.ref().step, run_.worker_hash(frame_.ref().item)), attempt());
    const std::string key = transfer_key(run_.context.installation_secret, transfer);
    const auto& data = server.host->host.spec.data;
    auto ports = parse_port_range(data && data->ports ? *data->ports : "");
    if (!ports) return from_lookup(ports.error());
    auto spec = finished(server, serving_link(transfer), key);
    if (!spec) return error(spec.error(), server);
    auto seen = ensure_server(*server.host->engine, std::move(*spec), *ports, run_.limits);
    if (!seen) return error(seen.error(), server);
    server_seen = std::move(*seen);
    if (server_seen.state != WorkerState::Running) return std::nullopt;

    auto port = published_port(*server.host->engine, server_seen.id, run_.limits);
    if (!port && port.error().kind == ErrorKind::Conflict)
      return Working{"A mover ended before its peer was there.", kRenewPause, {}};  // its end is looked at next
    if (!port) return error(port.error(), server);
    spec = finished(caller, calling_link(transfer, data->address, *port), key);
    if (!spec) return error(spec.error(), caller);
    seen = ensure_worker(*caller.host->engine, *spec, run_.limits);
    if (!seen) return error(seen.error(), caller);
    caller_seen = std::move(*seen);

    Json memory = frame_.memory();
    memory["pair"] = attempt();
    frame_.remember(memory);
    frame_.entry().worker = worker_name(id(job_.receiver));
    frame_.entry().host = job_.receiver.host->host.metadata.name;
    return std::nullopt;
  }

  Result<WorkerSpec> finished(const PairSide& side, const mover::Link& link, const std::string& key) {
    auto spec = side.make(link);
    if (!spec) return spec;
    spec->id = id(side);
    spec->files.push_back({.path = std::string(mover::kKeyPath.substr(1)), .content = key, .mode = 0600});
    return spec;
  }

  std::optional<Outcome> no_free_place() {
    for (const auto* side : {&job_.sender, &job_.receiver}) {
      auto count = running_workers(*side->host->engine, run_.context.installation, run_.limits);
      if (!count) return error(count.error(), *side);
      // One of ours may be among them already.
      if (*count > kWorkersPerHost)
        return Working{fmt::format("Waits: {} workers run on host {} already.", *count, side->host->host.metadata.name),
                       Millis{5'000},
                       {}};
    }
    return std::nullopt;
  }

  Outcome renew(std::string message, int at_least = 0) {
    for (const auto* side : {&job_.sender, &job_.receiver})
      if (auto removed = remove_worker(*side->host->engine, id(*side), std::chrono::seconds(0), run_.limits); !removed)
        return error(removed.error(), *side);
    next_attempt(frame_, at_least);
    return Working{std::move(message), kRenewPause, {}};
  }

  Outcome working(const Ends& ends) {
    Working working{fmt::format("{} from host {} to host {}.", frame_.ref().step, job_.sender.host->host.metadata.name,
                                job_.receiver.host->host.metadata.name),
                    Millis{1'000},
                    {}};
    if (ends.receiver.progress) working.progress = progress_of(*ends.receiver.progress);
    return working;
  }

  Run& run_;
  Frame& frame_;
  const PairJob& job_;
};

}  // namespace

const WorkerSeen& telling(const PairEnd& end) {
  const auto only_lost = [](const WorkerSeen& seen) { return !seen.result || seen.result->reason == "ConnectionLost"; };
  if (end.receiver.state == WorkerState::Absent) return end.sender;
  return only_lost(end.receiver) && !only_lost(end.sender) ? end.sender : end.receiver;
}

std::variant<PairEnd, Outcome> run_pair(Run& run, Frame& frame, const PairJob& job) {
  return Pair(run, frame, job).look();
}

void remove_pair_after_write(Run& run, const Frame& frame, const PairJob& job, int attempt) {
  for (const auto* side : {&job.sender, &job.receiver}) {
    WorkerJob worker;
    worker.host = side->host;
    worker.step = side->step;
    remove_after_write(run, frame, worker, attempt);
  }
}

}  // namespace roadstead::reconcilers::restore
