#include "operator/adapters/store/rules.h"

#include <algorithm>
#include <array>
#include <random>
#include <string_view>

#include "crds/schema/metadata.h"
#include "operator/base/hash.h"
#include "operator/base/rfc3339.h"
#include "operator/ports/source_marks.h"

namespace roadstead::store {
namespace {

using nlohmann::json;

constexpr std::size_t kMaxObjectBytes = std::size_t{1536} << 10;

// What a writer may say in metadata; the rest is the store's own and ignored, as in Kubernetes.
constexpr std::array<std::string_view, 4> kWritable = {"labels", "annotations", "finalizers", "ownerReferences"};
constexpr std::array<std::string_view, 11> kOthers = {
    "name",       "generateName",      "namespace",         "uid",
    "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "selfLink",   "managedFields",     "resourceVersion"};

template <class List>
bool contains(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string text_of(const json& object, const char* field) {
  const auto found = object.find(field);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

const json& metadata_of(const json& object) {
  static const json none = json::object();
  const auto found = object.find("metadata");
  return found != object.end() && found->is_object() ? *found : none;
}

tl::unexpected<Error> invalid(const ResourceType& type, std::string_view name, std::string_view causes) {
  const std::string group = type.group.empty() ? "" : "." + type.group;
  return fail(ErrorKind::Invalid, "{}{} \"{}\" is invalid: {}", type.kind, group, name, causes);
}

tl::unexpected<Error> conflict(const ResourceType& type, std::string_view name, std::string_view why) {
  return fail(ErrorKind::Conflict, "Operation cannot be fulfilled on {} \"{}\": {}", type.qualified_plural(), name,
              why);
}

/// The first field of metadata that nobody knows; empty: none.
std::string unknown_metadata(const json& metadata) {
  for (const auto& [field, value] : metadata.items())
    if (!contains(kWritable, field) && !contains(kOthers, field)) return field;
  return {};
}

/// Takes over what the writer may say in metadata: `fields` of it, and what is absent there is absent after.
template <class Fields>
void take_metadata(json& into, const json& from, const Fields& fields) {
  for (const std::string_view field : fields) {
    const auto found = from.find(std::string(field));
    if (found == from.end() || found->is_null() || found->empty())
      into.erase(std::string(field));
    else
      into[std::string(field)] = *found;
  }
}

/// Who applies by hand what came from a file says nothing of the file: without its marks it would be applied from there
/// again, over what was just said.
void keep_source_marks(json& metadata, const json& live) {
  const auto keep = [&](const char* field, std::string_view name) {
    const auto found = live.find(field);
    const std::string key(name);
    if (found != live.end() && found->contains(key) && !metadata[field].contains(key))
      metadata[field][key] = found->at(key);
  };
  if (!live.contains("labels") || !live.at("labels").contains(std::string(kSourceLabel))) return;
  keep("labels", kSourceLabel);
  keep("annotations", kSourceFile);
  keep("annotations", kSourceHash);
}

bool differs_outside_metadata_and_status(const json& a, const json& b) {
  const auto relevant = [](const std::string& field) { return field != "metadata" && field != "status"; };
  for (const auto& [field, value] : a.items())
    if (relevant(field) && (!b.contains(field) || b.at(field) != value)) return true;
  for (const auto& [field, value] : b.items())
    if (relevant(field) && !a.contains(field)) return true;
  return false;
}

void count_generation(json& object) {
  json& metadata = object["metadata"];
  metadata["generation"] = metadata.value("generation", std::int64_t{0}) + 1;
}

bool is_terminating(const json& object) { return metadata_of(object).contains("deletionTimestamp"); }

std::vector<std::string> finalizers_of(const json& object) {
  return metadata_of(object).value("finalizers", std::vector<std::string>{});
}

}  // namespace

Chance system_chance() {
  return {random_uuid, [] {
            // Kubernetes' alphabet: no vowels, nothing that looks like another.
            static constexpr std::string_view kLetters = "bcdfghjklmnpqrstvwxz2456789";
            thread_local std::mt19937 generator{std::random_device{}()};
            std::uniform_int_distribution<std::size_t> pick(0, kLetters.size() - 1);
            std::string suffix(5, ' ');
            for (char& c : suffix) c = kLetters[pick(generator)];
            return suffix;
          }};
}

Rules::Rules(const ResourceTypes& types, Admission& admission, const Clock& clock, Chance chance)
    : types_(types), admission_(admission), clock_(clock), chance_(std::move(chance)) {}

Result<ObjectKey> Rules::normalized(ObjectKey key) const {
  const ResourceType* type = types_.by_kind(key.kind);
  if (!type) return fail(ErrorKind::NotFound, "the server doesn't have a resource type \"{}\"", key.kind);
  if (!type->namespaced) key.ns.clear();
  if (type->namespaced && key.ns.empty()) key.ns = "default";
  return key;
}

Result<ObjectKey> Rules::key_of(const json& object) const {
  if (!object.is_object())
    return fail(ErrorKind::Invalid, "the object provided is unrecognized (must be a map with apiVersion and kind)");
  const std::string kind = text_of(object, "kind"), version = text_of(object, "apiVersion");
  const ResourceType* type = types_.by_kind(kind);
  if (!type || type->api_version() != version)
    return fail(ErrorKind::Invalid, "no matches for kind \"{}\" in version \"{}\"", kind, version);
  const json& metadata = metadata_of(object);
  if (const std::string unknown = unknown_metadata(metadata); !unknown.empty())
    return fail(ErrorKind::Invalid,
                "{} in version \"{}\" cannot be handled as a {}: strict decoding error: unknown field \"metadata.{}\"",
                kind, type->version, kind, unknown);
  const std::string name = text_of(metadata, "name");
  const auto scope = type->namespaced ? crds::Scope::Namespaced : crds::Scope::Cluster;
  if (const auto errors = crds::validate_metadata(object, scope); !errors.empty())
    return invalid(*type, name, crds::joined(errors));
  return normalized({kind, text_of(metadata, "namespace"), name});
}

std::string Rules::generated_name(const std::string& prefix) const { return prefix + chance_.suffix(); }

Error Rules::not_found(const ObjectKey& key) const {
  const ResourceType* type = types_.by_kind(key.kind);
  return {ErrorKind::NotFound,
          fmt::format("{} \"{}\" not found", type ? type->qualified_plural() : key.kind, key.name)};
}

Result<json> Rules::admitted(const json& candidate, const json* old, bool dry_run) const {
  const ResourceType& type = *types_.by_kind(candidate.at("kind").get_ref<const std::string&>());
  // Core kinds have no schema here; only the operator itself writes them.
  Result<json> object = type.group.empty() ? Result<json>(candidate) : admission_.admit(candidate, old, dry_run);
  if (!object) return object;
  // Before dump(): a text that is not UTF-8 would throw there.
  if (const std::size_t bytes = object->dump(-1, ' ', false, json::error_handler_t::replace).size();
      bytes > kMaxObjectBytes)
    return invalid(type, text_of(metadata_of(candidate), "name"),
                   fmt::format("Too long: {} bytes, may not be more than {}", bytes, kMaxObjectBytes));
  return object;
}

Result<void> Rules::check_version(const json& incoming, const json& live, bool required) const {
  const ResourceType& type = *types_.by_kind(text_of(live, "kind"));
  const json& wanted = metadata_of(incoming);
  const json& have = metadata_of(live);
  const std::string name = text_of(have, "name");
  const std::string version = text_of(wanted, "resourceVersion"), uid = text_of(wanted, "uid");
  if (version.empty() && required)
    return invalid(type, name, "metadata.resourceVersion: Invalid value: 0: must be specified for an update");
  if (!uid.empty() && uid != text_of(have, "uid"))
    return conflict(
        type, name,
        fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}", uid, text_of(have, "uid")));
  if (!version.empty() && version != text_of(have, "resourceVersion"))
    return conflict(type, name,
                    "the object has been modified; please apply your changes to the latest version and try again");
  return {};
}

Result<Decision> Rules::create(const json& incoming, const json* live, bool dry_run) const {
  const auto key = key_of(incoming);
  if (!key) return tl::unexpected(key.error());
  const ResourceType& type = *types_.by_kind(key->kind);
  if (live)
    return fail(ErrorKind::AlreadyExists, "{}{} \"{}\" already exists",
                is_terminating(*live) ? "object is being deleted: " : "", type.qualified_plural(), key->name);
  const json& given = metadata_of(incoming);
  if (!text_of(given, "resourceVersion").empty())
    return fail(ErrorKind::Invalid, "resourceVersion should not be set on objects to be created");
  json candidate = incoming;
  candidate.erase("status");
  json metadata = {{"name", key->name},
                   {"uid", chance_.uid()},
                   {"generation", 1},
                   {"creationTimestamp", format_rfc3339(clock_.now())}};
  if (type.namespaced) metadata["namespace"] = key->ns;
  if (given.contains("generateName")) metadata["generateName"] = given.at("generateName");
  take_metadata(metadata, given, kWritable);
  candidate["metadata"] = std::move(metadata);
  auto object = admitted(candidate, nullptr, dry_run);
  if (!object) return tl::unexpected(object.error());
  return Decision{Decision::What::Put, std::move(*object)};
}

Result<Decision> Rules::replaced(const json& candidate, const json& live, bool dry_run) const {
  auto admitted_object = admitted(candidate, &live, dry_run);
  if (!admitted_object) return tl::unexpected(admitted_object.error());
  json object = std::move(*admitted_object);
  if (is_terminating(live) && finalizers_of(object).empty()) return Decision{Decision::What::Delete, std::move(object)};
  if (object == live) return Decision{Decision::What::Nothing, live};
  if (differs_outside_metadata_and_status(object, live)) count_generation(object);
  return Decision{Decision::What::Put, std::move(object)};
}

Result<Decision> Rules::update(const json& incoming, const json* live, bool dry_run) const {
  const auto key = key_of(incoming);
  if (!key) return tl::unexpected(key.error());
  if (!live) return tl::unexpected(not_found(*key));
  if (auto checked = check_version(incoming, *live, true); !checked) return tl::unexpected(checked.error());
  if (is_terminating(*live)) {
    const auto before = finalizers_of(*live);
    for (const std::string& finalizer : finalizers_of(incoming))
      if (!contains(before, finalizer))
        return invalid(*types_.by_kind(key->kind), key->name,
                       fmt::format("metadata.finalizers: Forbidden: no new finalizers can be added if the object is "
                                   "being deleted, found new finalizers [\"{}\"]",
                                   finalizer));
  }
  json candidate = incoming;
  candidate["metadata"] = metadata_of(*live);
  take_metadata(candidate["metadata"], metadata_of(incoming), kWritable);
  candidate.erase("status");
  if (live->contains("status")) candidate["status"] = live->at("status");
  return replaced(candidate, *live, dry_run);
}

Result<Decision> Rules::update_status(const json& incoming, const json* live, bool dry_run) const {
  const auto key = key_of(incoming);
  if (!key) return tl::unexpected(key.error());
  if (!live) return tl::unexpected(not_found(*key));
  if (auto checked = check_version(incoming, *live, true); !checked) return tl::unexpected(checked.error());
  json candidate = *live;
  candidate.erase("status");
  if (incoming.contains("status")) candidate["status"] = incoming.at("status");
  return replaced(candidate, *live, dry_run);
}

Result<Decision> Rules::apply(const json& incoming, const json* live, bool dry_run) const {
  if (!live) {
    // A version given with an apply is a precondition on what exists.
    if (incoming.contains("metadata") && !text_of(metadata_of(incoming), "resourceVersion").empty()) {
      const auto key = key_of(incoming);
      return tl::unexpected(key ? not_found(*key) : key.error());
    }
    return create(incoming, nullptr, dry_run);
  }
  const auto key = key_of(incoming);
  if (!key) return tl::unexpected(key.error());
  if (auto checked = check_version(incoming, *live, false); !checked) return tl::unexpected(checked.error());
  json candidate = incoming;
  candidate["metadata"] = metadata_of(*live);
  take_metadata(candidate["metadata"], metadata_of(incoming), std::array<std::string_view, 2>{"labels", "annotations"});
  keep_source_marks(candidate["metadata"], metadata_of(*live));
  candidate.erase("status");
  if (live->contains("status")) candidate["status"] = live->at("status");
  return replaced(candidate, *live, dry_run);
}

Result<Decision> Rules::remove(const ObjectKey& key, const Preconditions& preconditions, const json* live) const {
  if (!live) return tl::unexpected(not_found(key));
  const ResourceType& type = *types_.by_kind(key.kind);
  const json& metadata = metadata_of(*live);
  const std::string uid = text_of(metadata, "uid"), version = text_of(metadata, "resourceVersion");
  if (!preconditions.uid.empty() && preconditions.uid != uid)
    return conflict(type, key.name,
                    fmt::format("the UID in the precondition ({}) does not match the UID in record ({}). The object "
                                "might have been deleted and then recreated",
                                preconditions.uid, uid));
  if (!preconditions.resource_version.empty() && preconditions.resource_version != version)
    return conflict(type, key.name,
                    fmt::format("the ResourceVersion in the precondition ({}) does not match the ResourceVersion in "
                                "record ({}). The object might have been modified",
                                preconditions.resource_version, version));
  if (finalizers_of(*live).empty()) return Decision{Decision::What::Delete, *live};
  if (is_terminating(*live)) return Decision{Decision::What::Nothing, *live};
  json object = *live;
  object["metadata"]["deletionTimestamp"] = format_rfc3339(clock_.now());
  object["metadata"]["deletionGracePeriodSeconds"] = 0;
  count_generation(object);
  return Decision{Decision::What::Put, std::move(object)};
}

ObjectKey Rules::event_key(const EventRecord& event) const {
  const std::string sameness =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n{}", event.about.kind, event.about.ns, event.about.name, event.about_uid,
                  event.warning, event.reason, event.message, event.component);
  const std::string ns = event.about.ns.empty() ? "default" : event.about.ns;
  return {"Event", ns, shortened(event.about.name, 230) + "." + sha256_hex(sameness).substr(0, 16)};
}

Decision Rules::record(const EventRecord& event, const ObjectKey& at, const json* live) const {
  const std::string now = format_rfc3339(clock_.now());
  if (live) {
    json again = *live;
    again["count"] = again.value("count", 1) + 1;
    again["lastTimestamp"] = now;
    return {Decision::What::Put, std::move(again)};
  }
  const ResourceType* about = types_.by_kind(event.about.kind);
  json object = {
      {"apiVersion", "v1"},
      {"kind", "Event"},
      {"metadata", {{"name", at.name}, {"namespace", at.ns}, {"uid", chance_.uid()}, {"creationTimestamp", now}}},
      {"involvedObject",
       {{"apiVersion", about ? about->api_version() : ""}, {"kind", event.about.kind}, {"name", event.about.name}}},
      {"reason", event.reason},
      {"message", event.message},
      {"type", event.warning ? "Warning" : "Normal"},
      {"count", 1},
      {"firstTimestamp", now},
      {"lastTimestamp", now},
      {"source", {{"component", event.component}}},
      {"reportingComponent", event.component}};
  if (!event.about.ns.empty()) object["involvedObject"]["namespace"] = event.about.ns;
  if (!event.about_uid.empty()) object["involvedObject"]["uid"] = event.about_uid;
  return {Decision::What::Put, std::move(object)};
}

}  // namespace roadstead::store
