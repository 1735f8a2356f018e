#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "operator/base/rfc3339.h"
#include "reconcilers/support/barman.h"

namespace roadstead::reconcilers {
namespace {

using Json = nlohmann::json;

const Json& child(const Json& object, const std::string& key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string text_of(const Json& object, const std::string& key) {
  const Json& value = child(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

/// barman writes some numbers as strings.
std::optional<std::int64_t> number_of(const Json& object, const std::string& key) {
  const Json& value = child(object, key);
  if (value.is_number_integer()) return value.get<std::int64_t>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// Whole seconds since 1970, number or string.
std::optional<Time> time_of(const Json& object, const std::string& key) {
  const auto seconds = number_of(object, key);
  if (!seconds) return std::nullopt;
  return Time(std::chrono::seconds(*seconds));
}

std::string joined(const Json& messages) {
  std::string all;
  if (!messages.is_array()) return all;
  for (const Json& message : messages)
    if (message.is_string()) all += (all.empty() ? "" : "; ") + message.get<std::string>();
  return all;
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

ErrorKind kind_of(std::string_view words) {
  if (contains(words, "Unknown backup") || contains(words, "Unknown server")) return ErrorKind::NotFound;
  if (contains(words, "Another ") && (contains(words, "already running") || contains(words, "is running")))
    return ErrorKind::Conflict;
  if (contains(words, "No space left on device")) return ErrorKind::NoSpace;
  return ErrorKind::Unavailable;
}

/// The last lines say what went wrong; a Python trace before them does not help anybody.
std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  const auto newline = text.rfind('\n');
  return std::string(newline == std::string_view::npos ? text : text.substr(newline + 1));
}

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const char plain = c == '\n' || c == '\t' ? ' ' : c;
    if (plain == ' ' && (line.empty() || line.back() == ' ')) continue;
    line += plain;
  }
  while (!line.empty() && (line.back() == ' ' || line.back() == '.')) line.pop_back();
  return line;
}

}  // namespace

Result<Json> parse_barman_output(const ExecResult& output, std::string_view command) {
  Json value = Json::parse(output.out, nullptr, false);
  if (value.is_discarded() || !value.is_object()) {
    // archive-wal and cron print nothing when all is well.
    if (output.out.find_first_not_of(" \n") == std::string::npos && output.exit_code == 0) return Json::object();
    const std::string words = last_line(output.err.empty() ? output.out : output.err);
    return fail(kind_of(words), "{}: exit code {}: {:.400}", command, output.exit_code, words);
  }
  for (const char* field : {"_ERROR", "_EXCEPTION"}) {
    const std::string words = one_line(joined(child(value, field)));
    if (!words.empty()) return fail(kind_of(words), "{}: {:.600}", command, words);
  }
  return value;
}

Result<std::vector<crds::BarmanCheck>> parse_checks(const Json& output, const std::string& server) {
  const Json& checks = child(output, server);
  if (!checks.is_object() || checks.empty())
    return fail(ErrorKind::Invalid, "barman check {}: the answer has no checks", server);
  std::vector<crds::BarmanCheck> all;
  for (const auto& [name, value] : checks.items())
    all.push_back({name, text_of(value, "status") == "OK", one_line(text_of(value, "hint"))});
  return all;
}

Result<std::vector<ListedBackup>> parse_list(const Json& output, const std::string& server) {
  const Json& list = child(output, server);
  if (!list.is_array()) return fail(ErrorKind::Invalid, "barman list-backups {}: the answer has no list", server);
  std::vector<ListedBackup> all;
  for (const Json& entry : list) {
    ListedBackup one;
    one.backup.id = text_of(entry, "backup_id");
    one.backup.name = text_of(entry, "backup_name");
    one.backup.type = text_of(entry, "backup_type");
    one.backup.status = text_of(entry, "status");
    one.backup.end_time = time_of(entry, "end_time_timestamp");
    one.backup.size_bytes = number_of(entry, "size_bytes");
    one.wal_bytes = number_of(entry, "wal_size_bytes");
    one.retention = text_of(entry, "retention_status");
    if (one.backup.id.empty())
      return fail(ErrorKind::Invalid, "barman list-backups {}: an entry without backup_id", server);
    all.push_back(std::move(one));
  }
  // Ids begin with the time, so their order is the order of the backups; barman says newest first already.
  std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.backup.id > b.backup.id; });
  return all;
}

Result<BackupDetails> parse_details(const Json& output, const std::string& server) {
  const Json& entry = child(output, server);
  if (text_of(entry, "backup_id").empty())
    return fail(ErrorKind::Invalid, "barman show-backup {}: the answer has no backup_id", server);
  const Json& base = child(entry, "base_backup_information");
  BackupDetails details;
  crds::CatalogBackup& backup = details.backup;
  backup.id = text_of(entry, "backup_id");
  backup.name = text_of(entry, "backup_name");
  backup.type = text_of(entry, "backup_type");
  backup.status = text_of(entry, "status");
  backup.error = one_line(text_of(entry, "error"));
  backup.begin_time = time_of(base, "begin_time_timestamp");
  backup.end_time = time_of(base, "end_time_timestamp");
  // Before 3.13 it was called disk_usage_bytes.
  backup.size_bytes = number_of(base, "backup_size_bytes");
  if (!backup.size_bytes) backup.size_bytes = number_of(base, "disk_usage_bytes");
  backup.begin_lsn = text_of(base, "begin_lsn");
  backup.end_lsn = text_of(base, "end_lsn");
  backup.begin_wal = text_of(base, "begin_wal");
  backup.end_wal = text_of(base, "end_wal");
  details.timeline = static_cast<std::uint32_t>(number_of(base, "timeline").value_or(0));
  details.postgres_version = number_of(entry, "postgresql_version").value_or(0);
  details.system_id = text_of(entry, "system_id");
  details.cluster_size_bytes = number_of(entry, "cluster_size_bytes");
  if (const Json& tablespaces = child(entry, "tablespaces"); tablespaces.is_array() && !tablespaces.empty())
    details.tablespaces = tablespaces.dump();
  return details;
}

Result<ProductionState> parse_production(const Json& row) {
  ProductionState state;
  state.version = text_of(row, "version");
  state.version_number = number_of(row, "version_number").value_or(0);
  if (state.version_number == 0) return fail(ErrorKind::Invalid, "psql: production's answer has no version");
  state.system_id = text_of(row, "system_id");
  const Json& in_recovery = child(row, "in_recovery");
  state.in_recovery = in_recovery.is_boolean() && in_recovery.get<bool>();
  state.current_lsn = parse_lsn(text_of(row, "current_lsn")).value_or(0);
  state.current_segment = text_of(row, "current_segment");
  state.segment_bytes = static_cast<std::uint64_t>(number_of(row, "segment_bytes").value_or(kDefaultWalSegmentBytes));
  state.database_bytes = number_of(row, "database_bytes").value_or(0);
  state.checkpoint_timeout_seconds = number_of(row, "checkpoint_timeout").value_or(0);
  if (const Json& slot = child(row, "slot"); slot.is_object()) {
    crds::ReplicationSlot seen;
    seen.name = text_of(slot, "name");
    const Json& active = child(slot, "active");
    seen.active = active.is_boolean() && active.get<bool>();
    seen.wal_status = text_of(slot, "wal_status");
    seen.restart_lsn = text_of(slot, "restart_lsn");
    seen.safe_wal_size_bytes = number_of(slot, "safe_wal_size");
    state.slot = std::move(seen);
  }
  if (const Json& receiver = child(row, "receiver"); receiver.is_object())
    state.receiver = WalReceiver{text_of(receiver, "state"), parse_lsn(text_of(receiver, "sent")),
                                 parse_lsn(text_of(receiver, "written")), parse_lsn(text_of(receiver, "flushed"))};
  return state;
}

Error psql_error(int exit_code, std::string_view words) {
  static constexpr std::array<std::string_view, 6> kRefusals = {"password authentication failed",
                                                                "no password supplied",
                                                                "no pg_hba.conf entry",
                                                                "permission denied",
                                                                "must be superuser",
                                                                "is not permitted to log in"};
  constexpr int kNoConnection = 2;
  const bool refused = std::any_of(kRefusals.begin(), kRefusals.end(),
                                   [&](std::string_view refusal) { return contains(words, refusal); });
  const ErrorKind kind = refused                      ? ErrorKind::Forbidden
                         : exit_code == kNoConnection ? ErrorKind::Unavailable
                                                      : ErrorKind::Invalid;
  std::string line = one_line(words);
  if (line.starts_with("psql: error: ")) line.erase(0, 13);
  return {kind, line.empty() ? fmt::format("psql ended with exit code {}", exit_code) : line.substr(0, 600)};
}

std::optional<crds::LastCron> parse_last_cron(std::string_view text) {
  const Json line = Json::parse(text, nullptr, false);
  if (!line.is_object() || text_of(line, "event") != "cron") return std::nullopt;
  crds::LastCron cron;
  if (auto time = parse_rfc3339(text_of(line, "started"))) cron.started_at = *time;
  if (auto time = parse_rfc3339(text_of(line, "finished"))) cron.finished_at = *time;
  cron.exit_code = number_of(line, "exitCode");
  return cron;
}

}  // namespace roadstead::reconcilers
