#pragma once

// What a host keeps of a place's volume: asked by the look, and again before a copy is made once more.

#include <string>
#include <variant>

#include "reconcilers/backup/volume_run.h"

namespace roadstead::reconcilers::backup {

/// The words of the workers that list: at the destination, and at the source where a repository is copied.
inline constexpr const char *kList = "look", *kListSource = "look-source";

using Listed = std::variant<mover::SnapshotsData, Outcome>;

/// What a host keeps of the place's volume; no directory is no snapshots, and tells so in `directory`. The worker stays
/// where it succeeded, so that its answer can be read again: see remove_list().
Listed list_place(Run& run, const Plan& plan, const StepRef& ref, const HostHandle& host, const std::string& word,
                  bool& directory);

/// What list_place() read needs no worker any more.
void remove_list(Run& run, const Plan& plan, const StepRef& ref, const HostHandle& host, const std::string& word,
                 std::int64_t attempt);

/// Null: there is none of this id.
const mover::SnapshotSeen* snapshot_with(const mover::SnapshotsData& data, const std::string& id);

}  // namespace roadstead::reconcilers::backup
