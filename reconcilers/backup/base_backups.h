#pragma once

#include <mutex>
#include <optional>

#include "crds/backup.h"
#include "reconcilers/backup/decide.h"
#include "reconcilers/support/barman.h"
#include "reconcilers/support/context.h"

namespace roadstead::reconcilers::backup {

/// Backups that barman makes: a worker runs it, its catalogue tells what became of it. Safe from several threads.
class BaseBackups {
 public:
  explicit BaseBackups(Context& context) : context_(context) {}

  /// Looks, decides, writes the status, acts. Returns when to look again. `object` becomes what is stored.
  Result<Millis> look(crds::Backup& object, const Limits& limits);

  /// Finished, or not wanted any more: its workers are gone afterwards; what ran is ended.
  Result<void> clear(const crds::Backup& object, const Limits& limits);

 private:
  /// What a look at the world needs: the server, its engine, its barman.
  struct Place {
    crds::BarmanServer server;
    BarmanAccess access;
  };

  Result<std::string> server_name(const crds::Backup& object);
  std::optional<Place> find_place(const crds::Backup& object, Observed& seen);
  void observe(const crds::Backup& object, const Place& place, Observed& seen, const Limits& limits);
  Result<void> observe_run(const crds::Backup& object, const Place& place, Observed& seen, const Limits& limits);
  Result<void> read_catalogue(const crds::Backup& object, Barman& barman, Observed& seen);
  Result<void> observe_others(const crds::Backup& object, const Place& place, Observed& seen, const Limits& limits);
  [[nodiscard]] WorkerId worker_id(const crds::Backup& object, const crds::BarmanServer& server, int attempt) const;
  Result<void> act(const crds::Backup& object, const std::optional<Place>& place, const Decision& decision,
                   const Limits& limits);
  Result<void> start(const crds::Backup& object, const Place& place, int attempt, const Limits& limits);

  Context& context_;
  std::mutex starting_;  // held from the last look at other workers to the start of one
};

/// The value of an annotation; empty where it is not there.
std::string annotation_of(const crds::Backup& object, std::string_view name);

/// Before the first side effect: the finalizer, and the policy's label, so that one made by hand counts for its policy
/// like any other. True if something changed.
bool claim(crds::Backup& object);

}  // namespace roadstead::reconcilers::backup
