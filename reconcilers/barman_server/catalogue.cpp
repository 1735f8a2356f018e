#include "reconcilers/barman_server/catalogue.h"

#include <algorithm>

#include "operator/base/text.h"
#include "reconcilers/support/backup_names.h"
#include "reconcilers/support/barman.h"
#include "reconcilers/support/pace.h"

namespace roadstead::reconcilers::barman_server {
namespace {

std::string value_of(const std::map<std::string, std::string>& map, std::string_view key) {
  const auto found = map.find(std::string(key));
  return found == map.end() ? std::string() : found->second;
}

bool is_good(const crds::CatalogBackup& backup) { return backup.status == "DONE"; }

/// Our own name of an entry, where it was made for an object of this namespace.
std::optional<BarmanBackupName> own_name(const crds::BarmanServer& server, const crds::CatalogBackup& entry) {
  auto name = parse_barman_backup_name(entry.name);
  if (name && name->ns != server.metadata.ns) return std::nullopt;
  return name;
}

const crds::Backup* object_named(const std::vector<crds::Backup>& objects, const std::string& name) {
  const auto found =
      std::find_if(objects.begin(), objects.end(), [&](const auto& object) { return object.metadata.name == name; });
  return found == objects.end() ? nullptr : &*found;
}

std::string object_name(const crds::BarmanServer& server, const crds::CatalogBackup& entry) {
  if (const auto own = own_name(server, entry)) return own->backup;
  return server.metadata.name + "-" + lower(entry.id);
}

crds::Backup object_for(const crds::BarmanServer& server, const crds::CatalogBackup& entry) {
  crds::Backup object;
  object.metadata.ns = server.metadata.ns;
  object.metadata.name = object_name(server, entry);
  object.metadata.annotations[std::string(kCatalogServerAnnotation)] = server.metadata.name;
  object.metadata.annotations[std::string(kCatalogIdAnnotation)] = entry.id;
  const auto scheduled = own_name(server, entry) ? parse_scheduled_backup_name(object.metadata.name) : std::nullopt;
  if (scheduled) {
    object.metadata.labels[std::string(crds::kPolicyLabel)] = scheduled->policy;
    object.spec.policy_ref = crds::NameRef{scheduled->policy};
    object.spec.scheduled_time = scheduled->scheduled;
  } else {
    object.spec.source = crds::BackupSource{crds::BarmanBackupSource{{server.metadata.name}}};
  }
  return object;
}

bool stands_for(const crds::Backup& object, const crds::BarmanServer& server, const crds::CatalogBackup& entry) {
  if (value_of(object.metadata.annotations, kCatalogServerAnnotation) == server.metadata.name &&
      value_of(object.metadata.annotations, kCatalogIdAnnotation) == entry.id)
    return true;
  return object.status.barman && object.status.barman->server == server.metadata.name &&
         object.status.barman->backup_id == entry.id;
}

bool is_in(const std::vector<crds::CatalogBackup>& catalogue, const std::string& id) {
  return std::any_of(catalogue.begin(), catalogue.end(), [&](const auto& entry) { return entry.id == id; });
}

/// The Backup has taken down how this attempt ended, or nobody is left who would.
bool is_recorded(const std::vector<crds::Backup>& objects, const BarmanBackupName& name) {
  const crds::Backup* object = object_named(objects, name.backup);
  if (object == nullptr || crds::is_finished(object->status)) return true;
  return std::any_of(object->status.steps.begin(), object->status.steps.end(), [&](const crds::Step& step) {
    return step.name == "backup" && step.attempt == name.attempt && step.state != crds::StepState::Running;
  });
}

/// Empty: none is wanted.
std::string own_backup_name(const crds::BarmanServer& server, const std::vector<crds::CatalogBackup>& catalogue,
                            const std::string& interruption) {
  if (!server.spec.initial_backup) return {};
  const bool none = std::none_of(catalogue.begin(), catalogue.end(), [](const auto& entry) {
    return is_good(entry) || entry.status == "WAITING_FOR_WALS";
  });
  if (none) return server.metadata.name + "-initial";
  return interruption.empty() ? std::string() : server.metadata.name + "-after-gap-" + lower(interruption);
}

struct OwnAttempts {
  struct Failed {
    std::string name;
    Time ended{};
    Millis pause{};
  };
  bool under_way = false;        ///< One is there that has not failed.
  std::optional<Failed> failed;  ///< The newest.
  std::string next;              ///< The first name that is free.
};

/// What makes a base backup fail three times within minutes seldom goes by itself: an hour, two, …, at most a day.
OwnAttempts own_attempts(std::string name, const std::vector<crds::Backup>& objects) {
  constexpr int kLongestPause = 24;
  OwnAttempts attempts{false, std::nullopt, name};
  for (int number = 1;; attempts.next = fmt::format("{}-{}", name, ++number)) {
    const crds::Backup* object = object_named(objects, attempts.next);
    if (object == nullptr) return attempts;
    if (!crds::is_true(object->status.conditions, "Failed")) {
      attempts.under_way = true;
      return attempts;
    }
    attempts.failed = {attempts.next, object->status.finished_at.value_or(Time{}),
                       std::chrono::hours(std::min(number, kLongestPause))};
  }
}

}  // namespace

ObjectChanges object_changes(const crds::BarmanServer& server, const std::vector<crds::CatalogBackup>& catalogue,
                             const std::vector<crds::Backup>& objects) {
  ObjectChanges changes;
  for (const crds::CatalogBackup& entry : catalogue) {
    if (!is_good(entry)) continue;
    const bool known = std::any_of(objects.begin(), objects.end(),
                                   [&](const auto& object) { return stands_for(object, server, entry); });
    // An object of that name that has not got so far finds its backup by itself.
    if (known || object_named(objects, object_name(server, entry)) != nullptr) continue;
    changes.create.push_back(object_for(server, entry));
  }
  for (const crds::Backup& object : objects) {
    const bool ours = object.status.barman && object.status.barman->server == server.metadata.name;
    const std::string id = ours ? object.status.barman->backup_id
                           : value_of(object.metadata.annotations, kCatalogServerAnnotation) == server.metadata.name
                               ? value_of(object.metadata.annotations, kCatalogIdAnnotation)
                               : std::string();
    const bool complete = crds::is_true(object.status.conditions, "Complete");
    const bool made_from_catalogue = !value_of(object.metadata.annotations, kCatalogIdAnnotation).empty();
    if (!id.empty() && (complete || made_from_catalogue) && !is_in(catalogue, id))
      changes.remove.push_back(object.metadata.name);
  }
  return changes;
}

Leftovers leftovers(const crds::BarmanServer& server, const std::vector<crds::CatalogBackup>& catalogue,
                    const std::vector<crds::Backup>& objects, bool backup_lock_held) {
  Leftovers found;
  for (const crds::CatalogBackup& entry : catalogue) {
    const bool stuck = (entry.status == "STARTED" || entry.status == "EMPTY") && !backup_lock_held;
    if (entry.status != "FAILED" && !stuck) continue;
    const auto name = own_name(server, entry);
    if (!name)
      found.foreign.push_back(entry.id);
    else if (is_recorded(objects, *name))
      found.ours.push_back(entry.id);
  }
  return found;
}

bool is_busy(const std::vector<crds::CatalogBackup>& catalogue, const std::vector<std::string>& foreign_failures) {
  return std::any_of(catalogue.begin(), catalogue.end(), [&](const auto& entry) {
    const bool unfinished = entry.status != "DONE" && entry.status != "FAILED";
    return unfinished &&
           std::find(foreign_failures.begin(), foreign_failures.end(), entry.id) == foreign_failures.end();
  });
}

std::optional<crds::Backup> own_backup(const crds::BarmanServer& server,
                                       const std::vector<crds::CatalogBackup>& catalogue,
                                       const std::vector<crds::Backup>& objects, const std::string& interruption,
                                       Time now) {
  std::string name = own_backup_name(server, catalogue, interruption);
  if (name.empty()) return std::nullopt;
  const OwnAttempts attempts = own_attempts(std::move(name), objects);
  if (attempts.under_way) return std::nullopt;
  if (attempts.failed && !has_passed(attempts.failed->ended, attempts.failed->pause, now)) return std::nullopt;
  crds::Backup object;
  object.metadata.ns = server.metadata.ns;
  object.metadata.name = attempts.next;
  object.spec.source = crds::BackupSource{crds::BarmanBackupSource{{server.metadata.name}}};
  return object;
}

std::optional<OwnFailure> own_failure(const crds::BarmanServer& server,
                                      const std::vector<crds::CatalogBackup>& catalogue,
                                      const std::vector<crds::Backup>& objects, const std::string& interruption) {
  std::string name = own_backup_name(server, catalogue, interruption);
  if (name.empty()) return std::nullopt;
  const OwnAttempts attempts = own_attempts(std::move(name), objects);
  if (attempts.under_way || !attempts.failed) return std::nullopt;
  return OwnFailure{attempts.failed->name, attempts.failed->ended + attempts.failed->pause};
}

}  // namespace roadstead::reconcilers::barman_server
