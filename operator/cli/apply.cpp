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

/// One object, ready to be sent.
struct Due {
  const ResourceType* type;
  json object;
  std::string name, where;
};

Result<std::vector<Due>> due_of(const Session& session, std::vector<ReadObject> objects, const ApplyFlags& flags) {
  std::vector<Due> due;
  for (ReadObject& one : objects) {
    const std::string kind = one.object.value("kind", "");
    const ResourceType* type = session.types().by_kind(kind);
    if (type == nullptr) return fail(ErrorKind::Invalid, "{}: kind {} is not served", one.where, kind);
    if (type->namespaced && one.metadata("namespace").empty()) one.object["metadata"]["namespace"] = flags.ns;
    std::string name = display_name(*type, one.metadata("name"));
    due.push_back({type, std::move(one.object), std::move(name), std::move(one.where)});
  }
  return due;
}

enum class Tell { All, Failures };

/// Goes on after a refusal, so that all of them are told at once.
int apply_all(const Session& session, ApiClient& client, const std::vector<Due>& due, bool dry_run, Tell tell) {
  int code = kExitOk;
  for (const Due& one : due) {
    const auto applied = client.apply(one.object, {kFieldManager, dry_run});
    if (!applied && applied.error().kind == ErrorKind::Unavailable) return session.failed(applied.error());
    if (!applied) {
      code = session.failed({applied.error().kind, one.where + ": " + applied.error().message});
    } else if (tell == Tell::All) {
      session.out() << one.name << " " << word(applied->what) << (dry_run ? " (server dry run)" : "") << "\n";
    }
  }
  return code;
}

}  // namespace

int apply(const Session& session, const ApplyFlags& flags) {
  auto read = read_all(flags.files, flags.recursive, *session.hooks().in);
  if (!read) return session.failed(read.error().message);
  if (!read->problems.empty()) return problems(session, *read);
  if (read->objects.empty()) return session.failed("no objects passed to apply");
  const auto due = due_of(session, std::move(read->objects), flags);
  if (!due) return session.failed(due.error().message);
  const auto client = session.connect();
  if (!client) return session.failed(client.error());
  // A set is applied whole or not at all: what the files alone do not show is asked before anything is written.
  if (!flags.dry_run && due->size() > 1)
    if (const int refused = apply_all(session, **client, *due, true, Tell::Failures); refused != kExitOk) {
      session.err() << "error: nothing was applied\n";
      return refused;
    }
  return apply_all(session, **client, *due, flags.dry_run, Tell::All);
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
