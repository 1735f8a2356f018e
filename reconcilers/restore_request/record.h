#pragma once

// What the status of a restore says: which steps there are, what their entries keep, and what follows from that. No
// I/O, no clock, no log.

#include <optional>
#include <string>
#include <string_view>

#include "crds/restore_request.h"

namespace roadstead::reconcilers::restore {

namespace step {
inline constexpr std::string_view kProbe = "probe", kPin = "pin", kMark = "mark", kPrepare = "prepare",
                                  kReplay = "replay", kCopy = "copy", kFinish = "finish", kStop = "stop",
                                  kExchange = "exchange", kStart = "start", kCheck = "check", kReceipt = "receipt",
                                  kPutBack = "putback", kRestart = "restart", kCompare = "compare",
                                  kOverwrite = "overwrite", kDiscard = "discard", kRollbackProbe = "rollback-probe",
                                  kRollbackStop = "rollback-stop", kRollback = "rollback",
                                  kRollbackStart = "rollback-start", kRollbackReceipt = "rollback-receipt";
}  // namespace step

/// In the memory of an exchange from just before its mover is made.
inline constexpr std::string_view kExchanging = "exchanging";
/// In the memory of an overwriting from when the mark says so, which is before its mover is made; and from when the
/// mark says that it is done.
inline constexpr std::string_view kOverwriting = "overwriting", kOverwritten = "overwritten";

/// Where a request stands: an item's step, or one of the whole request (empty item).
struct StepRef {
  std::string item;
  std::string_view step;
  auto operator<=>(const StepRef&) const = default;
};

/// "montagu-db/copy"; "stop".
std::string name_of(const StepRef& ref);

/// 16 hex digits of everything in the spec that cannot change.
std::string spec_hash(const crds::RestoreRequest& request);

// ---- entries ------------------------------------------------------------------------------------------------------

const crds::PinnedSource* pinned_of(const crds::RestoreRequestStatus& status, const std::string& item);
/// A step's result as a field's text or number; nothing where it is not there.
std::optional<std::string> result_text(const crds::RestoreRequestStatus& status, const std::string& step,
                                       const char* field);
std::optional<std::uint64_t> result_number(const crds::RestoreRequestStatus& status, const std::string& step,
                                           const char* field);
/// True where a step's result says so.
bool result_flag(const crds::RestoreRequestStatus& status, const std::string& step, std::string_view field);

// ---- what follows from them ----------------------------------------------------------------------------------------

/// How an item's volume gets the data: as pinned, before that as probed. Never Auto.
crds::RestoreStrategy strategy_of(const crds::RestoreRequest& request, const crds::RestoreItem& item);
bool is_in_place(const crds::RestoreRequest& request, const crds::RestoreItem& item);

/// It may have exchanged a volume's data: its mover was about to be made, or more.
bool may_have_exchanged(const crds::Step& entry);

/// True once every volume holds the new data.
bool all_new(const crds::RestoreRequest& request);
/// True from the first overwriting that may have begun until every volume holds the new data: there is no way back, and
/// nothing may be started.
bool forward_only(const crds::RestoreRequest& request);

/// True from the first mark: from then on something of ours is on a host.
bool touched(const crds::RestoreRequestStatus& status);
/// True from the first exchange or overwriting that may have happened: then it goes forward only.
bool past_cancelling(const crds::RestoreRequestStatus& status);
/// True once an end (Failed, Cancelled) is decided and the way out is being gone.
bool is_ending(const crds::RestoreRequestStatus& status);

/// True from when the first application may have been stopped for a rollback until its receipt stands.
bool rolling_back(const crds::RestoreRequestStatus& status);
bool rolled_back(const crds::RestoreRequestStatus& status);

}  // namespace roadstead::reconcilers::restore
