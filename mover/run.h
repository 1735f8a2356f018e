#pragma once

#include <stop_token>
#include <string_view>

#include "mover/connection.h"
#include "mover/contract/job.h"
#include "mover/progress.h"

namespace roadstead::mover {

/// True for the jobs that meet another mover.
bool needs_key(const Job& job);

/// Does a job, whatever its verb. `key` is used only where needs_key() says so. Never throws.
WorkerResult run(const Job& job, const Key& key, const std::stop_token& stop, Meter& meter);

/// The result of a failure, with what is known so far.
WorkerResult result_of(const Failure& failure, std::string data = "{}");

}  // namespace roadstead::mover
