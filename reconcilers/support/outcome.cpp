#include "reconcilers/support/outcome.h"

#include "reconcilers/support/commands.h"

namespace roadstead::reconcilers {

Outcome from_error(const Error& error, const HostHandle& host, bool is_source) {
  const std::string& name = host.host.metadata.name;
  if (error.kind == ErrorKind::Unavailable || error.kind == ErrorKind::Timeout || error.kind == ErrorKind::Cancelled)
    return Unreachable{name, error.message, is_source};
  if (error.kind == ErrorKind::Conflict)
    return Blocked{"Conflict", fmt::format("host {}: {}", name, error.message), kHostRetry};
  if (error.kind == ErrorKind::NoSpace)
    return Blocked{"NoSpace", fmt::format("host {}: {}; it goes on by itself when there is room", name, error.message),
                   kBlockedRetry};
  return Retry{
      "EngineRefused", fmt::format("host {}: {}", name, error.message),
      fmt::format("look at it with `roadstead describe host {}` and `{} info`", name, docker_command(host.host))};
}

Outcome from_lookup(const Error& error) {
  return Blocked{error.kind == ErrorKind::NotFound ? "ReferenceNotFound" : "ReferenceUnusable", error.message,
                 kBlockedRetry};
}

Outcome from_underway(const Underway& underway) {
  Working working{underway.message, underway.again, {}};
  if (underway.progress) working.progress = progress_of(*underway.progress);
  return working;
}

Retry worker_failed(const std::string& worker, const HostHandle& host, const WorkerSeen& seen) {
  return {"WorkerFailed",
          fmt::format("worker {} on host {} {}", worker, host.host.metadata.name, end_without_result(seen)),
          fmt::format("look at the memory of that host: `roadstead describe host {}`, and `dmesg` there",
                      host.host.metadata.name)};
}

std::string words_of(const Unreachable& lost) {
  return fmt::format(
      "Docker Engine of host {0} is not reached: {1}; it goes on by itself when the host is back (`roadstead describe "
      "host {0}`)",
      lost.host, lost.message);
}

}  // namespace roadstead::reconcilers
