#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "operator/cli/manifests.h"
#include "operator/cli/verbs.h"

namespace roadstead::cli {
namespace {

using nlohmann::json;

struct Doomed {
  const ResourceType* type;
  ObjectKey key;
};

Result<std::vector<Doomed>> from_files(const Session& session, const DeleteFlags& flags) {
  const auto read = read_all(flags.files, flags.recursive, *session.hooks().in);
  if (!read) return tl::unexpected(read.error());
  if (!read->problems.empty()) return fail(ErrorKind::Invalid, "{}", to_string(read->problems.front()));
  std::vector<Doomed> doomed;
  for (const ReadObject& one : read->objects) {
    const std::string kind = one.object.value("kind", "");
    const ResourceType* type = session.types().by_kind(kind);
    if (type == nullptr) return fail(ErrorKind::Invalid, "{}: kind {} is not served", one.where, kind);
    const std::string name = one.metadata("name"), ns = one.metadata("namespace");
    if (name.empty())
      return fail(
          ErrorKind::Invalid,
          "{}: metadata.name: this manifest has only a generateName; name what is to be deleted: delete {} NAME",
          one.where, type->singular);
    doomed.push_back({type, {type->kind, namespace_for(*type, ns.empty() ? flags.ns : ns), name}});
  }
  return doomed;
}

Result<std::vector<Doomed>> from_words(const Session& session, const DeleteFlags& flags) {
  const auto targets = targets_of(flags.words, session.types());
  if (!targets) return tl::unexpected(targets.error());
  std::vector<Doomed> doomed;
  for (const Target& target : *targets) {
    if (target.name.empty())
      return fail(ErrorKind::Invalid, "name what is to be deleted: delete {} NAME", target.type->singular);
    doomed.push_back({target.type, {target.type->kind, namespace_for(*target.type, flags.ns), target.name}});
  }
  return doomed;
}

/// Until the object is gone, or another one has its name.
int wait_until_gone(const Session& session, ApiClient& client, const Doomed& one, const std::string& uid,
                    Millis timeout) {
  const auto gone =
      follow(client, one.key, timeout.count() > 0 ? std::optional(timeout) : std::nullopt, session.hooks().interrupted,
             [&](const json* object) { return object == nullptr || object->at("metadata").value("uid", "") != uid; });
  if (!gone) return session.failed(gone.error());
  if (*gone) return kExitOk;
  return session.failed(
      fmt::format("timed out waiting for the deletion of {}; its finalizers are still there (describe {} {})",
                  display_name(*one.type, one.key.name), one.type->singular, one.key.name));
}

}  // namespace

int remove(const Session& session, const DeleteFlags& flags) {
  if (flags.files.empty() == flags.words.empty())
    return session.failed("say what to delete: KIND NAME, KIND/NAME, or -f FILE");
  const auto doomed = flags.files.empty() ? from_words(session, flags) : from_files(session, flags);
  if (!doomed) return session.failed(doomed.error().message);
  const auto client = session.connect();
  if (!client) return session.failed(client.error());
  int code = kExitOk;
  std::vector<std::pair<Doomed, std::string>> dying;
  for (const Doomed& one : *doomed) {
    const auto removed = (*client)->remove(one.key, {});
    if (!removed && removed.error().kind == ErrorKind::NotFound && flags.ignore_not_found) continue;
    if (!removed) {
      code = session.failed(removed.error());
      continue;
    }
    session.out() << fmt::format("{} \"{}\" deleted\n", one.type->qualified_singular(), one.key.name);
    dying.emplace_back(one, removed->at("metadata").value("uid", ""));
  }
  session.out().flush();
  if (!flags.wait) return code;
  for (const auto& [one, uid] : dying)
    if (wait_until_gone(session, **client, one, uid, flags.timeout) != kExitOk) code = kExitError;
  return code;
}

}  // namespace roadstead::cli
