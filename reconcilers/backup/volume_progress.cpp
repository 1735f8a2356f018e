#include "reconcilers/backup/volume_progress.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reconcilers/support/progress.h"
#include "reconcilers/support/steps.h"

namespace roadstead::reconcilers::backup {
namespace {

using crds::Step;
using Json = nlohmann::json;

/// What stands in a copy's result; read for progress alone.
constexpr const char* kBytes = "bytes";
constexpr const char* kFiles = "files";

std::optional<std::int64_t> number_in(const std::string& result, const char* field) {
  const Json json = Json::parse(result, nullptr, false);
  const auto found = json.is_object() ? json.find(field) : json.end();
  if (!json.is_object() || found == json.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<std::int64_t>();
}

struct Sums {
  std::int64_t done = 0, total = 0;
  bool whole = true;  ///< Every total is known.
  void add(std::int64_t done_now, std::optional<std::int64_t> total_now) {
    done += done_now;
    total += total_now.value_or(done_now);
    whole = whole && total_now.has_value();
  }
  [[nodiscard]] std::optional<std::int64_t> known_total() const {
    return whole && total > 0 ? std::optional(total) : std::nullopt;
  }
};

/// The snapshot of the same volume at another place, which was measured.
const crds::BackupSnapshot* measured_elsewhere(const crds::BackupStatus& status, const Place& place) {
  for (const auto& snapshot : status.snapshots)
    if (snapshot.volume == place.volume && snapshot.source_host == place.source_host) return &snapshot;
  return nullptr;
}

}  // namespace

std::string copy_result(const mover::CopyData& data) {
  return Json{{kBytes, data.bytes_total}, {kFiles, data.files_total}, {"sent", data.bytes_sent}}.dump();
}

crds::Progress progress_after(const crds::BackupStatus& status, const StepRef& now, const mover::Progress& current) {
  Sums bytes, files;
  const auto plan = plan_of(status);
  for (const auto& copy : plan ? copies_of(*plan, status) : std::vector<StepRef>{}) {
    if (const Step* done = succeeded(status.steps, copy.name)) {
      for (const auto& [sums, field] : {std::pair(&bytes, kBytes), std::pair(&files, kFiles)}) {
        const auto value = number_in(done->result, field).value_or(0);
        sums->add(value, value);
      }
    } else if (copy.name == now.name) {
      const auto total = signed_of(current.bytes_total);
      bytes.add(signed_of(current.bytes_done), total ? total : copy.missing->bytes);
      files.add(signed_of(current.files_done), signed_of(current.files_total));
    } else if (given_up(status, copy.name) == nullptr) {
      const auto* elsewhere = measured_elsewhere(status, *copy.place);
      bytes.add(0, elsewhere != nullptr ? std::optional(elsewhere->data_bytes) : copy.missing->bytes);
      files.add(0, elsewhere != nullptr ? std::optional(elsewhere->files) : std::nullopt);
    }
  }
  const crds::Progress before = status.progress.value_or(crds::Progress{});
  crds::Progress progress;
  progress.phase = current.phase.empty() ? before.phase : std::optional(current.phase);
  progress.bytes_done = no_less(before.bytes_done, bytes.done);
  progress.files_done = no_less(before.files_done, files.done);
  progress.bytes_total = no_less(before.bytes_total, bytes.known_total());
  progress.files_total = no_less(before.files_total, files.known_total());
  if (progress.bytes_total) progress.bytes_total = std::max(*progress.bytes_total, *progress.bytes_done);
  if (progress.files_total) progress.files_total = std::max(*progress.files_total, *progress.files_done);
  progress.percent = before.percent;
  if (current.bytes_per_second) progress.bytes_per_second = signed_of(*current.bytes_per_second);
  if (!bytes.known_total()) return progress;
  constexpr std::int64_t kNotYet = 99;
  progress.percent =
      std::max(before.percent.value_or(0), std::min(kNotYet, *progress.bytes_done * 100 / *progress.bytes_total));
  if (progress.bytes_per_second.value_or(0) > 0)
    progress.eta_seconds = (*progress.bytes_total - *progress.bytes_done) / *progress.bytes_per_second;
  return progress;
}

void close_progress(crds::BackupStatus& status, bool whole) {
  if (!status.progress) return;
  status.progress->phase = "done";
  status.progress->eta_seconds.reset();
  status.progress->bytes_per_second.reset();
  if (!whole) return;
  // What was done is known exactly now; the total was a guess while volumes were still to come.
  status.progress->bytes_total = status.progress->bytes_done;
  status.progress->files_total = status.progress->files_done;
  status.progress->percent = 100;
}

}  // namespace roadstead::reconcilers::backup
