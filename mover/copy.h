#pragma once

#include <stop_token>

#include "mover/connection.h"
#include "mover/contract/job.h"
#include "mover/link.h"
#include "mover/progress.h"

namespace roadstead::mover {

/// What a copy comes to, well or badly: the counts are true in both cases.
struct CopyEnd {
  CopyData data;
  std::optional<Failure> failure;
};

/// Runs the verb "copy" in the job's role. `key` is not used for role Both.
CopyEnd copy(const Copy& job, const Key& key, const std::stop_token& stop, Meter& meter);

/// The two ends over connections that stand already.
CopyEnd send_tree(const Copy& job, Linked& linked, Session& session, Meter& meter);
CopyEnd receive_tree(const Copy& job, Linked& linked, Session& session, Meter& meter);

/// Both ends in one process.
CopyEnd copy_here(const Copy& job, const std::stop_token& stop, Meter& meter);

/// Runs the verb "connect".
Outcome<ConnectData> probe(const Link& link, const Key& key, const std::stop_token& stop);

}  // namespace roadstead::mover
