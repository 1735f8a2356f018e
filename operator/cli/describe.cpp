#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "crds/schema/table.h"
#include "operator/cli/table_printer.h"
#include "operator/cli/verbs.h"

namespace roadstead::cli {
namespace {

using nlohmann::json;

constexpr std::size_t kValueColumn = 14;

/// "lastTransitionTime" becomes "Last Transition Time".
std::string title(const std::string& key) {
  std::string out;
  for (std::size_t i = 0; i < key.size(); ++i) {
    const bool capital = key[i] >= 'A' && key[i] <= 'Z';
    const bool after_small = i > 0 && !(key[i - 1] >= 'A' && key[i - 1] <= 'Z');
    if (capital && after_small) out += ' ';
    out += i == 0 && key[i] >= 'a' && key[i] <= 'z' ? static_cast<char>(key[i] - 'a' + 'A') : key[i];
  }
  return out;
}

std::string scalar(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.is_null() ? "" : value.dump();
}

void line(std::ostream& out, std::size_t indent, const std::string& label, const std::string& value) {
  std::string text = std::string(indent, ' ') + label + ":";
  if (!value.empty())
    text.append(text.size() < kValueColumn + indent ? kValueColumn + indent - text.size() : 1, ' ').append(value);
  out << text << "\n";
}

void write(std::ostream& out, std::size_t indent, const json& value) {
  if (value.is_object()) {
    for (const auto& [key, inner] : value.items()) {
      if (inner.is_structured() && !inner.empty()) {
        line(out, indent, title(key), "");
        write(out, indent + 2, inner);
      } else {
        line(out, indent, title(key), inner.is_structured() ? "<none>" : scalar(inner));
      }
    }
  } else if (value.is_array()) {
    for (const json& inner : value) {
      write(out, indent, inner);
      if (inner.is_object() && &inner != &value.back()) out << std::string(indent, ' ') << "-\n";
    }
  } else {
    out << std::string(indent, ' ') << scalar(value) << "\n";
  }
}

void write_map(std::ostream& out, const std::string& label, const json& map) {
  if (map.empty()) return line(out, 0, label, "<none>");
  bool first = true;
  for (const auto& [key, value] : map.items()) {
    const std::string pair = key + "=" + scalar(value);
    if (first)
      line(out, 0, label, pair);
    else
      out << std::string(kValueColumn, ' ') << pair << "\n";
    first = false;
  }
}

void write_conditions(std::ostream& out, const json& conditions, Time now) {
  if (conditions.empty()) return;
  out << "Conditions:\n";
  std::vector<std::vector<std::string>> rows{{"  TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"}};
  for (const json& condition : conditions)
    rows.push_back({"  " + condition.value("type", ""), condition.value("status", ""),
                    crds::age_of(condition.value("lastTransitionTime", ""), now), condition.value("reason", ""),
                    condition.value("message", "")});
  ColumnWriter().write(out, rows);
}

void write_events(std::ostream& out, const std::vector<json>& events, Time now) {
  if (events.empty()) return line(out, 0, "Events", "<none>");
  out << "Events:\n";
  std::vector<std::vector<std::string>> rows{{"  TYPE", "REASON", "AGE", "FROM", "MESSAGE"}};
  for (const json& event : events) {
    std::string age = crds::age_of(event.value("lastTimestamp", ""), now);
    if (const int count = event.value("count", 1); count > 1)
      age += fmt::format(" (x{} over {})", count, crds::age_of(event.value("firstTimestamp", ""), now));
    rows.push_back({"  " + event.value("type", ""), event.value("reason", ""), age,
                    event.value("reportingComponent", ""), event.value("message", "")});
  }
  ColumnWriter().write(out, rows);
}

void write_object(std::ostream& out, json object, const std::vector<json>& events, Time now) {
  const json metadata = object.value("metadata", json::object());
  line(out, 0, "Name", metadata.value("name", ""));
  if (metadata.contains("namespace")) line(out, 0, "Namespace", metadata.value("namespace", ""));
  line(out, 0, "Kind", object.value("kind", "") + " (" + object.value("apiVersion", "") + ")");
  write_map(out, "Labels", metadata.value("labels", json::object()));
  write_map(out, "Annotations", metadata.value("annotations", json::object()));
  line(out, 0, "Created",
       metadata.value("creationTimestamp", "") + " (" + crds::age_of(metadata.value("creationTimestamp", ""), now) +
           " ago)");
  if (metadata.contains("deletionTimestamp"))
    line(out, 0, "Deleted",
         metadata.value("deletionTimestamp", "") + ", waiting for " +
             metadata.value("finalizers", json::array()).dump());
  line(out, 0, "Generation", scalar(metadata.value("generation", json())));
  json status = object.value("status", json::object());
  const json conditions = status.value("conditions", json::array());
  status.erase("conditions");
  if (object.contains("spec")) {
    out << "Spec:\n";
    write(out, 2, object["spec"]);
  }
  if (!status.empty()) {
    out << "Status:\n";
    write(out, 2, status);
  }
  write_conditions(out, conditions, now);
  write_events(out, events, now);
}

/// Those about this very object, the newest last.
Result<std::vector<json>> events_of(ApiClient& client, const json& object) {
  const json& metadata = object.at("metadata");
  ListOptions options;
  options.ns = metadata.value("namespace", "default");
  options.field_selector = fmt::format("involvedObject.kind={},involvedObject.name={}", object.value("kind", ""),
                                       metadata.value("name", ""));
  if (metadata.contains("uid")) options.field_selector += ",involvedObject.uid=" + metadata.value("uid", "");
  return client.list("Event", options).map([](ResourceList list) {
    std::stable_sort(list.items.begin(), list.items.end(), [](const json& a, const json& b) {
      return a.value("lastTimestamp", "") < b.value("lastTimestamp", "");
    });
    return std::move(list.items);
  });
}

Result<std::vector<json>> fetch(ApiClient& client, const Target& target, const DescribeFlags& flags) {
  const std::string ns = namespace_for(*target.type, flags.ns);
  if (!target.name.empty())
    return client.get({target.type->kind, ns, target.name}).map([](json object) {
      return std::vector<json>{std::move(object)};
    });
  ListOptions options;
  options.ns = ns;
  options.label_selector = flags.selector;
  return client.list(target.type->kind, options).map([](ResourceList list) { return std::move(list.items); });
}

}  // namespace

int describe(const Session& session, const DescribeFlags& flags) {
  const auto targets = targets_of(flags.words, session.types());
  if (!targets) return session.failed(targets.error().message);
  const auto client = session.connect();
  if (!client) return session.failed(client.error());
  bool first = true;
  for (const Target& target : *targets) {
    const auto objects = fetch(**client, target, flags);
    if (!objects) return session.failed(objects.error());
    for (const json& object : *objects) {
      const auto events = events_of(**client, object);
      if (!events) return session.failed(events.error());
      if (!std::exchange(first, false)) session.out() << "\n\n";
      write_object(session.out(), object, *events, session.hooks().clock->now());
    }
  }
  if (first) session.err() << "No resources found\n";
  return kExitOk;
}

}  // namespace roadstead::cli
