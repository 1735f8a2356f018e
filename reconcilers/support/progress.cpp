#include "reconcilers/support/progress.h"

namespace roadstead::reconcilers {

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
