#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "reconcilers/backup_policy/upkeep.h"
#include "reconcilers/support/context.h"

namespace roadstead::reconcilers::backup_policy {

/// Keeps the repositories of policies: lists them, thins them out, verifies them, and makes the Backup objects tell
/// what is there. What it remembers may be lost at any time. Used from several threads, for one policy from one.
class Keeper {
 public:
  /// `context` outlives it.
  explicit Keeper(Context& context) : context_(context) {}

  struct Look {
    std::optional<Millis> again;
    std::vector<Told> events;
    std::vector<std::function<void()>> after_write;  ///< To be called once the policy's status is stored.
  };
  /// One look at every directory of the policy: what ends is taken into its status, what is due is begun. `objects`:
  /// all Backups of the namespace. Errors: those of the API; nothing was begun then.
  Result<Look> look(crds::BackupPolicy& policy, const Scope& scope, const std::vector<crds::Backup>& objects,
                    const ReadSchedule& schedule, const Limits& limits);

  /// The policy is gone: its workers are ended.
  void forget(const ObjectKey& key, const Limits& limits);

 private:
  using Memories = std::map<Place, Memory>;
  Memories& memories_of(const ObjectKey& key);

  Context& context_;
  std::mutex mutex_;  // guards known_; each of its values belongs to the thread that looks at that policy
  std::map<ObjectKey, Memories> known_;
};

}  // namespace roadstead::reconcilers::backup_policy
