#pragma once

#include <optional>
#include <string>
#include <vector>

#include "crds/backup.h"
#include "crds/barman_server.h"
#include "reconcilers/support/barman.h"
#include "reconcilers/support/worker.h"

namespace roadstead::reconcilers::backup {

/// What one look gave, as far as it was needed. The catalogue is the truth, a container only a hint.
struct Observed {
  std::string server;                        ///< The BarmanServer's name; empty: not known.
  std::string container;                     ///< Its standing container's name.
  std::optional<Error> unresolved;           ///< Policy, server, Host or secret: nothing can be done yet.
  std::string not_ready;                     ///< Why the server cannot make a base backup now; empty: it can.
  std::optional<Error> unreachable;          ///< Engine or barman do not answer: nothing is known of the run.
  std::vector<crds::CatalogBackup> entries;  ///< The catalogue's entries of this Backup, newest attempt last.
  std::optional<BackupDetails> details;      ///< Of the entry that is DONE.
  bool made_from_catalogue = false;          ///< The object only tells of an entry: nothing is ever run for it.
  WorkerSeen worker;                         ///< Of status.attempt.
  bool backup_lock_held = false;             ///< Only asked where an entry is unfinished without a worker.
  std::string waits_for;  ///< What holds this run up: "Backup x", "base backup 2026… of somebody else".
  std::optional<BaseBackupProgress> progress;
  int highest_attempt = 0;  ///< Among entries and containers that are there.
};

enum class Act {
  None,
  Wait,         ///< Pending: look again later.
  Start,        ///< Make the worker of `attempt`.
  Follow,       ///< It runs.
  AwaitWal,     ///< Copied; production is nudged so that its last WAL arrives.
  FailAttempt,  ///< Take down how it ended; another attempt may follow.
  Fail,         ///< Take it down, and that it was the last.
  Complete,
};

struct Decision {
  Act act = Act::None;
  int attempt = 0;     ///< Of Start, FailAttempt, Fail.
  std::string reason;  ///< CamelCase
  std::string message;
  bool counts = true;  ///< FailAttempt: false where somebody else ended it.
  Millis again{0};     ///< When to look again.
};

inline constexpr int kAttempts = 3;  ///< Failures that count.
inline constexpr Millis kBetweenAttempts{30'000};
inline constexpr Millis kAfterInterruption{5'000};

/// Whether and how far one look has to go is decided by what it found so far; see Observed.
Decision decide(const crds::Backup& backup, const Observed& seen, Time now);

/// The status after this look and decision. Finished entries of steps are never changed.
crds::BackupStatus status_after(const crds::Backup& backup, const Observed& seen, const Decision& decision,
                                const std::string& host, const std::string& worker, Time now);

/// Never goes backwards: a total that grows holds the percent, and 100 is only reached by being done.
crds::Progress progress_after(const std::optional<crds::Progress>& before, const BaseBackupProgress& row, Time started,
                              Time now);

/// The object must hold its worker by a finalizer from now on: one is about to be made, or was found, since the store
/// that knew of it was lost.
bool claims(const Observed& seen, const Decision& decision);

/// How many attempts failed by themselves.
int counted_failures(const crds::BackupStatus& status);

}  // namespace roadstead::reconcilers::backup
