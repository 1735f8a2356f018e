#pragma once

// What a restore writes beside a target volume, so that a lost store does not repeat the past.

#include <optional>
#include <string>

#include "crds/restore_request.h"

namespace roadstead::reconcilers::restore {

enum class MarkState {
  Preparing,    ///< The applications were not touched yet.
  Stopping,     ///< From before the first stop: ledger and both inodes are known.
  Overwriting,  ///< In place: the data may be half old and half new.
  Overwritten,  ///< In place: the data is the new one; written before anything is started.
  RollingBack,  ///< From before the first stop of a rollback: ledger, both inodes and the restore's receipt are known.
  Receipt,      ///< It ended.
};
std::string_view word_of(MarkState state);
/// Which of them holds for an item from before the first stop to the end.
MarkState state_of(const crds::RestoreRequest& request, const crds::RestoreItem& item);

struct Mark {
  std::string installation, ns, name, item;
  std::string spec_hash;
  MarkState state = MarkState::Preparing;
  std::string volume;
  std::optional<crds::PinnedSource> pinned;
  std::vector<crds::LedgerEntry> ledger;
  std::uint64_t old_inode = 0;  ///< Of `_data` before the exchange; 0: not known yet.
  std::uint64_t new_inode = 0;  ///< Of the staged tree.
  std::optional<crds::Receipt> receipt;
  std::string reason, message;  ///< Of the terminal condition, with a receipt.
};

std::string to_json(const Mark& mark);
/// Errors: Invalid.
Result<Mark> parse_mark(const std::string& text);

/// The mark of one item as its request stands now.
Mark mark_of(const crds::RestoreRequest& request, const crds::RestoreItem& item, const std::string& installation,
             MarkState state);

/// What is beside one target volume, as a request that finds its status empty sees it.
struct FoundMark {
  std::string item;
  Mark mark;
  std::uint64_t data_inode = 0;  ///< Of `_data` now; 0: not looked at, because nothing depends on it.
};

struct Recalled {
  enum class What { Nothing, AlreadyDone, GoesOn, Foreign } what = What::Nothing;
  std::string message;  ///< Foreign: what stands in the way.
};
/// Rebuilds the status out of the marks of this installation. The request's status is empty before.
Recalled recall(crds::RestoreRequest& request, const std::string& installation, const std::vector<FoundMark>& found,
                Time now);

}  // namespace roadstead::reconcilers::restore
