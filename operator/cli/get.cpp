#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <ostream>

#include "operator/cli/table_printer.h"
#include "operator/cli/verbs.h"
#include "operator/cli/yaml_output.h"

namespace roadstead::cli {
namespace {

using nlohmann::json;

constexpr Millis kLook{200};  // how soon an interrupt is noticed

ListOptions options_of(const Target& target, const GetFlags& flags) {
  ListOptions options;
  options.ns = flags.all_namespaces ? std::string() : namespace_for(*target.type, flags.ns);
  options.label_selector = flags.selector;
  return options;
}

void print_object(const Session& session, const json& object, const GetFlags& flags, const ResourceType& type) {
  if (flags.output == "name")
    session.out() << display_name(type, object.at("metadata").value("name", "")) << "\n";
  else if (flags.output == "json")
    session.out() << object.dump(4) << "\n";
  else
    session.out() << to_yaml(object);
}

void nothing_found(const Session& session, const Target& target, const GetFlags& flags) {
  const bool everywhere = flags.all_namespaces || !target.type->namespaced;
  session.err() << (everywhere ? "No resources found\n"
                               : fmt::format("No resources found in {} namespace.\n", flags.ns));
}

/// The objects named, or all of one kind.
Result<std::vector<json>> fetch(ApiClient& client, const Target& target, const GetFlags& flags) {
  const ListOptions options = options_of(target, flags);
  if (target.name.empty())
    return client.list(target.type->kind, options).map([](ResourceList list) { return std::move(list.items); });
  return client.get({target.type->kind, options.ns, target.name}).map([](json object) {
    return std::vector<json>{std::move(object)};
  });
}

int get_objects(const Session& session, ApiClient& client, const std::vector<Target>& targets, const GetFlags& flags) {
  std::vector<json> objects;
  for (const Target& target : targets) {
    auto found = fetch(client, target, flags);
    if (!found) return session.failed(found.error());
    std::move(found->begin(), found->end(), std::back_inserter(objects));
  }
  const bool one = targets.size() == 1 && !targets.front().name.empty();
  if (one || flags.output == "name") {
    for (const json& object : objects)
      print_object(session, object, flags, *session.types().by_kind(object.value("kind", "")));
    return kExitOk;
  }
  const json list{{"apiVersion", "v1"}, {"kind", "List"}, {"metadata", {{"resourceVersion", ""}}}, {"items", objects}};
  print_object(session, list, flags, *targets.front().type);
  return kExitOk;
}

std::string version_of(const json& object) {
  return object.value(json::json_pointer("/metadata/resourceVersion"), std::string());
}

/// Prints what comes from `version` on until the person interrupts. A stream that ends is taken up where it was.
int watch_rows(const Session& session, ApiClient& client, const Target& target, const GetFlags& flags,
               std::string version, TablePrinter& printer) {
  ListOptions options = options_of(target, flags);
  if (!target.name.empty()) options.field_selector = "metadata.name=" + target.name;
  const bool as_table = flags.output.empty() || flags.output == "wide";
  while (!session.hooks().interrupted()) {
    auto watch = as_table ? client.watch_table(target.type->kind, options, version)
                          : client.watch(target.type->kind, options, version);
    if (!watch) return session.failed(watch.error());
    while (!session.hooks().interrupted()) {
      const auto event = (*watch)->next(kLook, {});
      if (!event && event.error().kind == ErrorKind::Expired) return session.failed(event.error());
      if (!event) break;
      if (!*event) continue;
      const json& object = (*event)->object;
      if (const std::string newer = version_of(object); !newer.empty()) version = newer;
      if ((*event)->type == WatchEvent::Type::Bookmark) continue;
      if (as_table)
        printer.print(object);
      else
        print_object(session, object, flags, *target.type);
      session.out().flush();
    }
  }
  return kExitOk;
}

/// The table to begin with. One that is followed comes from a list, whose version is always new enough to go on from:
/// that of a quiet object may be too old.
Result<json> first_table(ApiClient& client, const Target& target, const GetFlags& flags) {
  ListOptions options = options_of(target, flags);
  if (!flags.watch || target.name.empty()) return client.table(target.type->kind, target.name, options);
  if (const auto there = client.get({target.type->kind, options.ns, target.name}); !there)
    return tl::unexpected(there.error());
  options.field_selector = "metadata.name=" + target.name;
  return client.table(target.type->kind, "", options);
}

int get_tables(const Session& session, ApiClient& client, const std::vector<Target>& targets, const GetFlags& flags) {
  const Target& first = targets.front();
  TablePrinter printer(session.out(), flags.output == "wide", flags.all_namespaces && first.type->namespaced,
                       !flags.no_headers);
  json last;
  bool any = false;
  for (const Target& target : targets) {
    auto table = first_table(client, target, flags);
    if (!table) return session.failed(table.error());
    any = any || !table->value("rows", json::array()).empty();
    printer.print(*table);
    last = std::move(*table);
  }
  if (!any && !flags.watch) nothing_found(session, first, flags);
  return flags.watch ? watch_rows(session, client, first, flags, version_of(last), printer) : kExitOk;
}

}  // namespace

int get(const Session& session, const GetFlags& flags) {
  const auto targets = targets_of(flags.words, session.types());
  if (!targets) return session.failed(targets.error().message);
  if (flags.watch && targets->size() > 1) return session.failed("--watch follows one kind or one object");
  const auto client = session.connect();
  if (!client) return session.failed(client.error());
  if (flags.output.empty() || flags.output == "wide") return get_tables(session, **client, *targets, flags);
  if (!flags.watch) return get_objects(session, **client, *targets, flags);
  TablePrinter unused(session.out(), false, false, false);
  return watch_rows(session, **client, targets->front(), flags, "", unused);
}

}  // namespace roadstead::cli
