#include "crds/semantic.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <variant>

#include "crds/cron.h"
#include "crds/endpoint.h"

namespace roadstead::crds {
namespace {

using Json = nlohmann::json;
using Errors = std::vector<FieldError>;

FieldError forbidden(const FieldPath& path, std::string_view why) {
  return {path.field(), "FieldValueForbidden", fmt::format("Forbidden: {}", why), path.pointer(), {}};
}

/// The child `key` of an object, or null.
const Json* child(const Json* value, const char* key) {
  if (value == nullptr || !value->is_object()) return nullptr;
  const auto found = value->find(key);
  return found == value->end() ? nullptr : &*found;
}

const std::string* text(const Json* value) {
  return value != nullptr && value->is_string() ? &value->get_ref<const std::string&>() : nullptr;
}

std::size_t count(const Json* list) { return list != nullptr && list->is_array() ? list->size() : 0; }

std::optional<int> port_of(std::string_view digits) {
  int value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size() || value < 1 || value > 65535) return std::nullopt;
  return value;
}

void check_endpoint(const FieldPath& engine_path, const Json* engine, Errors& errors) {
  const std::string* endpoint = text(child(engine, "endpoint"));
  if (endpoint == nullptr) return;
  const auto parsed = parse_endpoint(*endpoint);
  if (!parsed) {
    const FieldPath path(engine_path, "endpoint");
    errors.push_back(
        {path.field(), "FieldValueInvalid", "Invalid value: " + parsed.error().message, path.pointer(), {}});
    return;
  }
  const bool ssh = std::holds_alternative<SshEndpoint>(*parsed);
  const auto check = [&](const char* name, std::string_view why) {
    const FieldPath path(engine_path, name);
    const bool given = child(engine, name) != nullptr;
    if (ssh && !given) errors.push_back(required_value(path, why));
    if (!ssh && given) errors.push_back(forbidden(path, "is only for an endpoint that begins with ssh://"));
  };
  check("identityRef", "an endpoint that begins with ssh:// needs the private key to log in with");
  check("knownHostsRef", "an endpoint that begins with ssh:// needs the known_hosts lines of the host (ssh-keyscan)");
}

void check_ports(const FieldPath& data_path, const Json* data, Errors& errors) {
  const std::string* ports = text(child(data, "ports"));
  if (ports == nullptr) return;
  const std::string_view range = *ports;
  const std::size_t dash = range.find('-');
  const auto low = port_of(range.substr(0, dash));
  const auto high = dash == range.npos ? low : port_of(range.substr(dash + 1));
  const FieldPath path(data_path, "ports");
  if (!low || !high) {
    errors.push_back(invalid_value(path, quoted_value(*ports), "ports are between 1 and 65535"));
  } else if (*high < *low) {
    errors.push_back(invalid_value(path, quoted_value(*ports), "the range goes backwards"));
  }
}

void check_host(const FieldPath& spec_path, const Json* spec, Errors& errors) {
  check_endpoint(FieldPath(spec_path, "engine"), child(spec, "engine"), errors);
  check_ports(FieldPath(spec_path, "data"), child(spec, "data"), errors);
}

/// Replay sets these itself; another value would make it stop elsewhere, or somewhere else.
constexpr std::array<std::string_view, 16> kReservedParameters{"archive_cleanup_command",
                                                               "archive_mode",
                                                               "config_file",
                                                               "data_directory",
                                                               "hot_standby",
                                                               "listen_addresses",
                                                               "primary_conninfo",
                                                               "primary_slot_name",
                                                               "promote_trigger_file",
                                                               "recovery_end_command",
                                                               "recovery_target",
                                                               "restore_command",
                                                               "standby_mode",
                                                               "unix_socket_directories",
                                                               "wal_retrieve_retry_interval",
                                                               "port"};

void check_parameters(const FieldPath& postgres_path, const Json* postgres, Errors& errors) {
  const Json* parameters = child(postgres, "parameters");
  if (parameters == nullptr || !parameters->is_object()) return;
  const FieldPath path(postgres_path, "parameters");
  for (const auto& [name, value] : parameters->items()) {
    const FieldPath at(path, name);
    const bool well_formed = !name.empty() && std::ranges::all_of(name, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
    });
    if (!well_formed) {
      errors.push_back(
          invalid_value(at, quoted_value(name), "a parameter's name is made of lower-case letters, digits, _ and ."));
    } else if (std::ranges::find(kReservedParameters, name) != kReservedParameters.end() ||
               name.starts_with("recovery_target")) {
      errors.push_back(forbidden(at, "Roadstead sets this parameter itself during replay"));
    }
  }
}

void check_barman_server(const FieldPath& spec_path, const Json* spec, Errors& errors) {
  const FieldPath postgres_path(spec_path, "postgres");
  const Json* postgres = child(spec, "postgres");
  check_parameters(postgres_path, postgres, errors);
  if (const std::string* user = text(child(postgres, "user"));
      user != nullptr && user->find_first_not_of('0') == user->find(':'))
    errors.push_back(
        invalid_value(FieldPath(postgres_path, "user"), quoted_value(*user), "PostgreSQL refuses to run as root"));
  const Json* volumes = child(spec, "volumes");
  const std::string* data = text(child(volumes, "data"));
  const std::string* recover = text(child(volumes, "recover"));
  const FieldPath volumes_path(spec_path, "volumes");
  if (data != nullptr && recover != nullptr && *data == *recover)
    errors.push_back(invalid_value(FieldPath(volumes_path, "recover"), quoted_value(*recover),
                                   "is the volume that holds the backups, and would be emptied for a restore"));
}

void check_schedule(const FieldPath& parent_path, const Json* parent, Errors& errors) {
  const Json* schedule = child(parent, "schedule");
  const FieldPath path(parent_path, "schedule");
  const std::string* cron_text = text(child(schedule, "cron"));
  const std::string* zone_name = text(child(schedule, "timeZone"));
  const auto zone = find_zone(zone_name == nullptr ? "UTC" : *zone_name);
  if (!zone && zone.error().kind == ErrorKind::Invalid)
    errors.push_back(invalid_value(FieldPath(path, "timeZone"), quoted_value(*zone_name), zone.error().message));
  if (cron_text == nullptr) return;
  const FieldPath cron_path(path, "cron");
  const auto cron = Cron::parse(*cron_text);
  if (!cron) {
    errors.push_back(invalid_value(cron_path, quoted_value(*cron_text), cron.error().message));
  } else if (zone && !cron->next_after(Time{}, **zone)) {  // from any time on: a day that no month has
    errors.push_back(invalid_value(cron_path, quoted_value(*cron_text), "no such day ever comes"));
  }
}

/// The names of `spec.destinations`, each once; a copy of a repository does not go where it comes from.
void check_destinations(const FieldPath& spec_path, const Json* spec, Errors& errors) {
  const Json* source = child(spec, "source");
  const std::string* origin = text(child(child(source, "hostRef"), "name"));
  const bool copies_repository = child(source, "repository") != nullptr;
  const FieldPath path(spec_path, "destinations");
  const Json* destinations = child(spec, "destinations");
  std::set<std::string> seen;
  for (std::size_t i = 0; i < count(destinations); ++i) {
    const std::string* name = text(child(child(&(*destinations)[i], "hostRef"), "name"));
    if (name == nullptr) continue;
    const FieldPath item(path, i), ref(item, "hostRef"), at(ref, "name");
    if (!seen.insert(*name).second)
      errors.push_back(
          {at.field(), "FieldValueDuplicate", "Duplicate value: " + quoted_value(*name), at.pointer(), {}});
    if (copies_repository && origin != nullptr && *name == *origin)
      errors.push_back(invalid_value(at, quoted_value(*name), "is the host whose repository is copied"));
  }
}

/// What stands beside which source. `upkeep`: fields that say how snapshots are kept.
void check_source(const FieldPath& spec_path, const Json* spec, std::initializer_list<const char*> upkeep,
                  Errors& errors) {
  const Json* source = child(spec, "source");
  const FieldPath source_path(spec_path, "source");
  const auto forbid = [&](const FieldPath& parent_path, const Json* parent, const char* name, std::string_view why) {
    if (child(parent, name) != nullptr) errors.push_back(forbidden(FieldPath(parent_path, name), why));
  };
  if (child(source, "barman") != nullptr) {
    forbid(source_path, source, "hostRef", "the BarmanServer names its hosts itself");
    forbid(source_path, source, "hooks", "is only for volumes");
    forbid(spec_path, spec, "destinations", "base backups stay where the BarmanServer is");
    for (const char* name : upkeep) forbid(spec_path, spec, name, "is only for volumes and repository");
    return;
  }
  if (child(source, "hostRef") == nullptr)
    errors.push_back(required_value(FieldPath(source_path, "hostRef"), "names the Host that is backed up"));
  if (child(spec, "destinations") == nullptr)
    errors.push_back(required_value(FieldPath(spec_path, "destinations"), "names the Hosts that keep the snapshots"));
  if (child(source, "repository") != nullptr) forbid(source_path, source, "hooks", "is only for volumes");
  check_destinations(spec_path, spec, errors);
}

void check_backup_policy(const Json& object, const FieldPath& spec_path, const Json* spec, Errors& errors) {
  check_schedule(spec_path, spec, errors);
  if (const Json* verification = child(spec, "verification"))
    check_schedule(FieldPath(spec_path, "verification"), verification, errors);
  check_source(spec_path, spec, {"retention", "transfer", "verification"}, errors);
  const FieldPath source_path(spec_path, "source"), repository_path(source_path, "repository"),
      refs_path(repository_path, "policyRefs");
  const Json* refs = child(child(child(spec, "source"), "repository"), "policyRefs");
  const std::string* own = text(child(child(&object, "metadata"), "name"));
  for (std::size_t i = 0; i < count(refs); ++i) {
    const std::string* name = text(child(&(*refs)[i], "name"));
    const FieldPath item(refs_path, i);
    if (own != nullptr && name != nullptr && *own == *name)
      errors.push_back(invalid_value(FieldPath(item, "name"), quoted_value(*name), "is this policy itself"));
  }
}

/// A rule `self == oldSelf` does not look at a field that comes or goes.
void check_backup_change(const FieldPath& spec_path, const Json* spec, const Json* old, Errors& errors) {
  for (const char* name : {"policyRef", "source", "destinations", "transfer", "scheduledTime"}) {
    if ((child(spec, name) == nullptr) == (child(old, name) == nullptr)) continue;
    const FieldPath path(spec_path, name);
    errors.push_back({path.field(),
                      "FieldValueInvalid",
                      "Invalid value: cannot be changed once the object exists; give a new object a new name",
                      path.pointer(),
                      {}});
  }
}

void check_backup(const FieldPath& spec_path, const Json* spec, const Json* old, Errors& errors) {
  if (old != nullptr) check_backup_change(spec_path, spec, old, errors);
  if (child(spec, "source") != nullptr) return check_source(spec_path, spec, {"transfer"}, errors);
  for (const char* name : {"destinations", "transfer"})
    if (child(spec, name) != nullptr)
      errors.push_back(forbidden(FieldPath(spec_path, name), "the policy says it; is only for a source of its own"));
}

void check_applications(const FieldPath& spec_path, const Json* spec, Errors& errors) {
  const FieldPath path(spec_path, "applications");
  const FieldPath start_path(path, "start");
  const FieldPath containers_path(start_path, "containers");
  const Json* start = child(child(spec, "applications"), "start");
  const std::string* mode = text(child(start, "mode"));
  const bool listed = mode != nullptr && *mode == "Listed";
  const std::size_t containers = count(child(start, "containers"));
  if (listed && containers == 0)
    errors.push_back(required_value(containers_path, "mode Listed starts the containers named here"));
  if (!listed && containers > 0) errors.push_back(forbidden(containers_path, "is only for mode Listed"));
}

/// What stands beside which source of an item.
void check_item_source(const FieldPath& item_path, const Json* item, Errors& errors) {
  const FieldPath path(item_path, "from");
  const Json* from = child(item, "from");
  const auto forbid = [&](const char* name, std::string_view why) {
    if (child(from, name) != nullptr) errors.push_back(forbidden(FieldPath(path, name), why));
  };
  if (child(from, "barman") != nullptr)
    for (const char* name : {"volume", "asOf", "hostRef"}) forbid(name, "is only for snapshots of volumes");
  if (child(from, "backupRef") != nullptr) forbid("asOf", "a Backup has one data time; is only for backupPolicyRef");
  if (child(from, "backupPolicyRef") != nullptr && child(from, "volume") == nullptr)
    errors.push_back(required_value(FieldPath(path, "volume"), "names the volume of the policy that is restored"));
}

/// Under running applications only files may change, and only in place.
void check_stop_nothing(const FieldPath& spec_path, const Json* spec, Errors& errors) {
  const Json* stop = child(child(spec, "applications"), "stop");
  const std::string* mode = text(child(stop, "mode"));
  if (mode == nullptr || *mode != "None") return;
  const FieldPath applications_path(spec_path, "applications"), stop_path(applications_path, "stop"),
      mode_path(stop_path, "mode");
  const Json* items = child(spec, "items");
  for (std::size_t i = 0; i < count(items); ++i)
    if (child(child(&(*items)[i], "from"), "barman") != nullptr) {
      errors.push_back(invalid_value(mode_path, quoted_value(*mode), "a database must be stopped to be restored"));
      break;
    }
  if (const std::string* strategy = text(child(spec, "strategy")); strategy != nullptr && *strategy == "Staged")
    errors.push_back(
        invalid_value(mode_path, quoted_value(*mode),
                      "Staged exchanges the data, which a running application would not see; use InPlace"));
  for (const char* name : {"containers", "composeProjects"})
    if (count(child(stop, name)) > 0)
      errors.push_back(forbidden(FieldPath(stop_path, name), "nothing is stopped with mode None"));
}

void check_restore_request(const FieldPath& spec_path, const Json* spec, Errors& errors) {
  const FieldPath items_path(spec_path, "items");
  const Json* items = child(spec, "items");
  std::set<std::string> volumes;
  for (std::size_t i = 0; i < count(items); ++i) {
    check_item_source(FieldPath(items_path, i), &(*items)[i], errors);
    const std::string* volume = text(child(child(&(*items)[i], "to"), "volume"));
    if (volume == nullptr || volumes.insert(*volume).second) continue;
    const FieldPath item(items_path, i), to(item, "to"), at(to, "volume");
    errors.push_back(
        {at.field(), "FieldValueDuplicate", "Duplicate value: " + quoted_value(*volume), at.pointer(), {}});
  }
  check_applications(spec_path, spec, errors);
  check_stop_nothing(spec_path, spec, errors);
  const std::string* confirmed = text(child(child(spec, "confirm"), "host"));
  const std::string* target = text(child(child(child(spec, "target"), "hostRef"), "name"));
  const FieldPath confirm_path(spec_path, "confirm");
  if (confirmed != nullptr && target != nullptr && *confirmed != *target)
    errors.push_back(invalid_value(FieldPath(confirm_path, "host"), quoted_value(*confirmed),
                                   "is not the target host " + quoted_value(*target)));
}

}  // namespace

std::vector<FieldError> check_semantics(const Json& object, const Json* old) {
  Errors errors;
  const std::string* kind = text(child(&object, "kind"));
  const Json* spec = child(&object, "spec");
  if (kind == nullptr || spec == nullptr) return errors;
  const FieldPath root;
  const FieldPath spec_path(root, "spec");
  if (*kind == "Host") check_host(spec_path, spec, errors);
  if (*kind == "BarmanServer") check_barman_server(spec_path, spec, errors);
  if (*kind == "BackupPolicy") check_backup_policy(object, spec_path, spec, errors);
  if (*kind == "Backup") check_backup(spec_path, spec, child(old, "spec"), errors);
  if (*kind == "RestoreRequest") check_restore_request(spec_path, spec, errors);
  return errors;
}

}  // namespace roadstead::crds
