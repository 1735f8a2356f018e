#pragma once

#include "crds/backup_policy.h"
#include "reconcilers/support/context.h"
#include "reconcilers/support/outcome.h"

namespace roadstead::reconcilers {

/// Runs a hook once, to its end or its time limit: a command in a container of `host`, or a request from here. Done: it
/// succeeded. Failed: it ended otherwise, or cannot be begun at all. Retry: whether it was done is not known, or nobody
/// was reached. Unreachable: the host's engine does not answer, nothing was begun.
Outcome run_hook(const Context& context, const crds::Hook& hook, const HostHandle& host, const Limits& limits);

}  // namespace roadstead::reconcilers
