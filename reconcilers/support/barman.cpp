#include "reconcilers/support/barman.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <sstream>

#include "operator/base/hash.h"
#include "reconcilers/support/labels.h"
#include "reconcilers/support/typed_client.h"

namespace roadstead::reconcilers {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kNameLimit = 120;
constexpr auto kQueryTime = 15s;
constexpr auto kCommandTime = 60s;
// barman's own check_timeout is 30 s; with production unreachable it is used up.
constexpr auto kCheckTime = 45s;

// ---- configuration ------------------------------------------------------------------------------------------------

/// A configuration line holds no control characters, and barman's reader gives a percent sign a meaning.
Result<void> require_plain(std::string_view field, std::string_view value) {
  const bool bad = value.empty() || std::any_of(value.begin(), value.end(),
                                                [](unsigned char c) { return c < ' ' || c == '%' || c == 127; });
  if (bad)
    return fail(ErrorKind::Invalid, "{}: \"{}\" is empty or holds a character that barman's configuration cannot",
                field, value);
  return {};
}

/// A value in libpq's keyword=value form.
std::string quoted_word(const std::string& value) {
  if (value.find_first_of(" '\\") == std::string::npos) return value;
  std::string quoted = "'";
  for (const char c : value) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

std::string connection_words(const crds::PostgresSource& source, const std::string& address,
                             const crds::DatabaseUser& user) {
  return fmt::format("host={} port={} user={} dbname={} connect_timeout=5", quoted_word(address), source.port,
                     quoted_word(user.name), quoted_word(source.database));
}

/// One field of a .pgpass line.
std::string pgpass_field(const std::string& value) {
  std::string escaped;
  for (const char c : value) {
    if (c == ':' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string pgpass_line(const std::string& address, std::int64_t port, const std::string& user,
                        const std::string& password) {
  return fmt::format("{}:{}:*:{}:{}\n", pgpass_field(address), port, pgpass_field(user), pgpass_field(password));
}

bool is_address_literal(const std::string& text) {
  return text.find(':') != std::string::npos || text.find_first_not_of("0123456789.") == std::string::npos;
}

std::string render_config(const crds::BarmanServer& server, const BarmanSetup& setup) {
  const crds::BarmanServerSpec& spec = server.spec;
  std::string text = fmt::format(
      "[{}]\n"
      "description = roadstead {}/{}\n"
      "conninfo = {}\n"
      "streaming_conninfo = {}\n"
      "backup_method = postgres\n"
      "streaming_archiver = on\n"
      "slot_name = {}\n"
      "create_slot = manual\n"
      "immediate_checkpoint = true\n"
      "path_prefix = /usr/lib/postgresql/17/bin\n",
      setup.server, server.metadata.ns, server.metadata.name, setup.connection, setup.streaming_connection, setup.slot);
  if (spec.compression == crds::WalCompression::Gzip) text += "compression = gzip\n";
  if (spec.retention) {
    text += fmt::format("retention_policy = RECOVERY WINDOW OF {} DAYS\n", spec.retention->recovery_window_days);
    text += fmt::format("minimum_redundancy = {}\n", spec.retention->minimum_redundancy);
  }
  return text;
}

Result<std::string> production_address(const crds::BarmanServer& server, const crds::Host& source) {
  if (server.spec.source.address) return *server.spec.source.address;
  if (source.spec.data) return source.spec.data->address;
  return fail(ErrorKind::Invalid,
              "spec.source.address is missing, and Host {} has no spec.data.address to take instead",
              source.metadata.name);
}

// ---- SQL ----------------------------------------------------------------------------------------------------------

std::string sql_literal(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') quoted += '\'';
    quoted += c;
  }
  return quoted + "'";
}

// Columns that only newer versions have are read out of the row's JSON, so that one statement fits PostgreSQL 12 to 18.
constexpr std::string_view kProductionSql = R"(
select json_build_object(
  'version', current_setting('server_version'),
  'version_number', current_setting('server_version_num')::int,
  'system_id', (select system_identifier::text from pg_control_system()),
  'in_recovery', pg_is_in_recovery(),
  'current_lsn', case when pg_is_in_recovery() then pg_last_wal_receive_lsn() else pg_current_wal_lsn() end::text,
  'current_segment', case when pg_is_in_recovery() then null else pg_walfile_name(pg_current_wal_lsn()) end,
  'segment_bytes', (select setting::bigint * case unit when '8kB' then 8192 else 1 end from pg_settings where name = 'wal_segment_size'),
  'checkpoint_timeout', (select setting::bigint from pg_settings where name = 'checkpoint_timeout'),
  'database_bytes', (select sum(pg_database_size(oid))::bigint from pg_database
     where has_database_privilege(oid, 'connect') or pg_has_role('pg_read_all_stats', 'usage')),
  'slot', (select json_build_object('name', slot_name, 'active', active, 'restart_lsn', restart_lsn::text,
       'wal_status', to_json(s)->>'wal_status', 'safe_wal_size', (to_json(s)->>'safe_wal_size')::bigint)
     from pg_replication_slots s where slot_name = {0}),
  'receiver', (select json_build_object('state', state, 'sent', sent_lsn::text, 'written', write_lsn::text, 'flushed', flush_lsn::text)
     from pg_stat_replication r join pg_replication_slots s on s.active_pid = r.pid where s.slot_name = {0} limit 1)))";

}  // namespace

Result<BarmanSetup> barman_setup(const crds::BarmanServer& server, const crds::Host& source,
                                 const std::string& backup_password, const std::string& streaming_password) {
  const crds::PostgresSource& from = server.spec.source;
  auto address = production_address(server, source);
  if (!address) return tl::unexpected(address.error());
  const std::string& name = server.metadata.name;
  if (name == "all" || name == "barman")
    return fail(ErrorKind::Invalid, "metadata.name: barman itself uses the name \"{}\"; choose another", name);
  const std::pair<std::string_view, std::string_view> values[] = {
      {"spec.source.address", *address},
      {"spec.source.database", from.database},
      {"spec.source.slotName", from.slot_name},
      {"spec.source.backupUser.name", from.backup_user.name},
      {"spec.source.streamingUser.name", from.streaming_user.name}};
  for (const auto& [field, value] : values)
    if (auto plain = require_plain(field, value); !plain) return tl::unexpected(plain.error());
  if ((backup_password + streaming_password).find('\n') != std::string::npos)
    return fail(ErrorKind::Invalid, "spec.source: a password of more than one line cannot be used");

  BarmanSetup setup;
  setup.server = name;
  setup.address = *address;
  // A name that the backup host may not know, for an address that we do know.
  if (source.spec.data && !is_address_literal(*address) && is_address_literal(source.spec.data->address))
    setup.extra_hosts.push_back(*address + ":" + source.spec.data->address);
  setup.slot = from.slot_name;
  setup.streaming_user = from.streaming_user.name;
  setup.connection = connection_words(from, *address, from.backup_user);
  setup.streaming_connection = connection_words(from, *address, from.streaming_user);
  setup.config = render_config(server, setup);
  setup.pgpass = pgpass_line(*address, from.port, from.backup_user.name, backup_password) +
                 pgpass_line(*address, from.port, from.streaming_user.name, streaming_password);
  return setup;
}

std::vector<ArchiveFile> barman_files(const BarmanSetup& setup) {
  constexpr std::uint32_t kUid = 999;
  return {
      {.path = "etc/barman.d/" + setup.server + ".conf", .content = setup.config, .mode = 0644},
      {.path = "etc/roadstead", .content = {}, .mode = 0755, .directory = true},
      // libpq ignores the file when anybody else could read it.
      {.path = std::string(kPgpassPath.substr(1)), .content = setup.pgpass, .mode = 0600, .uid = kUid, .gid = kUid},
  };
}

std::string standing_container_name(const std::string& installation, const crds::BarmanServer& server) {
  constexpr std::string_view kTail = "-standing";
  const std::string head =
      fmt::format("roadstead-{}-barmanserver-{}.{}", installation, server.metadata.ns, server.metadata.name);
  return shortened(head, kNameLimit - kTail.size()) + std::string(kTail);
}

std::string standing_spec_hash(const std::string& installation_secret, const crds::BarmanServer& server,
                               const BarmanSetup& setup) {
  // Keyed, because passwords are in it and the label can be read by whoever can list containers.
  const std::string material =
      nlohmann::json{
          server.spec.image, server.spec.volumes.data, server.spec.volumes.recover, setup.extra_hosts, setup.config,
          setup.pgpass}
          .dump();
  return to_hex(hkdf_sha256(installation_secret, "standing container " + sha256_hex(material), 16));
}

ContainerSpec barman_worker_container(const crds::BarmanServer& server, const BarmanSetup& setup,
                                      std::vector<std::string> command) {
  ContainerSpec spec;
  spec.image = server.spec.image;
  spec.command = std::move(command);
  spec.environment = {"PGPASSFILE=" + std::string(kPgpassPath)};
  spec.mounts = {{MountSpec::Type::Volume, server.spec.volumes.data, std::string(kBarmanHome), false},
                 {MountSpec::Type::Volume, server.spec.volumes.recover, std::string(kRecoverRoot), false}};
  spec.extra_hosts = setup.extra_hosts;
  spec.init = true;
  return spec;
}

ContainerSpec standing_container(const std::string& installation, const crds::BarmanServer& server,
                                 const BarmanSetup& setup, const std::string& spec_hash) {
  ContainerSpec spec = barman_worker_container(server, setup, {});
  spec.name = standing_container_name(installation, server);
  spec.labels = owner_labels(installation, key_of(server));
  spec.labels[std::string(label::kRole)] = kStandingRole;
  spec.labels[std::string(label::kSpecHash)] = spec_hash;
  spec.restart_policy = "unless-stopped";
  return spec;
}

std::vector<std::string> drop_slot_command(const BarmanSetup& setup) {
  return {"barman", "-f", "json", "receive-wal", "--drop-slot", setup.server};
}

std::string server_directory(const std::string& server) { return std::string(kBarmanHome) + "/" + server; }

std::string barman_backup_name(const std::string& ns, const std::string& backup, int attempt) {
  return fmt::format("roadstead.{}.{}.{}", ns, backup, attempt);
}

std::optional<BarmanBackupName> parse_barman_backup_name(std::string_view name) {
  constexpr std::string_view kPrefix = "roadstead.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  // A namespace holds no dot; the name of a Backup may.
  const auto first = name.find('.'), last = name.rfind('.');
  if (first == std::string_view::npos || first == 0 || last <= first + 1) return std::nullopt;
  const std::string_view number = name.substr(last + 1);
  BarmanBackupName parsed{std::string(name.substr(0, first)), std::string(name.substr(first + 1, last - first - 1)), 0};
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), parsed.attempt);
  if (error != std::errc{} || end != number.data() + number.size() || parsed.attempt < 1) return std::nullopt;
  return parsed;
}

// ---- commands -----------------------------------------------------------------------------------------------------

Result<ExecResult> Barman::run(std::vector<std::string> command, std::chrono::milliseconds time_limit) {
  ExecSpec spec;
  spec.command = std::move(command);
  spec.user = kBarmanUser;
  spec.environment = {"HOME=" + std::string(kBarmanHome)};
  spec.time_limit = time_limit;
  Limits limits = limits_;
  limits.idle = std::max(limits.idle, time_limit + 5s);  // barman is silent until it has finished
  return engine_.exec(container_, spec, limits);
}

Result<nlohmann::json> Barman::barman_json(std::vector<std::string> arguments, std::chrono::milliseconds time_limit) {
  const std::string what = "barman " + arguments.front() + " " + setup_.server;
  std::vector<std::string> command{"barman", "-f", "json"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  auto output = run(std::move(command), time_limit);
  if (!output) return within(what, output.error());
  return parse_barman_output(*output, what);
}

Result<void> Barman::barman_do(std::vector<std::string> arguments, std::chrono::milliseconds time_limit) {
  return barman_json(std::move(arguments), time_limit).map([](const nlohmann::json&) {});
}

Result<std::vector<crds::BarmanCheck>> Barman::check() {
  return barman_json({"check", setup_.server}, kCheckTime).and_then([&](const nlohmann::json& output) {
    return parse_checks(output, setup_.server);
  });
}

Result<std::vector<ListedBackup>> Barman::list_backups() {
  return barman_json({"list-backups", setup_.server}, kCommandTime).and_then([&](const nlohmann::json& output) {
    return parse_list(output, setup_.server);
  });
}

Result<BackupDetails> Barman::show_backup(const std::string& id) {
  return barman_json({"show-backup", setup_.server, id}, kCommandTime).and_then([&](const nlohmann::json& output) {
    return parse_details(output, setup_.server);
  });
}

Result<std::string> Barman::version() {
  auto output = run({"barman", "--version"}, kCommandTime);
  if (!output) return within("barman --version", output.error());
  // "3.19.1 Barman by EnterpriseDB (www.enterprisedb.com)"
  return output->out.substr(0, output->out.find_first_of(" \n"));
}

Result<void> Barman::cron() { return barman_do({"cron"}, kCommandTime); }
Result<void> Barman::archive_wal() { return barman_do({"archive-wal", setup_.server}, kCommandTime); }
Result<void> Barman::create_slot() {
  return barman_do({"receive-wal", "--create-slot", "--if-not-exists", setup_.server}, kCommandTime);
}
Result<void> Barman::keep(const std::string& id) {
  return barman_do({"keep", "--target", "full", setup_.server, id}, kCommandTime);
}
Result<void> Barman::release(const std::string& id) {
  return barman_do({"keep", "--release", setup_.server, id}, kCommandTime);
}

Result<void> Barman::reset_receiver() {
  constexpr std::string_view kPutAside =
      "cd \"$1\" && mkdir -p before-gap && for f in streaming/* errors/*; do [ ! -f \"$f\" ] || mv -f \"$f\" "
      "before-gap/ || exit 1; done";
  // Neither of the two must stop the rest: there may be nothing to end and no slot to drop.
  (void)barman_do({"receive-wal", "--stop", setup_.server}, kCommandTime);
  (void)barman_do({"archive-wal", setup_.server}, kCommandTime);
  auto aside = run({"sh", "-c", std::string(kPutAside), "sh", server_directory(setup_.server)}, kCommandTime);
  if (!aside) return within("put received WAL aside", aside.error());
  if (aside->exit_code != 0) return fail(ErrorKind::Unavailable, "put received WAL aside: {:.300}", aside->err);
  (void)barman_do({"receive-wal", "--drop-slot", setup_.server}, kCommandTime);
  return create_slot().and_then([&] { return cron(); });
}

Result<bool> Barman::is_kept(const std::string& id) {
  auto output = barman_json({"keep", "--status", setup_.server, id}, kCommandTime);
  if (!output) return tl::unexpected(output.error());
  const nlohmann::json* message = &*output;
  for (const std::string& key : {setup_.server, std::string("keep_status"), std::string("message")}) {
    const auto found = message->find(key);
    if (found == message->end())
      return fail(ErrorKind::Invalid, "barman keep --status {}: the answer has no {}", id, key);
    message = &*found;
  }
  return *message != "nokeep";
}

Result<std::string> Barman::psql(const std::string& connection, const std::string& sql) {
  auto output =
      run({"psql", "-w", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", connection, "-c", sql}, kQueryTime);
  if (!output) return within("psql", output.error());
  if (output->exit_code != 0) return tl::unexpected(psql_error(output->exit_code, output->err));
  while (!output->out.empty() && output->out.back() == '\n') output->out.pop_back();
  return std::move(output->out);
}

Result<std::string> Barman::query(const std::string& sql) { return psql(setup_.connection, sql); }

Result<nlohmann::json> Barman::query_json(const std::string& sql) {
  auto text = query(sql);
  if (!text) return tl::unexpected(text.error());
  if (text->empty()) return nlohmann::json();
  auto value = nlohmann::json::parse(*text, nullptr, false);
  if (value.is_discarded()) return fail(ErrorKind::Invalid, "psql: an answer that is not JSON: {:.200}", *text);
  return value;
}

Result<ProductionState> Barman::production() {
  std::string sql(kProductionSql);
  const std::string slot = sql_literal(setup_.slot);
  for (auto at = sql.find("{0}"); at != std::string::npos; at = sql.find("{0}", at + slot.size()))
    sql.replace(at, 3, slot);
  return query_json(sql).and_then(parse_production);
}

Result<std::vector<BaseBackupProgress>> Barman::base_backup_progress() {
  auto rows = query_json(
      "select coalesce(json_agg(json_build_object('phase', p.phase, 'streamed', p.backup_streamed, 'total', "
      "p.backup_total) "
      "order by a.backend_start desc), '[]') from pg_stat_progress_basebackup p join pg_stat_activity a using (pid) "
      "where a.usename = " +
      sql_literal(setup_.streaming_user));
  if (!rows) return tl::unexpected(rows.error());
  std::vector<BaseBackupProgress> all;
  for (const auto& row : *rows) {
    BaseBackupProgress one;
    one.phase = row.value("phase", std::string());
    if (row.contains("streamed") && row["streamed"].is_number())
      one.streamed_bytes = row["streamed"].get<std::int64_t>();
    if (row.contains("total") && row["total"].is_number()) one.total_bytes = row["total"].get<std::int64_t>();
    all.push_back(std::move(one));
  }
  return all;
}

Result<RestorePoint> Barman::create_restore_point(const std::string& name) {
  auto text = query("select l || ' ' || pg_walfile_name(l) from pg_create_restore_point(" + sql_literal(name) + ") l");
  if (!text) return within("create restore point " + name, text.error());
  const auto space = text->find(' ');
  const auto lsn = parse_lsn(text->substr(0, space));
  if (!lsn || space == std::string::npos)
    return fail(ErrorKind::Invalid, "create restore point {}: \"{}\" is no LSN and segment", name, *text);
  return RestorePoint{*lsn, text->substr(space + 1)};
}

Result<void> Barman::switch_wal() {
  return query("select pg_switch_wal()").map([](const std::string&) {});
}
Result<void> Barman::nudge() {
  return create_restore_point("nudge").map([](const RestorePoint&) {});
}
Result<void> Barman::checkpoint() {
  return query("checkpoint").map([](const std::string&) {});
}
Result<void> Barman::test_streaming() {
  return psql(setup_.streaming_connection + " replication=1", "IDENTIFY_SYSTEM").map([](const std::string&) {});
}

Result<WalListing> Barman::wal_segments(const std::string& from, const std::string& to, std::uint64_t segment_bytes) {
  if (!parse_segment(from, segment_bytes) || !parse_segment(to, segment_bytes))
    return fail(ErrorKind::Invalid, "\"{}\" or \"{}\" is no name of a WAL segment", from, to);
  // Names are compared without their timeline: the last 16 digits.
  // streaming first: a segment that is archived meanwhile is then seen twice, never not at all.
  constexpr std::string_view kList =
      "cd \"$1\" && find streaming wals -type f -regextype posix-extended -regex '.*/[0-9A-F]{24}([.]partial)?' "
      "-printf '%f\\n' 2>/dev/null | "
      "awk -v from=\"$2\" -v to=\"$3\" '{ n = substr($0, 9, 16) } n >= from && n <= to'";
  auto names =
      run({"sh", "-c", std::string(kList), "sh", server_directory(setup_.server), from.substr(8), to.substr(8)},
          kCommandTime);
  if (!names) return within("list the WAL of " + setup_.server, names.error());
  if (names->exit_code != 0)
    return fail(ErrorKind::Unavailable, "list the WAL of {}: {:.300}", setup_.server, names->err);
  constexpr std::string_view kHistories =
      "cd \"$1\" && for f in wals/*.history streaming/*.history; do [ -f \"$f\" ] || continue; "
      "echo \"== $(basename \"$f\" .history)\"; gzip -cdf \"$f\"; echo; done";
  auto histories = run({"sh", "-c", std::string(kHistories), "sh", server_directory(setup_.server)}, kCommandTime);
  if (!histories) return within("read the timelines of " + setup_.server, histories.error());

  WalListing listing;
  std::istringstream lines(names->out);
  constexpr std::string_view kPartial = ".partial";
  for (std::string line; std::getline(lines, line);) {
    const bool partial = line.ends_with(kPartial);
    if (partial) line.resize(line.size() - kPartial.size());
    if (parse_segment(line, segment_bytes)) (partial ? listing.receiving : listing.segments).insert(line);
  }
  std::istringstream history(histories->out);
  std::uint32_t timeline = 0;
  for (std::string line; std::getline(history, line);) {
    if (line.starts_with("== ")) {
      timeline = 0;
      std::from_chars(line.data() + 3, line.data() + line.size(), timeline, 16);
      listing.histories[timeline].clear();
    } else if (timeline != 0) {
      listing.histories[timeline] += line + "\n";
    }
  }
  return listing;
}

Result<std::optional<crds::LastCron>> Barman::last_cron() {
  auto output = run({"cat", std::string(kBarmanHome) + "/.roadstead/cron.json"}, kQueryTime);
  if (!output) return within("read the stamp of barman's minute", output.error());
  return output->exit_code == 0 ? parse_last_cron(output->out) : std::nullopt;
}

Result<bool> Barman::backup_lock_held() {
  // Let go at once. A backup that begins in this very moment finds it taken and is tried again.
  constexpr std::string_view kTry = "[ -e \"$1\" ] || exit 0; flock -n -s \"$1\" true || exit 9";
  auto output = run(
      {"sh", "-c", std::string(kTry), "sh", fmt::format("{}/.{}-backup.lock", kBarmanHome, setup_.server)}, kQueryTime);
  if (!output) return within("look at barman's backup lock", output.error());
  return output->exit_code == 9;
}

Result<BarmanAccess> barman_access(const Context& context, const crds::BarmanServer& server) {
  auto host = context.hosts.get(server.spec.host_ref.name);
  if (!host) return within("spec.hostRef " + server.spec.host_ref.name, host.error());
  auto source = get<crds::Host>(context.api, {}, server.spec.source.host_ref.name);
  if (!source) return within("spec.source.hostRef " + server.spec.source.host_ref.name, source.error());
  auto backup_password = context.secrets.resolve(server.spec.source.backup_user.password_ref);
  if (!backup_password) return within("spec.source.backupUser.passwordRef", backup_password.error());
  auto streaming_password = context.secrets.resolve(server.spec.source.streaming_user.password_ref);
  if (!streaming_password) return within("spec.source.streamingUser.passwordRef", streaming_password.error());
  auto setup = barman_setup(server, *source, *backup_password, *streaming_password);
  if (!setup) return tl::unexpected(setup.error());
  return BarmanAccess{std::move(*host), std::move(*setup), standing_container_name(context.installation, server)};
}

}  // namespace roadstead::reconcilers
