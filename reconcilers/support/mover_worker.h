#pragma once

// The container of a mover.

#include <vector>

#include "mover/contract/job.h"
#include "operator/ports/engine.h"
#include "reconcilers/support/context.h"
#include "reconcilers/support/worker.h"

namespace roadstead::reconcilers {

/// Runs as root with what moving other people's files takes, and nothing more.
ContainerSpec mover_container(const std::string& image);
/// The job as the file that a mover reads.
std::vector<ArchiveFile> job_files(const mover::Job& job);

/// A mover for one job on this host, whose image is brought there; what it mounts is the caller's to add. Errors: those
/// of the engine.
Result<WorkerSpec> mover_spec(Context& context, const HostHandle& host, const mover::Job& job, const Limits& limits);

}  // namespace roadstead::reconcilers
