// check: the restored database has left recovery and gives the answers that are expected of it.

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reconcilers/restore_request/steps.h"

namespace roadstead::reconcilers::restore {
namespace {

using Json = nlohmann::json;

constexpr Millis kRetry{1'000};

/// One value as psql prints it without decoration; an error's message is for people.
Result<std::string> ask(const Run& run, const HostHandle& target, const crds::SqlCheck& sql, const std::string& query) {
  ExecSpec spec;
  spec.command = {"psql", "-X",     "-A", "-t",         "-q", "-w", "-v", "ON_ERROR_STOP=1",
                  "-U",   sql.user, "-d", sql.database, "-c", query};
  spec.time_limit = std::chrono::seconds(std::max<std::int64_t>(sql.timeout_seconds, 1));
  Limits limits = run.limits;
  limits.idle = std::max<std::chrono::milliseconds>(limits.idle, spec.time_limit + std::chrono::seconds(5));
  auto answer = target.engine->exec(sql.container, spec, limits);
  if (!answer) return tl::unexpected(answer.error());
  const auto trimmed = [](std::string text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
    return text;
  };
  if (answer->exit_code != 0)
    return fail(ErrorKind::Invalid, "{}", trimmed(answer->err.empty() ? answer->out : answer->err));
  return trimmed(answer->out);
}

bool time_is_up(Run& run, Frame& frame, const crds::RestoreCheck& check) {
  Json memory = frame.memory();
  const auto now = run.now().time_since_epoch().count();
  if (!memory.contains(check.name)) memory[check.name] = now;
  frame.remember(memory);
  return now - memory[check.name].get<std::int64_t>() > check.sql->timeout_seconds * 1000;
}

Outcome failed(Run& run, const crds::RestoreCheck& check, const std::string& answer, std::string message) {
  run.request.status.checks.push_back({check.name, answer, false, message});
  return Failed{"CheckFailed", fmt::format("check {}: {}", check.name, message),
                "the application runs on the restored data; look at it there"};
}

/// Nothing: it passed.
std::optional<Outcome> look(Run& run, Frame& frame, const HostHandle& target, const crds::RestoreCheck& check) {
  const crds::SqlCheck& sql = *check.sql;
  const bool late = time_is_up(run, frame, check);
  const auto not_yet = [&](const std::string& why) -> Outcome {
    if (late) return failed(run, check, {}, fmt::format("no answer within {} s: {}", sql.timeout_seconds, why));
    return Working{fmt::format("Check {}: {}.", check.name, why), kRetry, {}};
  };
  // Queries are answered long before recovery has ended.
  auto in_recovery = ask(run, target, sql, "select pg_is_in_recovery()");
  if (!in_recovery &&
      (in_recovery.error().kind == ErrorKind::Unavailable || in_recovery.error().kind == ErrorKind::Cancelled))
    return from_error(in_recovery.error(), target, false);
  if (!in_recovery) return not_yet(in_recovery.error().message);
  if (*in_recovery != "f") return not_yet("the database is still in recovery");
  auto answer = ask(run, target, sql, sql.query);
  if (!answer) return not_yet(answer.error().message);
  if (*answer != sql.expect)
    return failed(run, check, *answer, fmt::format("the answer is \"{}\", not \"{}\"", *answer, sql.expect));
  run.request.status.checks.push_back({check.name, *answer, true, {}});
  return std::nullopt;
}

}  // namespace

Outcome check(Run& run, Frame& frame) {
  auto target = run.target();
  if (!target) return from_lookup(target.error());
  for (const auto& one : run.request.spec.checks) {
    if (!one.sql) continue;
    const auto& results = run.request.status.checks;
    if (std::ranges::find(results, one.name, &crds::CheckResult::name) != results.end()) continue;
    if (auto outcome = look(run, frame, *target, one)) return *outcome;
  }
  return Done{"{}", "All checks passed."};
}

}  // namespace roadstead::reconcilers::restore
