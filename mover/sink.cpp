#include "mover/sink.h"

#include "mover/in_place.h"
#include "mover/repository_sink.h"
#include "mover/staged_sink.h"

namespace roadstead::mover {

Outcome<bool> SinkThread::pieces_of(const Digest&, std::vector<Digest>&) { return false; }

Outcome<bool> SinkThread::patch(const Spot&, FileState&, const Patched&) { return false; }

Outcome<bool> SinkThread::have(const Spot&, FileState&, const Digest&) { return false; }

std::vector<std::uint64_t> Sink::known(std::size_t) const { return {}; }

Outcome<std::unique_ptr<Sink>> open_sink(const Copy& job) {
  if (job.target) return open_staged_sink(*job.target);
  if (job.in_place) return open_in_place_sink(*job.in_place);
  if (job.snapshot) return open_repository_sink(*job.snapshot);
  return failed("Refused", "this mover has no such sink", "bring a newer mover image to this host");
}

}  // namespace roadstead::mover
