#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>

#include "crds/json_path.h"
#include "operator/base/text.h"
#include "operator/cli/verbs.h"

namespace roadstead::cli {
namespace {

using nlohmann::json;

/// True once the object (null: it is not there) is as wished.
using Wish = std::function<bool(const json* object)>;

struct Wanted {
  Wish holds;
  bool may_be_missing = false;  ///< Else an object that is not there is an error at once.
  std::string done;             ///< "condition met"
};

bool has_condition(const json& object, const std::string& type, const std::string& value) {
  for (const json& condition : object.value(json::json_pointer("/status/conditions"), json::array()))
    if (equal_ignoring_case(condition.value("type", ""), type))
      return equal_ignoring_case(condition.value("status", ""), value);
  return false;
}

Wanted condition(const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string type = text.substr(0, equals);
  const std::string value = equals == std::string::npos ? "True" : text.substr(equals + 1);
  return {[type, value](const json* object) { return object != nullptr && has_condition(*object, type, value); }, false,
          "condition met"};
}

Result<Wanted> json_path(const std::string& text) {
  const std::size_t equals = text.rfind('=');
  const bool has_value = equals != std::string::npos && text.find('}', equals) == std::string::npos;
  const auto path = crds::JsonPath::parse(has_value ? text.substr(0, equals) : text);
  if (!path) return tl::unexpected(path.error());
  const std::optional<std::string> value = has_value ? std::optional(text.substr(equals + 1)) : std::nullopt;
  return Wanted{[path = *path, value](const json* object) {
                  const json* found = object == nullptr ? nullptr : path.first(*object);
                  if (found == nullptr || found->is_null()) return false;
                  return !value || (found->is_string() ? found->get<std::string>() : found->dump()) == *value;
                },
                false, "condition met"};
}

Result<Wanted> wanted_of(const std::string& what) {
  const auto after = [&](std::string_view prefix) { return what.substr(prefix.size()); };
  if (what == "delete") return Wanted{[](const json* object) { return object == nullptr; }, true, "deleted"};
  if (what == "create") return Wanted{[](const json* object) { return object != nullptr; }, true, "created"};
  if (what.starts_with("condition=") && what.size() > 10) return condition(after("condition="));
  if (what.starts_with("jsonpath=") && what.size() > 9) return json_path(after("jsonpath="));
  return fail(ErrorKind::Invalid, "--for={}: write condition=NAME[=VALUE], jsonpath=PATH[=VALUE], create or delete",
              what);
}

int wait_for(const Session& session, ApiClient& client, const Target& target, const Wanted& wanted,
             const WaitFlags& flags) {
  const ObjectKey key{target.type->kind, namespace_for(*target.type, flags.ns), target.name};
  bool missing = false;
  const auto met = follow(client, key, flags.timeout, session.hooks().interrupted, [&](const json* object) {
    missing = object == nullptr && !wanted.may_be_missing;
    return missing || wanted.holds(object);
  });
  if (!met) return session.failed(met.error());
  if (missing)
    return session.failed(
        Error{ErrorKind::NotFound, fmt::format("{} \"{}\" not found", target.type->qualified_plural(), target.name)});
  if (!*met)
    return session.failed(fmt::format("timed out waiting for {} on {}/{}",
                                      flags.what == "delete" ? "the deletion" : "the condition", target.type->plural,
                                      target.name));
  session.out() << display_name(*target.type, target.name) << " " << wanted.done << "\n";
  return kExitOk;
}

}  // namespace

int wait(const Session& session, const WaitFlags& flags) {
  const auto targets = targets_of(flags.words, session.types());
  if (!targets) return session.failed(targets.error().message);
  const auto wanted = wanted_of(flags.what);
  if (!wanted) return session.failed(wanted.error().message);
  const auto client = session.connect();
  if (!client) return session.failed(client.error());
  int code = kExitOk;
  for (const Target& target : *targets) {
    if (target.name.empty())
      return session.failed(fmt::format("name what to wait for: wait {}/NAME", target.type->singular));
    if (wait_for(session, **client, target, *wanted, flags) != kExitOk) code = kExitError;
  }
  return code;
}

Result<Millis> parse_duration(const std::string& text) {
  static constexpr struct {
    const char* word;
    long millis;
  } kUnits[] = {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}};
  if (text == "0") return Millis(0);
  long total = 0;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t unit = text.find_first_not_of("0123456789", at);
    if (unit == at || unit == std::string::npos || unit - at > 9)
      return fail(ErrorKind::Invalid, "\"{}\" is no duration: write 90s, 5m or 1h30m", text);
    const std::size_t end = std::min(text.find_first_of("0123456789", unit), text.size());
    const std::string word = text.substr(unit, end - unit);
    const auto known =
        std::find_if(std::begin(kUnits), std::end(kUnits), [&](const auto& u) { return word == u.word; });
    if (known == std::end(kUnits))
      return fail(ErrorKind::Invalid, "\"{}\" is no duration: write 90s, 5m or 1h30m", text);
    total += std::stol(text.substr(at, unit - at)) * known->millis;
    at = end;
  }
  if (text.empty()) return fail(ErrorKind::Invalid, "a duration is missing: write 90s, 5m or 1h30m");
  return Millis(total);
}

}  // namespace roadstead::cli
