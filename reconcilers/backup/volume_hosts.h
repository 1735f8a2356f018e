#pragma once

// The two hosts of a place, and what stands against copying from the one to the other.

#include <optional>
#include <string>
#include <variant>

#include "reconcilers/backup/volume_run.h"

namespace roadstead::reconcilers::backup {

/// The handles of a place's two ends.
struct Ends {
  HostHandle from, to;
};
/// Both, or what the step has to answer: one of the Hosts is not there, or cannot be used. Does not connect.
std::variant<Ends, Outcome> ends_of(Run& run, const Plan& plan, const Place& place);

/// It waits for somebody to put that right.
Outcome waits(std::string reason, std::string message);

/// What stands against the destination and does not go away by itself. Nothing: the host can be used.
std::optional<Outcome> judge_destination(const HostHandle& from, const HostHandle& to);

}  // namespace roadstead::reconcilers::backup
