#include "tests/unit/reconcilers_support/small_world.h"

namespace roadstead::testing {
namespace {

using Json = nlohmann::json;

}  // namespace

Result<void> SmallWorld::called() {
  ++calls;
  if (before_call) before_call(calls);
  if (calls == kill_at && !kill_after) throw Killed{};
  if (calls == fail_at) return fail(ErrorKind::Unavailable, "broken on purpose");
  return {};
}

void SmallWorld::called_after() {
  changing_calls.push_back(calls);
  if (calls == kill_at && kill_after) throw Killed{};
}

std::string id_of(const std::string& kind, const std::string& ns, const std::string& name) {
  return kind + "/" + ns + "/" + name;
}
std::string id_of(const Json& object) {
  const auto& metadata = object.at("metadata");
  return id_of(object.at("kind"), metadata.value("namespace", ""), metadata.at("name"));
}

Result<Json> FakeApi::get(const ObjectKey& key) {
  if (auto done = world_.called(); !done) return tl::unexpected(done.error());
  const auto found = world_.objects.find(id_of(key.kind, key.ns, key.name));
  if (found == world_.objects.end()) return fail(ErrorKind::NotFound, "{} is not there", to_string(key));
  return found->second;
}

Result<ResourceList> FakeApi::list(const std::string& kind, const ListOptions&) {
  if (auto done = world_.called(); !done) return tl::unexpected(done.error());
  ResourceList all;
  for (const auto& [id, object] : world_.objects)
    if (object.at("kind") == kind) all.items.push_back(object);
  return all;
}

Result<Json> FakeApi::create(const Json& object, const WriteOptions&) {
  if (auto done = world_.called(); !done) return tl::unexpected(done.error());
  const std::string id = id_of(object);
  if (world_.objects.contains(id)) return fail(ErrorKind::AlreadyExists, "{} is there", id);
  Json stored = object;
  stored.erase("status");
  stored["metadata"]["resourceVersion"] = std::to_string(++world_.version);
  world_.objects[id] = stored;
  world_.called_after();
  return stored;
}

Result<Json> FakeApi::update(const Json& object, const WriteOptions&) {
  return write(object, [&](Json& stored) {
    Json& metadata = stored["metadata"];
    if (stored["spec"] != object["spec"]) metadata["generation"] = metadata.value("generation", 0) + 1;
    stored["spec"] = object["spec"];
    metadata["labels"] = object["metadata"].value("labels", Json::object());
    metadata["finalizers"] = object["metadata"].value("finalizers", Json::array());
  });
}

Result<Json> FakeApi::update_status(const Json& object, const WriteOptions&) {
  return write(object, [&](Json& stored) { stored["status"] = object["status"]; });
}

Result<ApplyResult> FakeApi::apply(const Json&, const WriteOptions&) { return fail(ErrorKind::Internal, "not used"); }

Result<Json> FakeApi::remove(const ObjectKey& key, const Preconditions&) {
  if (auto done = world_.called(); !done) return tl::unexpected(done.error());
  if (world_.objects.erase(id_of(key.kind, key.ns, key.name)) == 0)
    return fail(ErrorKind::NotFound, "{} is not there", to_string(key));
  world_.called_after();
  return Json();
}

Result<std::unique_ptr<Watch>> FakeApi::watch(const std::string&, const ListOptions&, const std::string&) {
  return fail(ErrorKind::Internal, "not used");
}

Result<void> FakeApi::record(const EventRecord& event) {
  world_.events.push_back(event.reason);
  return {};
}

Result<Json> FakeApi::write(const Json& object, const std::function<void(Json&)>& change) {
  if (auto done = world_.called(); !done) return tl::unexpected(done.error());
  const auto found = world_.objects.find(id_of(object));
  if (found == world_.objects.end()) return fail(ErrorKind::NotFound, "it is gone");
  Json& stored = found->second;
  if (stored["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"])
    return fail(ErrorKind::Conflict, "stale");
  const bool leaving = stored["metadata"].contains("deletionTimestamp") &&
                       !stored["metadata"].value("finalizers", Json::array()).empty();
  const Json before = stored;
  change(stored);
  if (stored != before) stored["metadata"]["resourceVersion"] = std::to_string(++world_.version);
  Json answer = stored;
  if (leaving && answer["metadata"].value("finalizers", Json::array()).empty()) world_.objects.erase(found);
  world_.called_after();
  return answer;
}

}  // namespace roadstead::testing
