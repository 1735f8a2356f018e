#include <fmt/format.h>

#include <ostream>

#include "operator/cli/manifests.h"
#include "operator/cli/verbs.h"

namespace roadstead::cli {
namespace {

using nlohmann::json;

constexpr const char* kFieldManager = "roadstead";

int problems(const Session& session, const ReadManifests& read) {
  for (const crds::Diagnostic& problem : read.problems) session.err() << "error: " << to_string(problem) << "\n";
  return kExitError;
}

const char* word(Applied what) {
  switch (what) {
    case Applied::Created:
      return "created";
    case Applied::Configured:
      return "configured";
    case Applied::Unchanged:
      return "unchanged";
  }
  return "";
}

int apply_one(const Session& session, ApiClient& client, json object, const ApplyFlags& flags) {
  const ResourceType* type = session.types().by_kind(object.value("kind", ""));
  if (type == nullptr) return session.failed(fmt::format("kind {} is not served", object.value("kind", "")));
  json& metadata = object["metadata"];
  if (type->namespaced && !metadata.contains("namespace")) metadata["namespace"] = flags.ns;
  const std::string name = display_name(*type, metadata.value("name", ""));
  const auto applied = client.apply(object, {kFieldManager, flags.dry_run});
  if (!applied) return session.failed(applied.error());
  session.out() << name << " " << word(applied->what) << (flags.dry_run ? " (server dry run)" : "") << "\n";
  return kExitOk;
}

}  // namespace

int apply(const Session& session, const ApplyFlags& flags) {
  auto read = read_all(flags.files, flags.recursive, *session.hooks().in);
  if (!read) return session.failed(read.error().message);
  if (!read->problems.empty()) return problems(session, *read);  // a set is applied whole or not at all
  if (read->objects.empty()) return session.failed("no objects passed to apply");
  const auto client = session.connect();
  if (!client) return session.failed(client.error());
  int code = kExitOk;
  for (json& object : read->objects)
    if (apply_one(session, **client, std::move(object), flags) != kExitOk) code = kExitError;
  return code;
}

int validate(const Session& session, const ApplyFlags& flags) {
  const auto read = read_all(flags.files, flags.recursive, *session.hooks().in);
  if (!read) return session.failed(read.error().message);
  if (!read->problems.empty()) return problems(session, *read);
  for (const auto& [file, objects] : read->files)
    session.out() << fmt::format("{}: {} {}, nothing wrong\n", file, objects, objects == 1 ? "object" : "objects");
  return kExitOk;
}

std::string display_name(const ResourceType& type, const std::string& name) {
  return type.qualified_singular() + "/" + name;
}

}  // namespace roadstead::cli
