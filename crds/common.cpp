#include "crds/common.h"

#include <fmt/format.h>

#include "operator/base/quantity.h"
#include "operator/base/rfc3339.h"

namespace roadstead::crds {

ProgressSummary summary_of(const Progress& progress, std::optional<Time> data_as_of) {
  ProgressSummary out;
  if (progress.percent) out.progress = fmt::format("{}%", *progress.percent);
  if (progress.bytes_per_second && *progress.bytes_per_second >= 0)
    out.rate = human_bytes(static_cast<std::uint64_t>(*progress.bytes_per_second)) + "/s";
  if (progress.eta_seconds) out.eta = human_duration(std::chrono::seconds{*progress.eta_seconds});
  if (data_as_of) out.data_as_of = format_rfc3339(*data_as_of);
  return out;
}

}  // namespace roadstead::crds
