#pragma once

// What the movers of one copy are made from: jobs, mounts, network.

#include <optional>
#include <string>

#include "reconcilers/backup/volume_run.h"

namespace roadstead::reconcilers::backup {

/// One copy: whose, what, from where to where. Keeps references, which outlive it.
struct CopyJob {
  Run& run;
  const Plan& plan;
  const StepRef& ref;
  const HostHandle& from;
  const HostHandle& to;
  std::string directory;         ///< On the destination.
  std::string source_directory;  ///< Where a repository is copied: on the host that is read.

  /// The one that reads the volume or the snapshot.
  [[nodiscard]] Result<WorkerSpec> sender(const mover::Link& link) const;
  /// The one that writes the snapshot.
  [[nodiscard]] Result<WorkerSpec> receiver(const mover::Link& link) const;
  /// Both in one, where source and destination are on one host.
  [[nodiscard]] Result<WorkerSpec> both() const;
};

}  // namespace roadstead::reconcilers::backup
