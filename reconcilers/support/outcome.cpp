#include "reconcilers/support/outcome.h"

namespace roadstead::reconcilers {
namespace {

std::int64_t signed_of(std::uint64_t value) { return static_cast<std::int64_t>(value); }

std::optional<std::int64_t> signed_of(const std::optional<std::uint64_t>& value) {
  return value ? std::optional(signed_of(*value)) : std::nullopt;
}

}  // namespace

Outcome from_error(const Error& error, const HostHandle& host, bool is_source) {
  const std::string& name = host.host.metadata.name;
  if (error.kind == ErrorKind::Unavailable || error.kind == ErrorKind::Timeout || error.kind == ErrorKind::Cancelled)
    return Unreachable{name, error.message, is_source};
  if (error.kind == ErrorKind::Conflict)
    return Blocked{"Conflict", fmt::format("host {}: {}", name, error.message), kHostRetry};
  if (error.kind == ErrorKind::NoSpace)
    return Blocked{"NoSpace", fmt::format("host {}: {}; it goes on by itself when there is room", name, error.message),
                   kBlockedRetry};
  return Retry{"EngineRefused", fmt::format("host {}: {}", name, error.message), {}};
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

crds::Progress progress_of(const mover::Progress& progress) {
  crds::Progress out;
  out.phase = progress.phase;
  out.bytes_done = signed_of(progress.bytes_done);
  out.bytes_total = signed_of(progress.bytes_total);
  out.bytes_per_second = signed_of(progress.bytes_per_second);
  out.eta_seconds = signed_of(progress.eta_seconds);
  return out;
}

}  // namespace roadstead::reconcilers
