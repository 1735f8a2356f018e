#pragma once

// The verbs that work on a volume alone, without a network. Each may be run twice.

#include <stop_token>

#include "mover/contract/job.h"
#include "mover/outcome.h"

namespace roadstead::mover {

Outcome<InspectData> inspect(const Inspect& job, const std::stop_token& stop);
Outcome<SurveyData> survey(const Survey& job);
Outcome<void> mark(const Mark& job);

/// Refuses with MountPoint or OtherDevice where an exchange cannot work, with InodeMismatch where neither `_data` nor
/// the tree is the one asked for; then nothing was touched.
Outcome<ExchangeData> exchange(const Exchange& job);

Outcome<InodeData> finish(const Finish& job);
Outcome<RemovedData> discard(const Discard& job, const std::stop_token& stop);
Outcome<RemovedData> empty(const Empty& job, const std::stop_token& stop);
Outcome<InodeData> make_directory(const MakeDirectory& job);

}  // namespace roadstead::mover
